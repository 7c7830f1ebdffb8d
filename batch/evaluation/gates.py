"""Check gates: bounds for scores in CI. The end of an interval is tested, never its middle, so that luck passes no gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from batch.errors import InputError
from batch.evaluation.reading import Evaluation
from batch.evaluation.statistics.intervals import Interval, difference_interval, mean_interval
from batch.evaluation.statistics.scores import cluster_codes, row_scores
from batch.evaluation.table import ScoreTable
from batch.settings import GateSettings

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class GateResult:
    """The result of one gate for one variant, with a sentence that gives the figures. `interval` is None when nothing is measured yet."""

    settings: GateSettings
    variant: str
    passed: bool
    interval: Interval | None
    text: str


def check_gates(evaluation: Evaluation, gates: Sequence[GateSettings]) -> tuple[GateResult, ...]:
    """Check every gate for each of its variants. Tasks without an outcome fail it: nothing may pass by not being sent.

    Raises:
        InputError: a gate's score or variant is not in the evaluation.
    """
    return tuple(result for gate in gates for result in _check(evaluation, gate))


def _check(evaluation: Evaluation, gate: GateSettings) -> Iterator[GateResult]:
    tables = {judged.settings.name: judged.table for judged in evaluation.scores}
    if gate.score not in tables:
        raise InputError(f"a gate is on the score {gate.score}, which this evaluation has not; it has: {', '.join(tables) or 'none'}")
    table = tables[gate.score]
    for name in (gate.variant, gate.against):
        if name is not None and name not in table.variants:
            raise InputError(f"a gate names the variant {name}, which this evaluation has not; it has: {', '.join(table.variants)}")
    chosen = [gate.variant] if gate.variant is not None else [name for name in table.variants if name != gate.against]
    for variant in chosen:
        yield _result(table, gate, variant)


def _result(table: ScoreTable, gate: GateSettings, variant: str) -> GateResult:
    involved = [table.variants.index(name) for name in (variant, gate.against) if name is not None]
    missing = int(np.count_nonzero(table.states[involved] == 0))
    interval = _interval(table, gate, involved)
    what = {"strict": "score", "coverage": "coverage", "difference": f"difference to {gate.against}"}[gate.metric]
    named = f"{gate.score}: {variant}: {what}"
    if missing:
        return GateResult(gate, variant, False, interval, f"{named} is not known yet: {missing:,} tasks have no outcome")
    if interval is None:
        return GateResult(gate, variant, False, None, f"{named} is not known: there are no rows")
    measured = f"{named} {_shown(interval.estimate, gate)} [{_shown(interval.low, gate)}, {_shown(interval.high, gate)}]"
    if gate.minimum is not None and not interval.low >= gate.minimum:
        return GateResult(gate, variant, False, interval, f"{measured} is not shown to be at least {_shown(gate.minimum, gate)}")
    if gate.maximum is not None and not interval.high <= gate.maximum:
        return GateResult(gate, variant, False, interval, f"{measured} is not shown to be at most {_shown(gate.maximum, gate)}")
    return GateResult(gate, variant, True, interval, f"{measured} keeps {_bounds(gate)}")


def _interval(table: ScoreTable, gate: GateSettings, involved: Sequence[int]) -> Interval | None:
    scores, clusters = row_scores(table), cluster_codes(table)
    if gate.metric == "difference":
        differences = scores.strict[involved[0]] - scores.strict[involved[1]]
        return difference_interval(differences, clusters, level=LEVEL) if not np.isnan(differences).all() else None
    values = (scores.strict if gate.metric == "strict" else scores.coverage)[involved[0]]
    if np.isnan(values).all():
        return None
    plain = table.repeats == 1 and (table.binary or gate.metric == "coverage")
    return mean_interval(values, clusters, plain=plain, level=LEVEL)


def _bounds(gate: GateSettings) -> str:
    bounds = [("at least", gate.minimum), ("at most", gate.maximum)]
    return " and ".join(f"{word} {_shown(bound, gate)}" for word, bound in bounds if bound is not None)


def _shown(value: float, gate: GateSettings) -> str:
    return f"{100 * value:+z.1f} pt" if gate.metric == "difference" else f"{100 * value:z.1f} %"
