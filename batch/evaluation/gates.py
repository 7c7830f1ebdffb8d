"""Check gates: bounds for scores in CI. The end of an interval is tested, never its middle, so that no gate passes by luck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from batch.errors import InputError
from batch.evaluation.reading import Evaluation, ScoreResult
from batch.evaluation.statistics.intervals import Interval, difference_interval, mean_interval
from batch.evaluation.statistics.scores import ANSWERED_FROM, cluster_codes, row_scores
from batch.evaluation.table import ScoreTable
from batch.evaluation.two_runs.changes import ScoredSide, VariantChange, find_changes
from batch.evaluation.two_runs.formatting import some_rows
from batch.evaluation.two_runs.versions import digests
from batch.settings import GateSettings

# The level of all intervals that commands show: a gate must not differ from what its reader sees.
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class GateResult:
    """The result of one gate for one variant, with a sentence that gives the figures. `interval` is None when nothing is measured yet."""

    settings: GateSettings
    variant: str
    passed: bool
    interval: Interval | None
    text: str


def check_gates(
    evaluation: Evaluation, gates: Sequence[GateSettings], baselines: Mapping[str, ScoredSide] | None = None
) -> tuple[GateResult, ...]:
    """Check every gate for each of its variants. A gate fails while tasks have no outcome: unsent tasks must not help.

    `baselines` has the side of each gate's `baseline`.

    Raises:
        InputError: a gate's score or variant is not in the evaluation, or not in its baseline.
    """
    return tuple(result for gate in gates for result in _check(evaluation, gate, baselines or {}))


def _check(evaluation: Evaluation, gate: GateSettings, baselines: Mapping[str, ScoredSide]) -> Iterator[GateResult]:
    results = {judged.settings.name: judged for judged in evaluation.scores}
    if gate.score not in results:
        raise InputError(f"a gate is on the score {gate.score}, which this evaluation has not; it has: {', '.join(results) or 'none'}")
    table = results[gate.score].table
    for name in (gate.variant, gate.against):
        if name is not None and name not in table.variants:
            raise InputError(f"a gate names the variant {name}, which this evaluation has not; it has: {', '.join(table.variants)}")
    if gate.baseline is not None:
        side = ScoredSide("this run", {gate.score: table}, digests([each.settings for each in evaluation.scores]))
        yield from _against_baseline(results[gate.score], side, gate, baselines[gate.baseline])
        return
    chosen = [gate.variant] if gate.variant is not None else [name for name in table.variants if name != gate.against]
    for variant in chosen:
        yield _result(results[gate.score], gate, variant)


def _against_baseline(judged: ScoreResult, side: ScoredSide, gate: GateSettings, baseline: ScoredSide) -> Iterator[GateResult]:
    if gate.score not in baseline.tables:
        raise InputError(
            f"a gate's baseline {gate.baseline} has no score {gate.score}; it has: {', '.join(baseline.tables) or 'none'}; "
            f"save it again with: promptmill score RUN_DIR --save-baseline {gate.baseline}"
        )
    (score,) = find_changes(ScoredSide(baseline.name, {gate.score: baseline.tables[gate.score]}, baseline.versions), side).scores
    changes = [change for change in score.variants if gate.variant in (None, change.after)]
    if not changes:
        raise InputError(f"a gate names the variant {gate.variant}, which its baseline {gate.baseline} has not")
    for change in changes:
        yield _changed(judged, gate, change, other_settings=score.other_settings)


def _changed(judged: ScoreResult, gate: GateSettings, change: VariantChange, *, other_settings: bool) -> GateResult:
    """Check a gate with a baseline for one variant."""
    table = judged.table
    interval = change.pair.difference
    named = f"{gate.score}: {change.after}: difference to {gate.baseline}"
    missing = int(np.count_nonzero(table.states[table.variants.index(change.after)] == 0))
    # A difference between two settings of a score says nothing about the model.
    if other_settings:
        return GateResult(gate, change.after, False, None, f"{named} is not known: it was scored with other settings; save it again")
    if missing > _spared(judged, 1):
        return GateResult(gate, change.after, False, interval, f"{named} is not known yet: {missing:,} tasks have no outcome")
    if interval.rows == 0:
        return GateResult(gate, change.after, False, None, f"{named} is not known: no row is in both")
    rows = f" on {interval.rows:,} rows"
    if change.only_before:
        rows += f" ({len(change.only_before):,} of the baseline's rows are not in this run)"
    measured = f"{named} {_shown(interval.estimate, gate)} [{_shown(interval.low, gate)}, {_shown(interval.high, gate)}]{rows}"
    broken = _broken_bound(gate, interval)
    if broken is not None:
        return GateResult(gate, change.after, False, interval, f"{measured} {broken}")
    worse = len(change.worse)
    if gate.worse_rows is not None and worse > gate.worse_rows:
        text = f"{measured}; {worse:,} rows are worse, more than the {gate.worse_rows:,} allowed: {some_rows(change.worse)}"
        return GateResult(gate, change.after, False, interval, text)
    allowed = [] if gate.worse_rows is None else [f"{worse:,} rows are worse, of {gate.worse_rows:,} allowed"]
    kept = [f"keeps {_bounds(gate)}"] if _bounds(gate) else []
    return GateResult(gate, change.after, True, interval, f"{measured} {'; '.join([*kept, *allowed])}")


def _result(judged: ScoreResult, gate: GateSettings, variant: str) -> GateResult:
    table = judged.table
    involved = [table.variants.index(name) for name in (variant, gate.against) if name is not None]
    missing = int(np.count_nonzero(table.states[involved] == 0))
    interval = _interval(table, gate, involved)
    what = {"strict": "score", "coverage": "coverage", "difference": f"difference to {gate.against}"}[gate.metric]
    named = f"{gate.score}: {variant}: {what}"
    if missing > _spared(judged, len(involved)):
        return GateResult(gate, variant, False, interval, f"{named} is not known yet: {missing:,} tasks have no outcome")
    if interval is None:
        return GateResult(gate, variant, False, None, f"{named} is not known: there are no rows")
    measured = f"{named} {_shown(interval.estimate, gate)} [{_shown(interval.low, gate)}, {_shown(interval.high, gate)}]"
    broken = _broken_bound(gate, interval)
    return GateResult(gate, variant, broken is None, interval, f"{measured} {broken or f'keeps {_bounds(gate)}'}")


def _spared(judged: ScoreResult, variants: int) -> int:
    """Count the tasks that may lack a score: the few verdicts that the judge failed to give, once all were requested."""
    stats = judged.asked
    # While calls are open, what is missing may still come.
    if stats is None or stats.open:
        return 0
    lost, tasks = stats.unread + stats.failed, variants * judged.table.states[0].size
    return min(lost, int((1 - ANSWERED_FROM) * tasks))


def _broken_bound(gate: GateSettings, interval: Interval) -> str | None:
    """Say which bound the interval is not shown to keep; None when it keeps all."""
    # Written so that NaN keeps no bound.
    if gate.minimum is not None and not interval.low >= gate.minimum:
        return f"is not shown to be at least {_shown(gate.minimum, gate)}"
    if gate.maximum is not None and not interval.high <= gate.maximum:
        return f"is not shown to be at most {_shown(gate.maximum, gate)}"
    return None


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
