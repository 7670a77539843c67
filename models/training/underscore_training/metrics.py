"""Separation scores in dB: SDR, SI-SDR and BSS-eval's SIR and SAR.

Signals are float64 `[sample]`. `sdr_db` allows the estimate nothing; BSS-eval allows it
a filter of 512 taps, as `mir_eval` and `museval` do.
"""

import numpy as np
from scipy.linalg import solve
from scipy.linalg import toeplitz

NUM_TAPS = 512
TINY = 1e-12


def ratio_db(wanted: np.ndarray, unwanted: np.ndarray) -> float:
    return float(10 * np.log10((np.sum(wanted**2) + TINY) / (np.sum(unwanted**2) + TINY)))


def sdr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Energy of the reference over energy of the difference; any shape."""
    return ratio_db(reference, reference - estimate)


def si_sdr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """As `sdr_db`, after the best gain."""
    gain = np.sum(reference * estimate) / (np.sum(reference**2) + TINY)
    return ratio_db(gain * reference, estimate - gain * reference)


def projection(sources: np.ndarray, estimate: np.ndarray, num_taps: int) -> np.ndarray:
    """The estimate's nearest sum of filtered sources: `[source, sample]`, `[sample]` -> `[sample + taps - 1]`."""
    num_sources, num_samples = sources.shape
    length = num_samples + num_taps - 1
    size = 1 << (length - 1).bit_length()
    spectra = np.fft.rfft(sources, size)
    target = np.fft.rfft(estimate, size)
    gram = np.zeros((num_sources * num_taps,) * 2)
    for i in range(num_sources):
        for j in range(num_sources):
            correlation = np.fft.irfft(spectra[i] * spectra[j].conj(), size)
            column = np.r_[correlation[0], correlation[-1 : -num_taps : -1]]
            block = toeplitz(column, correlation[:num_taps])
            gram[i * num_taps : (i + 1) * num_taps, j * num_taps : (j + 1) * num_taps] = block
    cross = np.concatenate([np.fft.irfft(target * spectrum.conj(), size)[:num_taps] for spectrum in spectra])
    gram += np.eye(gram.shape[0]) * gram.trace() / gram.shape[0] * 1e-10
    filters = solve(gram, cross, assume_a="pos").reshape(num_sources, num_taps)
    filtered = np.fft.irfft((np.fft.rfft(filters, size) * spectra).sum(axis=0), size)
    return filtered[:length]


def bss_eval(sources: np.ndarray, estimate: np.ndarray, target_idx: int, num_taps: int = NUM_TAPS) -> tuple[float, float, float]:
    """(SDR, SIR, SAR) of `estimate` `[sample]` against `sources` `[source, sample]`."""
    padded = np.pad(estimate, (0, num_taps - 1))
    target = projection(sources[target_idx : target_idx + 1], estimate, num_taps)
    everything = projection(sources, estimate, num_taps)
    interference = everything - target
    artefacts = padded - everything
    return (
        ratio_db(target, interference + artefacts),
        ratio_db(target, interference),
        ratio_db(everything, artefacts),
    )
