"""Separation scores in dB: SDR, SI-SDR, and BSS-eval's SDR, SIR and SAR.

Signals are float64 `[sample]`. `sdr_db` allows the estimate nothing, `si_sdr_db` a gain;
BSS-eval (version 3, as `mir_eval` and `museval` have it) a filter of 512 taps.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import cho_factor, cho_solve, toeplitz

NUM_TAPS = 512
LIMIT_DB = 100.0
"""Scores end here at both sides: what lies beyond is rounding, and a mean must not follow it."""
LOADING = 1e-12
"""Added to the Gram matrix's diagonal, relative to its mean. Band-limited recordings make the
matrix singular to rounding; so little moves no score by 0.001 dB."""


class SilentReference(ValueError):
    """A reference without energy: no score is defined against it."""

    def __init__(self, message: str = "the reference is silent: no score is defined against it"):
        super().__init__(message)


def ratio_db(wanted: float, unwanted: float) -> float:
    """Energies -> dB within ±`LIMIT_DB`."""
    limit = 10 ** (LIMIT_DB / 10)
    if wanted <= 0 or wanted * limit <= unwanted:
        return -LIMIT_DB
    if unwanted * limit <= wanted:
        return LIMIT_DB
    return float(10 * np.log10(wanted / unwanted))


def energy(signal: np.ndarray) -> float:
    return float(np.vdot(signal, signal))


def sdr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Energy of the reference over energy of the difference; any shape."""
    wanted = energy(reference)
    if wanted == 0:
        raise SilentReference
    return ratio_db(wanted, energy(reference - estimate))


def level_db(sound: np.ndarray, heard: np.ndarray) -> float:
    """Energy of what is heard of a sound, by that of the sound itself; -60 dB is nothing of it: what is gone may be gone by more or less."""
    return float(10 * np.log10(energy(heard) / energy(sound) + 1e-6))


def si_sdr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """As `sdr_db`, after the best gain."""
    wanted = energy(reference)
    if wanted == 0:
        raise SilentReference
    scaled = np.vdot(reference, estimate) / wanted * reference
    return ratio_db(energy(scaled), energy(estimate - scaled))


@dataclass(frozen=True)
class BssScores:
    sdr_db: float
    sir_db: float
    sar_db: float


class BssEval:
    """BSS-eval against the references of one clip.

    All that depends on the references alone is done once: the Gram matrix of their delayed
    copies and its factors. An estimate then costs one correlation and two triangular solves,
    and energies of projections come as quadratic forms of that matrix instead of signals.
    """

    def __init__(self, sources: np.ndarray, num_taps: int = NUM_TAPS):
        """`[source, sample]`; none of them silent."""
        num_sources, num_samples = sources.shape
        if any(energy(source) == 0 for source in sources):
            raise SilentReference
        self.num_taps = num_taps
        self.size = next_fast_len(num_samples + num_taps - 1, real=True)
        self.spectra = rfft(sources, self.size)
        self.gram = np.empty((num_sources * num_taps,) * 2)
        for i in range(num_sources):
            for j in range(num_sources):
                correlation = irfft(self.spectra[i] * self.spectra[j].conj(), self.size)
                column = np.r_[correlation[0], correlation[-1 : -num_taps : -1]]
                self.gram[self.taps(i), self.taps(j)] = toeplitz(column, correlation[:num_taps])
        self.factors = self.factorised(self.gram)
        self.own_factors = [self.factorised(self.gram[self.taps(i), self.taps(i)]) for i in range(num_sources)]

    def taps(self, source_idx: int) -> slice:
        return slice(source_idx * self.num_taps, (source_idx + 1) * self.num_taps)

    @staticmethod
    def factorised(gram: np.ndarray):
        loaded = gram.copy()
        loaded[np.diag_indices_from(loaded)] += np.trace(gram) / gram.shape[0] * LOADING
        return cho_factor(loaded, lower=True, overwrite_a=True, check_finite=False)

    def scores(self, estimate: np.ndarray, target_idx: int) -> BssScores:
        """Of `estimate` `[sample]` as the source at `target_idx`."""
        spectrum = rfft(estimate, self.size)
        cross = irfft(spectrum * self.spectra.conj(), self.size)[:, : self.num_taps].ravel()
        own = self.taps(target_idx)
        target = np.zeros_like(cross)
        target[own] = cho_solve(self.own_factors[target_idx], cross[own], check_finite=False)
        everything = cho_solve(self.factors, cross, check_finite=False)
        interference = everything - target
        whole = energy(estimate)

        def projected(filters):
            return float(filters @ self.gram @ filters)

        def remaining(filters):
            """Energy of the estimate minus the filtered sources."""
            return whole - 2 * float(filters @ cross) + projected(filters)

        wanted = projected(target)
        return BssScores(
            ratio_db(wanted, remaining(target)),
            ratio_db(wanted, projected(interference)),
            ratio_db(projected(everything), remaining(everything)),
        )
