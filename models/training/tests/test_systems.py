"""The compared systems: shapes, sizes, what each output depends on, and how they are counted."""

import hashlib
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from underscore_training.grid import MODEL_GRID
from underscore_training.nets import (
    SYSTEMS,
    DMMDenseNet,
    MaskSeparator,
    UnknownSystem,
    build,
)
from underscore_training.nets.__main__ import main
from underscore_training.nets.axes import PaperAxis
from underscore_training.nets.complexity import gmac_per_s, look_ahead_ms, num_parameters
from underscore_training.nets.convolution import convolve
from underscore_training.nets.waveunet import WaveUNet, interpolate

NUM_PARAMETERS = {
    "unet": 9_821_809,
    "waveunet": 10_263_002,
    "mdensenet": 12_871,
    "mmdensenet": 279_864,
    "fdmmdensenet": 583_212,
    "tdmmdensenet": 583_212,
    "dmmdensenet": 583_212,
}
LOOK_AHEAD_MS = {
    "unet": 4112,
    "waveunet": 4351,
    "mdensenet": 944,
    "mmdensenet": 1680,
    "fdmmdensenet": 2448,
    "tdmmdensenet": 3216,
    "dmmdensenet": 3216,
}
MASK_SYSTEMS = [system for system in NUM_PARAMETERS if system != "waveunet"]
DILATIONS = [None, (1, 2), (2, 1), (2, 2)]


@cache
def built(system: str) -> nn.Module:
    torch.manual_seed(5)
    return build(system).eval()


class NoLevel(PaperAxis):
    """Stands in for an axis, whose sums would spread a NaN over the clip."""

    def latest_frame(self, frame: int) -> int:
        return frame


def reached_from(net, x: Tensor, at: int) -> tuple[int, int]:
    """First and last output position (axis 1) that input position `at` has a way to.

    A NaN passes through every layer, however small the weights on its way are.
    """
    x = x.clone()
    x[:, at] = float("nan")
    with torch.no_grad():
        y = net(x)
    touched = torch.isnan(y).reshape(y.shape[0], y.shape[1], -1).any(dim=2)[0].nonzero()[:, 0]
    return int(touched[0]), int(touched[-1])


def test_the_table_is_complete() -> None:
    assert list(SYSTEMS)[: len(NUM_PARAMETERS)] == list(NUM_PARAMETERS)


@pytest.mark.parametrize("system", NUM_PARAMETERS)
def test_size_rate_and_look_ahead(system: str) -> None:
    net = built(system)
    assert num_parameters(net) == NUM_PARAMETERS[system]
    assert net.sample_rate_hz == 16_000
    assert round(look_ahead_ms(net)) == LOOK_AHEAD_MS[system]


@pytest.mark.parametrize("num_samples", [1, 5_001])
@pytest.mark.parametrize("system", NUM_PARAMETERS)
def test_any_length_is_separated(system: str, num_samples: int) -> None:
    mixture = 0.1 * torch.randn(2, num_samples)
    with torch.no_grad():
        music = built(system).separate(mixture)
    assert music.shape == mixture.shape and music.dtype == torch.float32
    assert torch.isfinite(music).all()


@pytest.mark.parametrize("num_frames", [1, 13, 65])
@pytest.mark.parametrize("system", MASK_SYSTEMS)
def test_any_number_of_frames_has_a_mask(system: str, num_frames: int) -> None:
    net = built(system)
    magnitude = torch.rand(1, num_frames, net.grid.num_bins)
    with torch.no_grad():
        logits = net.logits(magnitude)
        mask = net.music_mask(magnitude.to(torch.complex64))
    assert logits.shape == magnitude.shape
    assert torch.equal(mask, torch.sigmoid(logits))
    assert 0 <= mask.min() and mask.max() <= 1
    assert torch.equal(mask[..., -1], mask[..., -2])


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("system", NUM_PARAMETERS)
def test_every_parameter_has_a_finite_gradient(system: str, autocast: bool) -> None:
    torch.manual_seed(5)
    net = build(system).train()
    mixture = 0.1 * torch.randn(2, 4_096)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        music = net.separate(mixture)
    music.square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert sum(float(parameter.grad.abs().sum()) for parameter in net.parameters()) > 0


@pytest.mark.parametrize("num_samples", [1, 255, 1_024, 3_001])
def test_a_mask_of_one_gives_the_mixture_back(num_samples: int) -> None:
    class One(MaskSeparator):
        frame_multiple = 8

        def forward(self, levelled: Tensor) -> Tensor:
            return torch.full_like(levelled, 40.0)

    mixture = torch.randn(2, num_samples)
    assert (One().separate(mixture) - mixture).abs().max() < 1e-5


@pytest.mark.parametrize("system", MASK_SYSTEMS)
def test_a_mask_is_centred_and_its_look_ahead_is_as_stated(system: str) -> None:
    torch.manual_seed(5)
    net = build(system).eval()
    net.axis = NoLevel()
    # As long as both sides of the reach, in whole blocks of every system.
    num_frames, at = 576, 290
    first, last = reached_from(net, torch.rand(1, num_frames, MODEL_GRID.num_bins - 1), at)
    assert 0 < first and last < num_frames - 1
    assert net.latest_frame(first - 1) < at <= net.latest_frame(first)
    assert abs((at - first) - (last - at)) < net.frame_multiple


