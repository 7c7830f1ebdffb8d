"""Score and compare answers in a run directory or in files of other tools. Nothing is sent (grading.py sends)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from batch.app.stored import ScoredRun
from batch.evaluation.answers import run_answers, run_state
from batch.evaluation.foreign import read_foreign
from batch.evaluation.gates import GateResult, check_gates
from batch.evaluation.reading import Evaluation, ScoreResult, VariantStats, read_evaluation
from batch.evaluation.scoring import score_answers
from batch.evaluation.verdict import ScoreVerdict, reach_verdict
from batch.executors.live.race import recorded_stops
from batch.job import score_settings
from batch.records import BeatenVariant
from batch.settings import Job


@dataclass(frozen=True, slots=True)
class Comparison:
    """One score: what it is made of, and what it allows one to say."""

    judged: ScoreResult
    verdict: ScoreVerdict


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """All scores of a run or of files, the stats of the variants, and the gates. `folder` has the scores' files, None when none are kept.

    `fresh` names the scores that were recomputed; the others were read back.
    """

    name: str
    comparisons: tuple[Comparison, ...]
    variants: tuple[VariantStats, ...]
    gates: tuple[GateResult, ...]
    fresh: tuple[str, ...]
    folder: Path | None

    @property
    def failed_gate(self) -> GateResult | None:
        """The first gate that is not passed."""
        return next((gate for gate in self.gates if not gate.passed), None)


def evaluate(scored: ScoredRun) -> EvaluationReport:
    """Score a run and compare its variants.

    Raises:
        InputError, DamagedError, SetupError, StorageError.
    """
    run, scores = scored.run, scored.scores()
    folder = run.directory.path / "scores"
    run.directory.fetch("scores")
    fresh = score_answers(partial(run_answers, run), run_state(run), scores, folder, run)
    run.directory.publish(folder)
    evaluation = read_evaluation(folder, scores, [variant.name for variant in run.job.variants], fresh)
    return _report(run.job.name, evaluation, scored.judging.job, folder, recorded_stops(run.manifest, run.job))


def evaluate_files(
    paths: Sequence[Path], score: Mapping[str, Any], *, answer: str | None = None, rows: Path | None = None, row_id: str | None = None
) -> EvaluationReport:
    """Score answers that stand in files, by one scorer, given as the keys of a `[[score]]` entry.

    Raises:
        InputError, JobError, SetupError.
    """
    settings = score_settings(score)
    answers = read_foreign(paths, answer=answer, rows=rows, row_id=row_id)
    variants = list(dict.fromkeys(each.variant for each in answers))
    with tempfile.TemporaryDirectory(prefix="promptmill-") as temporary:
        score_answers(lambda: answers, "", [settings], Path(temporary))
        evaluation = read_evaluation(Path(temporary), [settings], variants, [settings.name])
    return _report(", ".join(path.name for path in paths), evaluation, None, None)


def _report(
    name: str, evaluation: Evaluation, judging: Job | None, folder: Path | None, stopped: Sequence[BeatenVariant] = ()
) -> EvaluationReport:
    # One that has all its rows all the same can be compared as if there had been no race.
    unfinished = {stats.variant for stats in evaluation.variants if stats.missing}
    stops = [stop for stop in stopped if stop.variant in unfinished]
    costs = {stats.variant: stats.cost_usd for stats in evaluation.variants}
    failures = {stats.variant: stats.failures for stats in evaluation.variants}
    comparisons = tuple(
        Comparison(
            judged, reach_verdict(judged.table, asked=judged.asked, costs=costs, failures=failures, columns=judged.columns, stops=stops)
        )
        for judged in evaluation.scores
    )
    gates = check_gates(evaluation, judging.gates) if judging is not None else ()
    return EvaluationReport(name, comparisons, evaluation.variants, gates, evaluation.fresh, folder)
