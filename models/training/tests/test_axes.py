"""What networks read: levels do not depend on treble, wide bands are interpolated."""

import torch

from underscore_training.export import contract
from underscore_training.nets.axes import BentAxis, PaperAxis
from underscore_training.nets.level import RunningMean


def test_a_running_mean_forgets_by_its_constant_and_does_not_see_where_calls_end() -> None:
    keep = 0.9
    mean = RunningMean(keep).double()
    values = torch.rand(2, 300, dtype=torch.float64)
    whole, last = mean(values, torch.zeros(2, 2, dtype=torch.float64))
    for step in (0, 1, 127, 128, 299):
        weights = keep ** torch.arange(step, -1, -1, dtype=torch.float64)
        expected = (values[:, : step + 1] * weights).sum(dim=1) / weights.sum()
        assert torch.allclose(whole[:, step], expected, atol=1e-6), step
    state, parts = torch.zeros(2, 2, dtype=torch.float64), []
    for call in values.split(7, dim=1):
        part, state = mean(call, state)
        parts.append(part)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-6) and torch.allclose(state, last, atol=1e-6)


def test_a_mixture_without_treble_is_levelled_below_8_khz_as_one_with_it() -> None:
    """The level is taken below 8 kHz: a host of 16 kHz gives the network the same level as one of 48."""
    axis = BentAxis()
    given = torch.view_as_complex(contract.test_spectrum(axis.grid, 20)).abs()
    narrow = given.clone()
    narrow[..., 512:] = 0
    with_treble, without = (axis(magnitude, torch.zeros(1, 2))[0] for magnitude in (given, narrow))
    assert torch.equal(with_treble[..., :512], without[..., :512]) and not torch.equal(with_treble, without)


def test_wide_bands_are_interpolated_and_level_at_the_edge() -> None:
    axis = BentAxis()
    assert axis.spread.shape == (32, 512) and torch.allclose(axis.spread.sum(dim=0), torch.ones(512))
    bins = axis.to_bins(torch.cat([torch.zeros(512), torch.arange(32.0)])[None, None])[0, 0]
    assert bins.shape == (1025,) and (bins[512:].diff() >= 0).all() and bins[512] == 0 and bins[-1] == 31


def test_nyquist_is_not_read_and_has_the_value_of_the_bin_below() -> None:
    for axis in (PaperAxis(), BentAxis()):
        given = torch.rand(1, 8, axis.grid.num_bins)
        changed = given.clone()
        changed[..., -1] = 9
        first, second = (axis(magnitude, torch.zeros(1, 2))[0] for magnitude in (given, changed))
        assert torch.equal(first, second) and first.shape == (1, 8, axis.num_bands)
        bins = axis.to_bins(first)
        assert bins.shape == given.shape and torch.equal(bins[..., -1], bins[..., -2])
