"""The dense networks in calls: they are the whole clip from frame 0 on, however they look ahead."""

import pytest
import torch
from conftest import unsettled

from underscore_training.export import contract
from underscore_training.nets import DMMDenseNet, StreamingSeparator, build
from underscore_training.nets.axes import AXES
from underscore_training.nets.bands import Band, Bands
from underscore_training.nets.streaming.delay import Delay

CALL_FRAMES = 8
# As many layers as Table 1 has, which is what delays depend on, and few features.
SMALL = Bands(low=Band(2, 4, 0.25), high=Band(2, 3, 0.28), full=Band(2, 2, 0.25), last=Band(2, 2, 0.25))
SMALL_FULL = Bands(low=None, high=None, full=SMALL.full, last=SMALL.last)
FORMS = {
    "causal": dict(dilation=(2, 2), look_ahead="none"),
    "causal, plain": dict(dilation=None, look_ahead="none"),
    "fine, dilated in frequency": dict(dilation=(1, 2), look_ahead="fine", axis="bent"),
    "fine, dilated in time": dict(dilation=(2, 1), look_ahead="fine"),
    "fine, full band alone": dict(bands=SMALL_FULL, dilation=None, look_ahead="fine"),
    "exact, the paper's 2D": dict(dilation=(2, 2), look_ahead="full"),
    "exact, the paper's F": dict(dilation=(1, 2), look_ahead="full"),
    "exact, the paper's T": dict(dilation=(2, 1), look_ahead="full"),
    "exact, full band": dict(dilation=(1, 2), look_ahead="full", axis="bent"),
    "exact, the paper's MM": dict(dilation=None, look_ahead="full"),
    "exact, the paper's M": dict(bands=SMALL_FULL, dilation=None, look_ahead="full"),
}


def both_forms(form: str) -> tuple[DMMDenseNet, StreamingSeparator]:
    torch.manual_seed(3)
    # In double precision, where what remains is no rounding.
    net = unsettled(DMMDenseNet(**({"bands": SMALL} | FORMS[form]))).double()
    return net, StreamingSeparator(net).eval()


def zero_state(model: StreamingSeparator, num_channels: int) -> list[torch.Tensor]:
    return [tensor.double() for tensor in contract.zero_state(model.state_shapes(), num_channels)]


@pytest.mark.parametrize(("form", "num_channels"), [*((form, 1) for form in FORMS), ("fine, dilated in frequency", 2)])
def test_calls_equal_the_whole_clip_from_its_first_frame(form: str, num_channels: int) -> None:
    net, model = both_forms(form)
    ahead = model.look_ahead_frames
    num_frames = 48 + ahead
    needed = num_frames + net.ahead_frames
    total = needed + -needed % CALL_FRAMES
    spectrum = contract.test_spectrum(net.grid, total, num_channels).double()
    if net.silence_follows:
        spectrum[:, num_frames:] = 0
    given = spectrum[:, :num_frames] if net.silence_follows else spectrum
    with torch.no_grad():
        whole = torch.sigmoid(net.logits(torch.view_as_complex(given.contiguous()).abs()))[None, :, :num_frames]
    called = contract.run_calls(model, spectrum, zero_state(model, num_channels), CALL_FRAMES)[:, :, ahead : ahead + num_frames]
    worst = float((called - whole).abs().max())
    print(f"{form}: look-ahead {ahead} frames, masks {float(whole.min()):.2f} to {float(whole.max()):.2f}, differ by {worst:.1e}")
    assert whole.std() > 0.05, "masks that are all alike would prove nothing"
    assert worst < 1e-9


@pytest.mark.parametrize("frames", [CALL_FRAMES, 2 * CALL_FRAMES, 3 * CALL_FRAMES])
def test_calls_may_be_of_another_length_than_they_are_made_for(frames: int) -> None:
    net, model = both_forms("exact, full band")
    longer = StreamingSeparator(net, 2 * CALL_FRAMES).eval()
    assert longer.look_ahead_frames == model.look_ahead_frames
    spectrum = contract.test_spectrum(net.grid, 8 * 2 * 3 * CALL_FRAMES).double()
    expected = contract.run_calls(model, spectrum, zero_state(model, 1), CALL_FRAMES)
    found = contract.run_calls(longer, spectrum, zero_state(longer, 1), frames)
    assert expected[:, :, model.look_ahead_frames :].std() > 0.05
    assert float((found - expected).abs().max()) < 1e-9


