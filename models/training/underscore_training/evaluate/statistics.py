"""Confidence intervals and paired tests for means over clips that share pieces.

Clips of one piece are not independent: what makes one hard makes the others hard. So it
is pieces, not clips, that are drawn again, and pieces whose signs are turned.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

NUM_RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 7
FEW = 6
"""Clusters below which no resampling helps: no mean of those drawn again lies outside of what there is, which holds the true one at 3 clusters in
three cases of four."""
BLOCK = 1000
"""Resamples at a time, which bounds the memory."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies with 95 % confidence; without bounds where one piece is all there is."""

    mean: float
    low: float | None
    high: float | None


def by_cluster(values: np.ndarray, clusters: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """`[clip]` -> sum and number of the values of each cluster, both `[cluster]`."""
    _, cluster_idx = np.unique(clusters, return_inverse=True)
    return np.bincount(cluster_idx, weights=values), np.bincount(cluster_idx)


def tail(num_clusters: int) -> float:
    """Quantile of the resampled means at which the interval ends.

    The plain 2.5 % gives intervals that are too short where clusters are few: resampling
    underestimates the variance by (n - 1) / n and knows nothing of Student's t. The
    expanded percentile interval (Hesterberg, "What teachers should know about the bootstrap",
    2015) corrects both.
    """
    reach = t.ppf((1 + CONFIDENCE) / 2, num_clusters - 1) * np.sqrt(num_clusters / (num_clusters - 1))
    return float(norm.cdf(-reach))


def interval(values: list[float], clusters: list[str], num_resamples: int = NUM_RESAMPLES, seed: int = SEED) -> Interval:
    """Bootstrap interval of the mean of `values` `[clip]`, clusters drawn with replacement; Student's of few clusters."""
    sums, counts = by_cluster(np.asarray(values, np.float64), clusters)
    mean = float(sums.sum() / counts.sum())
    if sums.size < 2:
        return Interval(mean, None, None)
    if sums.size < FEW:
        # Of a mean weighted by clips, by what each cluster is beside it (Cochran, "Sampling techniques", 1977, section 6.4).
        beside = sums - mean * counts
        reach = t.ppf((1 + CONFIDENCE) / 2, sums.size - 1) * np.sqrt(sums.size / (sums.size - 1) * (beside**2).sum()) / counts.sum()
        return Interval(mean, mean - float(reach), mean + float(reach))
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, num_resamples, BLOCK):
        drawn = rng.multinomial(sums.size, np.full(sums.size, 1 / sums.size), min(BLOCK, num_resamples - start))
        means.append(drawn @ sums / (drawn @ counts))
    share = tail(sums.size)
    low, high = np.quantile(np.concatenate(means), [share, 1 - share])
    return Interval(mean, float(low), float(high))


def sign_patterns(num_clusters: int, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """`[pattern, cluster]` of -1 and 1 in blocks: every pattern where there are few, else random ones."""
    if 2**num_clusters <= num_resamples:
        patterns = np.arange(2**num_clusters)[:, None] >> np.arange(num_clusters) & 1
        yield 2.0 * patterns - 1
        return
    rng = np.random.default_rng(seed)
    # The arrangement that was observed is one of those that could have been.
    yield np.ones((1, num_clusters))
    for start in range(0, num_resamples, BLOCK):
        yield rng.choice((-1.0, 1.0), (min(BLOCK, num_resamples - start), num_clusters))


def paired_p(
    first: list[float], second: list[float], clusters: list[str], num_resamples: int = NUM_RESAMPLES, seed: int = SEED
) -> float | None:
    """Chance of a mean difference as large as that between `first` and `second` `[clip]` if they were equally good.

    Permutation test, two-sided: in each cluster the two change places or do not. Nothing
    is returned for a single cluster, which can decide nothing.
    """
    sums, _ = by_cluster(np.asarray(first, np.float64) - np.asarray(second, np.float64), clusters)
    if sums.size < 2:
        return None
    # Rounding must not turn ties (the same signs again) into smaller values.
    observed = abs(sums.sum()) * (1 - 1e-9)
    as_large = [np.abs(signs @ sums) >= observed for signs in sign_patterns(sums.size, num_resamples, seed)]
    return float(np.concatenate(as_large).mean())
