"""The causal network: its table's numbers, causality, and streaming."""

import pytest
import torch

from underscore_training.export import contract
from underscore_training.grid import MODEL_GRID
from underscore_training.nets import DMMDenseNet, IdentitySeparator, StreamingSeparator
from underscore_training.nets.level import LevelCompressor

TOLERANCE = 1e-4


def test_sizes_follow_the_table(net: DMMDenseNet) -> None:
    assert net.low.out_features == net.high.out_features == 16
    assert 550_000 < sum(parameter.numel() for parameter in net.parameters()) < 600_000


@pytest.mark.parametrize("num_channels", [1, 2])
def test_calls_equal_the_whole_clip(net: DMMDenseNet, num_channels: int) -> None:
    model = StreamingSeparator(net).eval()
    spectrum = contract.test_spectrum(MODEL_GRID, 48, num_channels)
    with torch.no_grad():
        whole = net.music_mask(torch.view_as_complex(spectrum))[None]
    called = contract.run_calls(model, spectrum, contract.zero_state(model.state_shapes(), num_channels), 8)
    assert called.shape == (1, num_channels, 48, 513)
    assert (called - whole).abs().max() < TOLERANCE


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
    assert (loud - quiet).abs().max() < 1e-2


def test_silence_gives_a_finite_mask(net: DMMDenseNet) -> None:
    with torch.no_grad():
        mask = net.music_mask(torch.zeros(1, 16, 513, dtype=torch.complex64))
    assert torch.isfinite(mask).all()


def test_level_in_calls_equals_level_at_once() -> None:
    level = LevelCompressor()
    magnitude = torch.rand(2, 40, 512)
    state, parts = torch.zeros(2, 2), []
    for call in magnitude.split(8, dim=1):
        part, state = level.stream(call, state)
        parts.append(part)
    assert torch.allclose(torch.cat(parts, dim=1), level(magnitude), atol=1e-5)


def test_identity_is_one() -> None:
    mask, state = IdentitySeparator()(torch.randn(2, 8, 513, 2), [])
    assert torch.equal(mask, torch.ones(1, 2, 8, 513)) and state == []
