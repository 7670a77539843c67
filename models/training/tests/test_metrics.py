"""Scores on signals whose scores are known."""

import numpy as np
import pytest

from underscore_training.metrics import bss_eval, sdr_db, si_sdr_db


def test_known_ratios() -> None:
    rng = np.random.default_rng(0)
    target, other, noise = rng.standard_normal((3, 32_000))
    estimate = 0.5 * (target + 0.1 * other + 0.01 * noise)
    sdr, sir, sar = bss_eval(np.stack([target, other]), estimate, 0)
    # 512 taps of two sources explain a little of the noise: about 0.1 dB.
    assert sir == pytest.approx(20, abs=0.5)
    assert sar == pytest.approx(40, abs=0.5)
    assert sdr == pytest.approx(20, abs=0.5)
    assert si_sdr_db(target, estimate) == pytest.approx(20, abs=0.2)
    assert sdr_db(target, target + 0.1 * other) == pytest.approx(20, abs=0.2)


def test_a_filtered_target_is_no_distortion() -> None:
    rng = np.random.default_rng(1)
    target, other = rng.standard_normal((2, 16_000))
    filtered = np.convolve(target, [0.5, 0.3, -0.2])[: target.size]
    sdr, _, _ = bss_eval(np.stack([target, other]), filtered, 0)
    assert sdr > 30
