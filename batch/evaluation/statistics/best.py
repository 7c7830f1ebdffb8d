"""How often each variant would come out best if the rows were drawn again."""

from __future__ import annotations

import numpy as np

from batch.evaluation.statistics.intervals import Codes, Floats, cluster_sums

RESAMPLES = 4_000
"""Resamples: the probability's own error is at most 0.008."""


def probability_best(strict: Floats, clusters: Codes | None, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Each variant's share of bootstrap resamples in which its mean is the highest; equals share a win. Shape (variants,).

    `strict` has shape (variants, rows); only rows that all variants have are used, and each resample of rows (of whole clusters,
    where there are some) serves all variants, so what makes a row hard for all cancels (Efron & Tibshirani 1993, chapters 6 and 8).
    All NaN when there is no such row.
    """
    together = ~np.isnan(strict).any(axis=0)
    if not together.any():
        return np.full(len(strict), np.nan)
    groups = None if clusters is None else np.unique(clusters[together], return_inverse=True)[1]
    sums = cluster_sums(strict[:, together], groups).T
    sizes = np.ones(len(sums)) if groups is None else np.bincount(groups).astype(np.float64)
    units = len(sums)
    won = np.zeros(len(strict))
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, units, units), minlength=units)
        means = (times @ sums) / (times @ sizes)
        best = means >= means.max() - 1e-12
        won += best / np.count_nonzero(best)
    return won / resamples
