"""Score and compare answers in a run directory or in files of other tools. Nothing is sent (grading.py sends)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from batch.app.sides import FileScoring, open_target, score_files, score_side, scored_side
from batch.app.stored import ScoredRun
from batch.errors import InputError
from batch.evaluation.answers import run_answers, run_state
from batch.evaluation.gates import GateResult, check_gates
from batch.evaluation.levels import levels_of
from batch.evaluation.reading import Evaluation, ScoreResult, VariantStats, read_evaluation
from batch.evaluation.scoring import score_answers
from batch.evaluation.two_runs.baseline import write_baseline
from batch.evaluation.two_runs.changes import ScoredSide
from batch.evaluation.verdict import ScoreVerdict, verdicts_of
from batch.executors.live.race import recorded_stops
from batch.records import BeatenVariant
from batch.settings import Job
from batch.storage import is_url


@dataclass(frozen=True, slots=True)
class Comparison:
    """One score with its verdict."""

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
        """The first gate that failed."""
        return next((gate for gate in self.gates if not gate.passed), None)


def evaluate(scored: ScoredRun, *, saving: Path | None = None, together: bool = False) -> EvaluationReport:
    """Score a run and compare its variants.

    `saving` is the baseline that this run will be saved as: gates with it are not checked. `together` corrects p over the comparisons of
    all scores instead of each.

    Raises:
        InputError, DamagedError, SetupError, StorageError.
    """
    run, scores, judging = scored.run, scored.scores(), scored.judging.job
    folder = run.directory.path / "scores"
    run.directory.fetch("scores")
    fresh = score_answers(partial(run_answers, run), run_state(run), scores, folder, run)
    run.directory.publish(folder)
    evaluation = read_evaluation(folder, scores, [variant.name for variant in run.job.variants], fresh)
    # A first run has no baseline yet: its gate with the file that this command writes cannot be checked.
    gates = [gate for gate in judging.gates if saving is None or gate.baseline is None or not _same_path(gate.baseline, saving)]
    stops = recorded_stops(run.manifest, run.job)
    return _report(run.job.name, evaluation, replace(judging, gates=tuple(gates)), folder, stops, ran=run.job, together=together)


def evaluate_files(paths: Sequence[Path], scoring: FileScoring, *, together: bool = False, folder: Path | None = None) -> EvaluationReport:
    """Score answers in files, by one score or several; `folder` keeps the scores' files.

    Raises:
        InputError, SetupError.
    """
    return _report(", ".join(path.name for path in paths), score_files(paths, scoring, folder), None, folder, together=together)


def save_baseline(report: EvaluationReport, path: Path) -> None:
    """Write the scores of a report to a file that later runs are compared with. Raises SetupError, StorageError, OSError."""
    scores = [comparison.judged for comparison in report.comparisons]
    write_baseline(scored_side(report.name, Evaluation(tuple(scores), report.variants)), path)


def _report(
    name: str,
    evaluation: Evaluation,
    judging: Job | None,
    folder: Path | None,
    stopped: Sequence[BeatenVariant] = (),
    *,
    ran: Job | None = None,
    together: bool = False,
) -> EvaluationReport:
    # One that has all its rows all the same can be compared as if there had been no race.
    unfinished = {stats.variant for stats in evaluation.variants if stats.missing}
    stops = [stop for stop in stopped if stop.variant in unfinished]
    verdicts = verdicts_of(evaluation, stops=stops, levels=levels_of(ran) if ran is not None else (), together=together)
    comparisons = tuple(map(Comparison, evaluation.scores, verdicts))
    gates = check_gates(evaluation, judging.gates, _baselines(judging)) if judging is not None else ()
    return EvaluationReport(name, comparisons, evaluation.variants, gates, evaluation.fresh, folder)


def _same_path(address: str, path: Path) -> bool:
    return not is_url(address) and Path(address).absolute() == path.absolute()


def _baselines(judging: Job) -> dict[str, ScoredSide]:
    """Open the sides that gates compare with, by the address in the gate, scored as the run is."""
    names = dict.fromkeys(gate.baseline for gate in judging.gates if gate.baseline is not None)
    missing = [name for name in names if not is_url(name) and not Path(name).exists()]
    if missing:
        raise InputError(
            f"a gate's baseline {missing[0]} does not exist; save one with: promptmill score RUN_DIR --save-baseline {missing[0]}"
        )
    return {name: score_side(open_target(name), FileScoring(judging.scores)).side for name in names}