@pytest.mark.parametrize("dilation", DILATIONS)
def test_a_causal_mask_waits_for_its_call_only(dilation: tuple[int, int] | None) -> None:
    system = "mmdensenet" if dilation is None else "dmmdensenet"
    net = build(system, dilation=dilation, look_ahead="none").eval()
    assert look_ahead_ms(net) == 64 + 7 * 16
    net.axis = NoLevel()
    first, last = reached_from(net, torch.rand(1, 128, MODEL_GRID.num_bins - 1), 45)
    assert first == 40 and last > 110


def test_the_wave_u_net_is_centred_and_its_look_ahead_is_as_stated() -> None:
    net = built("waveunet")
    num_samples, at = 36 * 4096, 18 * 4096 + 1234
    first, last = reached_from(net.estimate, torch.rand(1, num_samples), at)
    assert 0 < first and last < num_samples - 1
    assert net.latest_sample(first - 1) < at <= net.latest_sample(first)
    assert abs((at - first) - (last - at)) < 4096


def test_the_wave_u_net_follows_the_gain() -> None:
    mixture = 0.1 * torch.randn(1, 5_000)
    with torch.no_grad():
        loud, quiet = built("waveunet").separate(mixture), built("waveunet").separate(0.01 * mixture)
        silent = built("waveunet").separate(torch.zeros(1, 5_000))
    assert torch.allclose(quiet, 0.01 * loud, atol=1e-6)
    assert silent.abs().max() < 1e-4


def test_interpolation_keeps_samples_in_place() -> None:
    x = torch.tensor([[[0.0, 2.0, 6.0]]])
    assert interpolate(x).tolist() == [[[0.0, 1.0, 2.0, 4.0, 6.0, 6.0]]]


@pytest.mark.parametrize("dilation", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("kernel", "is_padded"), [((3, 3), True), ((3, 4), False), ((1, 1), False)])
def test_gradient_of_the_convolution(
    kernel: tuple[int, int], is_padded: bool, causal: bool, dilation: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 16, 24, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 5, *kernel, dtype=torch.float64, requires_grad=True)
    reach = (kernel[0] - 1) * dilation[0]
    pad = (reach if causal else reach // 2, dilation[1] if is_padded else 0)
    expected = nn.functional.conv2d(x, weight, padding=pad, dilation=dilation)[:, :, :16]
    actual = convolve(x, weight, pad[1], dilation, causal)
    upstream = torch.randn_like(expected)
    assert torch.allclose(actual, expected)
    for a, b in zip(
        torch.autograd.grad(actual, (x, weight), upstream), torch.autograd.grad(expected, (x, weight), upstream)
    ):
        assert torch.allclose(a, b, atol=1e-10)


def test_gradient_of_a_centred_convolution_of_even_width() -> None:
    weight = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    x = torch.randn(1, 3, 6, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, weight: convolve(x, weight, 0, 1, False), (x, weight))


def test_checkpoints_of_the_streaming_network_still_fit() -> None:
    shapes = "\n".join(f"{name} {tuple(value.shape)}" for name, value in DMMDenseNet(look_ahead="none").state_dict().items())
    expected = "8f1bd97a15b59384838b4adbc9253199f0c3d48449b49db8bb24c521196584b3"
    assert hashlib.sha256(shapes.encode()).hexdigest() == expected


def test_an_unknown_system_is_refused() -> None:
    with pytest.raises(UnknownSystem, match="'dmm'.*known: unet, waveunet"):
        build("dmm")


class Counted(nn.Module):
    """One second is 16 000 samples, 62.5 frames of 256 samples."""

    sample_rate_hz = 16_000

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def separate(self, mixture: Tensor) -> Tensor:
        self.layer(mixture.reshape(1, -1, 256))
        return mixture


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x[:, None], self.weight, 1, 1)


@pytest.mark.parametrize(
    ("layer", "macs_per_frame"),
    [
        (nn.Linear(256, 10), 2_560),
        (nn.LSTM(256, 32, batch_first=True), 4 * 32 * (256 + 32)),
        (nn.LSTM(256, 32, bidirectional=True, batch_first=True), 8 * 32 * (256 + 32)),
        (nn.GRU(256, 32, batch_first=True), 3 * 32 * (256 + 32)),
        (Functional(), 256 * 4 * 9),
    ],
)
def test_layers_are_counted(layer: nn.Module, macs_per_frame: int) -> None:
    assert gmac_per_s(Counted(layer)) == pytest.approx(macs_per_frame * 62.5e-9)


def test_counting_leaves_the_network_alone() -> None:
    net = WaveUNet().train()
    gmac_per_s(net)
    assert net.training and all(parameter.device.type == "cpu" for parameter in net.parameters())


def test_the_command_prints_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    main(["mdensenet"])
    assert "| mdensenet | 12,871 | 0.26 | 944 ms |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="known: unet"):
        main(["dmm"])
