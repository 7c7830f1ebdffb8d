"""Estimate the strengths of variants from won and lost pairs: the Bradley-Terry model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from batch.evaluation.statistics.distributions import normal_quantile
from batch.evaluation.statistics.intervals import Floats

_STEPS = 10_000
_PRECISION = 1e-10
# Half a won and half a lost pair against the mean variant: strengths stay finite where one won or lost all.
_PRIOR = 0.5


@dataclass(frozen=True, slots=True)
class Strength:
    """A variant's strength as log-odds against the mean of all, with its interval; `share` is its chance against the mean."""

    variant: str
    strength: float
    low: float
    high: float
    share: float


def bradley_terry(variants: Sequence[str], won: Floats, *, level: float = 0.95) -> tuple[Strength, ...]:
    """Fit the strengths, which sum to 0, the strongest first. `won[i, j]` counts wins of i against j; a tie is half a win for both.

    Bradley & Terry 1952, Biometrika 39:324, by Hunter's MM algorithm (2004, Ann. Stat. 32:384, eq. 3), with half a won and half a lost pair
    against the mean added for each variant. Intervals are from the Fisher information of the pairs, taken as independent.
    """
    count = len(variants)
    played = won + won.T
    rates, wins = np.ones(count), won.sum(axis=1) + _PRIOR
    for _ in range(_STEPS):
        shares = (played / np.add.outer(rates, rates)).sum(axis=1) + 2 * _PRIOR / (rates + 1)
        updated = wins / shares
        moved = float(np.max(np.abs(np.log(updated / rates))))
        rates = updated
        if moved < _PRECISION:
            break
    strengths = np.log(rates)
    strengths -= strengths.mean()
    errors = _errors(strengths, played)
    half = normal_quantile((1 + level) / 2)
    found = [
        Strength(name, float(at), float(at - half * error), float(at + half * error), 1 / (1 + math.exp(-float(at))))
        for name, at, error in zip(variants, strengths, errors, strict=True)
    ]
    return tuple(sorted(found, key=lambda one: -round(one.strength, 9)))


def _errors(strengths: Floats, played: Floats) -> Floats:
    """Compute the strengths' standard errors by the pseudo-inverse of the information, whose null space is a common shift."""
    chances = 1 / (1 + np.exp(-np.subtract.outer(strengths, strengths)))
    weights = played * chances * (1 - chances)
    information = np.diag(weights.sum(axis=1)) - weights
    errors: Floats = np.sqrt(np.maximum(0.0, np.diag(np.linalg.pinv(information))))
    return errors