@pytest.mark.parametrize("lag", [0, 1, 7, 8, 9, 24])
def test_a_delay_line_puts_out_what_came_in_before_whatever_comes_in_at_once(lag: int) -> None:
    line = Delay(3, lag, CALL_FRAMES)
    given = torch.rand(2, 96, 5, 3)
    state, found = contract.zero_state(line.state_shapes(5), 2), []
    assert sum(shape[1] for shape in line.state_shapes(5)) == lag
    for frames in (8, 8, 16, 8, 24, 8, 8, 8, 8):
        made, state = line(given[:, sum(part.shape[1] for part in found) :][:, :frames], state)
        found.append(made)
    expected = torch.nn.functional.pad(given, (0, 0, 0, 0, lag, 0))[:, : given.shape[1]]
    assert torch.equal(torch.cat(found, dim=1), expected)


@pytest.mark.parametrize("form", FORMS)
def test_the_state_has_the_shapes_that_it_says(form: str) -> None:
    net, model = both_forms(form)
    state = zero_state(model, 2)
    with torch.no_grad():
        _, after = model(contract.test_spectrum(net.grid, CALL_FRAMES, 2).double(), state)
    assert [tensor.shape for tensor in after] == [tensor.shape for tensor in state]
    assert all(0 not in tensor.shape for tensor in after)


@pytest.mark.parametrize("form", FORMS)
def test_the_stream_is_as_late_as_the_network_looks_ahead(form: str) -> None:
    """No form waits longer than it must, but for what a pool's pair takes to be whole."""
    net, model = both_forms(form)
    # What a frame at the worst place in its call needs, less what its own call brings.
    needed = net.ahead_frames - (CALL_FRAMES - 1)
    assert needed <= model.look_ahead_frames <= needed + CALL_FRAMES


def test_studio_has_224_ms_of_look_ahead() -> None:
    assert StreamingSeparator(build("studio").eval()).look_ahead_frames == 14


def test_a_long_stream_forgets_how_long_it_is() -> None:
    """The count of frames stands still, so that a week on air is no number that a float cannot hold."""
    net, model = both_forms("fine, full band alone")
    spectrum = contract.test_spectrum(net.grid, CALL_FRAMES).double()
    state = zero_state(model, 1)
    state[0] += 1e9
    with torch.no_grad():
        mask, after = model(spectrum, state)
    assert torch.isfinite(mask).all() and after[0].max() == model.counted_frames


def test_channels_are_of_one_age_and_the_state_says_so() -> None:
    """The plugin lays streams side by side only where all of a state belongs to a channel."""
    _, model = both_forms("exact, full band")
    assert [shape for shape in model.state_shapes() if shape[0] != -1] == [[1, 1]]


def test_what_a_mask_looks_back_on_is_as_stated() -> None:
    torch.manual_seed(3)
    net = unsettled(DMMDenseNet(bands=SMALL, dilation=None, look_ahead="fine"))
    back = net.look_back_frames
    levelled = torch.rand(1, back + 64, net.axis.num_bands)
    changed = levelled.clone()
    changed[:, :32] = 0
    with torch.no_grad():
        difference = (net(levelled) - net(changed)).abs().amax(dim=(0, 2))
    assert difference[:32].min() > 0 and difference[32 + back :].max() == 0


@pytest.mark.parametrize("axis", AXES)
def test_a_level_in_calls_is_the_level_at_once(axis: str) -> None:
    made = AXES[axis]()
    given = torch.rand(2, 304, made.grid.num_bins)
    whole, end = made(given, torch.zeros(2, 2))
    state, parts = torch.zeros(2, 2), []
    for call in given.split(CALL_FRAMES, dim=1):
        part, state = made(call, state)
        parts.append(part)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5) and torch.allclose(state, end, atol=1e-5)


def test_values_that_options_cannot_have_are_refused() -> None:
    with pytest.raises(ValueError, match="look_ahead is 'some', expected one of none, fine, full"):
        DMMDenseNet(look_ahead="some")
    with pytest.raises(ValueError, match="axis is 'flat', expected one of paper, bent"):
        DMMDenseNet(axis="flat")
    with pytest.raises(ValueError, match="frames_per_call is 12, expected a multiple of 8"):
        DMMDenseNet(frames_per_call=12)
