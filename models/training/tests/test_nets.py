"""The causal network: its table's numbers, causality, and streaming."""

import torch

from underscore_training.export import contract
from underscore_training.grid import MODEL_GRID
from underscore_training.nets import DMMDenseNet, IdentitySeparator, StreamingSeparator

def test_sizes_follow_the_table(net: DMMDenseNet) -> None:
    assert net.low.out_features == net.high.out_features == 16
    assert 550_000 < sum(parameter.numel() for parameter in net.parameters()) < 600_000


def test_a_call_is_pure(net: DMMDenseNet) -> None:
    model = StreamingSeparator(net).eval()
    spectrum = contract.test_spectrum(MODEL_GRID, 16)
    state = contract.zero_state(model.state_shapes(), 1)
    with torch.no_grad():
        _, state = model(spectrum[:, :8], state)
        kept = [tensor.clone() for tensor in state]
        first, next_state = model(spectrum[:, 8:], state)
        second, _ = model(spectrum[:, 8:], state)
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(state, kept))
    assert [list(tensor.shape[1:]) for tensor in next_state] == [shape[1:] for shape in model.state_shapes()]


def test_no_call_sees_a_later_one(net: DMMDenseNet) -> None:
    spectrum = torch.view_as_complex(contract.test_spectrum(MODEL_GRID, 32))
    changed = spectrum.clone()
    changed[:, 16:] *= 7
    with torch.no_grad():
        assert torch.equal(net.music_mask(spectrum)[:, :16], net.music_mask(changed)[:, :16])


def test_the_mask_does_not_depend_on_level(net: DMMDenseNet) -> None:
    spectrum = torch.view_as_complex(contract.test_spectrum(MODEL_GRID, 32))
    with torch.no_grad():
        loud, quiet = net.music_mask(spectrum), net.music_mask(spectrum * 0.03)
    # The floor of the level moves the quiet one by a thousandth; these logits make it visible.
    assert (loud - quiet).abs().max() < 0.03


def test_silence_gives_a_finite_mask(net: DMMDenseNet) -> None:
    with torch.no_grad():
        mask = net.music_mask(torch.zeros(1, 16, 513, dtype=torch.complex64))
    assert torch.isfinite(mask).all()


def test_identity_is_one() -> None:
    mask, state = IdentitySeparator()(torch.randn(2, 8, 513, 2), [])
    assert torch.equal(mask, torch.ones(1, 2, 8, 513)) and state == []
