"""The deployed network: streaming is the whole clip, look-ahead is what it says, levels do not matter."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from underscore_training.export import contract
from underscore_training.export.file import scripted
from underscore_training.nets import host_grid
from underscore_training.nets.axes import BentAxis
from underscore_training.nets.band_convolution import BandConvolution, ToOne, features_last
from underscore_training.nets.crn import CRN, LONG_FRAMES, SHORT_FRAMES, Holding
from underscore_training.nets.growth import DoesNotGrow, grown
from underscore_training.nets.streaming import StreamingCRN
from underscore_training.nets.streaming.recurrent import PackLSTM, StreamingLSTM, WholeLSTM

LOOK_AHEAD_FRAMES = 3


@pytest.fixture(scope="module")
def crn() -> CRN:
    torch.manual_seed(1)
    net = CRN((6, 8, 8, 12), time_memory=16, band_memory=10, num_blocks=2, look_ahead_frames=LOOK_AHEAD_FRAMES)
    # Fresh logits lie near zero; these tell frames apart.
    net.last.weight.data.mul_(20)
    return net.eval()


def magnitude(num_frames: int, num_channels: int = 1) -> torch.Tensor:
    spectrum = contract.test_spectrum(BentAxis.grid, num_frames, num_channels)
    return torch.view_as_complex(spectrum).abs()


@pytest.mark.parametrize("synthesis_s", [0.064, 0.032])
def test_a_sample_waits_for_the_look_ahead_and_the_synthesis_window_and_for_nothing_more(synthesis_s: float) -> None:
    torch.manual_seed(2)
    net = CRN((6, 8, 8, 12), 16, 10, 2, look_ahead_frames=2, synthesis_s=synthesis_s).double().eval()
    net.last.weight.data.mul_(20)
    assert net.look_ahead_samples == 2 * 512 + round(32_000 * synthesis_s)
    mixture = 0.1 * torch.randn(1, 40_000, dtype=torch.float64)
    changed = mixture.clone()
    at = 20_000
    changed[:, at:] = changed[:, at:].flip(1) * 3
    with torch.no_grad():
        difference = (net.separate(mixture) - net.separate(changed))[0].abs()
    first = int(difference.gt(1e-11).nonzero()[0])
    print(f"{synthesis_s} s: changed {at - first} samples before the change")
    # Frames end every hop, so the change may be heard up to one hop later than at worst; the window's end is soft.
    assert at - net.look_ahead_samples < first <= at - net.look_ahead_samples + 512 + 64


@pytest.mark.parametrize("frames_per_call", [1, LOOK_AHEAD_FRAMES, 4, 7])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_calls_of_any_length_equal_the_whole_clip(crn: CRN, frames_per_call: int, num_channels: int) -> None:
    given = magnitude(60, num_channels)
    state, parts = crn.zero_state(num_channels, given), []
    flushed = torch.nn.functional.pad(given, (0, 0, 0, LOOK_AHEAD_FRAMES))
    with torch.no_grad():
        for call in flushed.split(frames_per_call, dim=1):
            logits, state = crn(call, state)
            parts.append(logits)
        whole = crn.logits(given)
    called = torch.cat(parts, dim=1)[:, LOOK_AHEAD_FRAMES:]
    assert (torch.sigmoid(called) - torch.sigmoid(whole)).abs().max() < contract.TOLERANCE
    assert [list(tensor.shape[1:]) for tensor in state] == [shape[1:] for shape in crn.state_shapes()]


def test_a_mask_hears_its_look_ahead_and_nothing_after_it(crn: CRN) -> None:
    given = magnitude(40)
    changed = given.clone()
    changed[:, 30:] = changed[:, 30:].flip(2) * 5
    with torch.no_grad():
        difference = (crn.logits(given) - crn.logits(changed)).abs().amax(dim=(0, 2))
    assert difference[: 30 - LOOK_AHEAD_FRAMES].max() == 0
    assert difference[30 - LOOK_AHEAD_FRAMES] > 0
    assert crn.latest_frame(10) == 10 + LOOK_AHEAD_FRAMES


def test_a_call_is_pure(crn: CRN) -> None:
    model = StreamingCRN(crn)
    spectrum = contract.test_spectrum(BentAxis.grid, 8)
    with torch.no_grad():
        _, state = model(spectrum[:, :4], contract.zero_state(model.state_shapes(), 1))
        kept = [tensor.clone() for tensor in state]
        first, _ = model(spectrum[:, 4:], state)
        second, _ = model(spectrum[:, 4:], state)
    assert torch.equal(first, second) and all(torch.equal(a, b) for a, b in zip(state, kept))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN, which the order is for")
@pytest.mark.parametrize("frames_per_call", [1, 4])
def test_packed_weights_change_no_bit(crn: CRN, frames_per_call: int, tmp_path: Path) -> None:
    torch.jit.save(scripted(StreamingCRN(crn)), str(tmp_path / "model.pt"))
    plain, packed = (torch.jit.load(str(tmp_path / "model.pt")) for _ in range(2))
    assert contract.packed(packed) is packed
    num_weights = 2 * 3 * len(crn.core)
    assert len(packed.recurrent_weights()) == num_weights, "input and memory weights of both directions over bands, and over time"
    # What is packed is what is used: of weights that are zero nothing is heard.
    silenced = torch.jit.load(str(tmp_path / "model.pt"))
    silenced.use_packed(PackLSTM()([torch.zeros_like(weight) for weight in silenced.recurrent_weights()]))
    for num_channels in (1, 2):
        spectrum = contract.test_spectrum(BentAxis.grid, 24, num_channels)
        state = contract.zero_state(StreamingCRN(crn).state_shapes(), num_channels)
        masks = [contract.run_calls(model, spectrum, state, frames_per_call) for model in (plain, packed, silenced)]
        assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


@pytest.fixture
def fused_cell() -> Iterator[None]:
    """What a card does in one kernel (`thnn_fused_lstm_cell`, gates in the order input, forget, cell, output), for the processor."""
    def cell_of(from_input: torch.Tensor, from_memory: torch.Tensor, cell: torch.Tensor, *biases: torch.Tensor) -> tuple[torch.Tensor, ...]:
        gates = from_input + from_memory + sum(biases)
        into, kept, new, out = gates.chunk(4, dim=1)
        cell = torch.sigmoid(kept) * cell + torch.sigmoid(into) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(cell), cell, gates

    library = torch.library.Library("aten", "IMPL")
    library.impl("_thnn_fused_lstm_cell", cell_of, "CPU")
    yield
    library._destroy()


@pytest.mark.usefixtures("fused_cell")
@pytest.mark.parametrize("num_steps", [1, 8])
def test_steps_on_a_card_are_those_of_the_layer(num_steps: int) -> None:
    torch.manual_seed(3)
    layer = nn.LSTM(5, 7)
    x, state = torch.randn(num_steps, 11, 5), (torch.randn(1, 11, 7), torch.randn(1, 11, 7))
    with torch.no_grad():
        expected, expected_state = layer(x, state)
        found, found_state = StreamingLSTM(layer).step_by_step(x, *state)
    for actual, wanted in zip((found, *found_state), (expected, *expected_state)):
        assert actual.shape == wanted.shape and torch.allclose(actual, wanted, atol=1e-6)


def test_a_file_can_lay_its_recurrent_weights_side_by_side(crn: CRN, tmp_path: Path) -> None:
    torch.jit.save(scripted(StreamingCRN(crn)), str(tmp_path / "model.pt"))
    graph = torch.jit.load(str(tmp_path / "model.pt")).flatten_recurrent_weights.graph
    calls = graph.findAllNodes("aten::_cudnn_rnn_flatten_weight")
    assert len(calls) == 2 * len(crn.core), "over bands and over time, in each block"
    # Of weights that were copies of those which are run, nothing would come.
    model = torch.jit.load(str(tmp_path / "model.pt"))
    spectrum, state = contract.test_spectrum(BentAxis.grid, 8), contract.zero_state(StreamingCRN(crn).state_shapes(), 1)
    with torch.no_grad():
        before, _ = model(spectrum, state)
        for weight in model.recurrent_weights():
            weight.zero_()
        after, _ = model(spectrum, state)
    assert not torch.equal(before, after)


def test_a_recurrent_layer_that_cannot_be_packed_is_refused() -> None:
    with pytest.raises(ValueError, match="one layer"):
        StreamingLSTM(nn.LSTM(4, 4, num_layers=2))
    with pytest.raises(ValueError, match="one direction"):
        StreamingLSTM(nn.LSTM(4, 4, bidirectional=True))
    with pytest.raises(ValueError, match="both directions"):
        WholeLSTM(nn.LSTM(4, 4, bidirectional=True, batch_first=True))


def test_a_slice_of_all_there_is_costs_no_call_and_every_other_slice_stays() -> None:
    class Slices(nn.Module):
        def forward(self, x: torch.Tensor, words: list[torch.Tensor]) -> torch.Tensor:
            kept = x[:, 1:-1] + x[:, ::1][:, :-2] + x[:, 0 : x.shape[1] - 2]
            return kept if x.shape[0] > 1 else kept * words[0:1][0]

    script = scripted(Slices().eval())
    left = [node for node in script.graph.findAllNodes("aten::slice") if isinstance(next(node.inputs()).type(), torch.TensorType)]
    assert len(left) == 3, "of nine"
    for num_channels in (1, 2):
        given = torch.randn(num_channels, 6)
        assert torch.equal(script(given, [torch.tensor(3.0)]), Slices()(given, [torch.tensor(3.0)]))


def test_the_mask_does_not_depend_on_level(crn: CRN) -> None:
    given = magnitude(60)
    with torch.no_grad():
        loud, quiet = torch.sigmoid(crn.logits(given)), torch.sigmoid(crn.logits(given * 0.03))
    assert (loud - quiet).abs().max() < 1e-2


def test_what_is_held_is_the_mean_and_the_least_of_the_past_and_of_nothing_before_it() -> None:
    holding = Holding(6, 0.016)
    given = torch.rand(1, 150, 6) + 0.5
    held, _, _ = holding(given, torch.zeros(1, 6, 2), torch.zeros(1, LONG_FRAMES - 1, 6))
    for frame in (0, 9, 40, 149):
        for place, window in ((1, SHORT_FRAMES), (2, LONG_FRAMES)):
            least = given[0, max(frame + 1 - window, 0) : frame + 1].amin(dim=0)
            assert torch.allclose(held[place][0, frame], least, atol=1e-5), (frame, window)
    assert torch.allclose(held[0][0, 0], given[0, 0]) and held[0][0, 149].sub(1.0).abs().max() < 0.3


@pytest.mark.parametrize("num_channels", [1, 2])
def test_every_way_over_the_bands_gives_the_sums_of_the_library(num_channels: int) -> None:
    planes = torch.randn(num_channels, 5, 3, 12)
    one, plain = ToOne(5, 5), nn.Conv2d(5, 1, (1, 5), padding=(0, 2))
    plain.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.allclose(one(planes), plain(planes)[:, 0], atol=1e-6)
        for taps, stride in ((3, 1), (6, 2)):
            over = BandConvolution(5, 7, taps, stride).eval()
            x = features_last(planes)
            ways = []
            for over.few_frames in (0, planes.shape[0] * planes.shape[2]):
                ways.append(over(x))
            assert torch.allclose(*ways, atol=1e-6) and ways[0].is_contiguous()


def test_a_larger_network_begins_as_the_smaller_one_whose_weights_it_is_given() -> None:
    small, large = nn.Conv2d(3, 4, 1), nn.Conv2d(5, 4, 1)
    large.load_state_dict(grown(large, small.state_dict()))
    given = torch.randn(1, 5, 2, 2)
    assert torch.allclose(large(given), small(given[:, :3]), atol=1e-6)
    for other, reason in ((nn.Conv2d(2, 4, 1), r"weight is \[4, 3, 1, 1\], and \[4, 2"), (nn.Conv2d(5, 3, 1), r"and \[3, 5"), (nn.Conv2d(5, 4, 1, bias=False), "bias")):
        with pytest.raises(DoesNotGrow, match=reason):
            grown(other, small.state_dict())


def test_silence_gives_a_finite_mask(crn: CRN) -> None:
    with torch.no_grad():
        assert torch.isfinite(crn.logits(torch.zeros(1, 20, 1025))).all()


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 32_000, 48_000])
def test_a_host_of_any_rate_is_served_with_one_mask_for_its_channels(crn: CRN, rate_hz: int) -> None:
    """Where masks are 1 the programme comes back whole, with fewer bins than the model's or more."""
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(1, rate_hz, generator=generator)
    with torch.no_grad():
        music = crn.programme_music(whole.expand(2, -1), rate_hz)
        assert music.shape == (2, rate_hz) and torch.equal(music[0], music[1]) and torch.isfinite(music).all()
    everything = host_grid.programme_music(lambda m: torch.full_like(m, 30.0), BentAxis.grid, whole, rate_hz)
    assert (everything - whole).abs().max() < 1e-4
