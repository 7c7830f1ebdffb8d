"""Score and compare answers in a run directory or in files of other tools. Nothing is sent (grading.py sends)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from batch.settings import GateSettings
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
    # One that has all its rows all the same can be compared as if there had been no race.
    unfinished = {stats.variant for stats in evaluation.variants if stats.missing}
    stops = [stop for stop in recorded_stops(run.manifest, run.job) if stop.variant in unfinished]
    verdicts = verdicts_of(evaluation, stops=stops, levels=levels_of(run.job), together=together)
    gates = _checked(evaluation, FileScoring(judging.scores, gates=judging.gates), saving)
    return _report(run.job.name, evaluation, verdicts, gates, folder)


def evaluate_files(
    paths: Sequence[Path], scoring: FileScoring, *, saving: Path | None = None, together: bool = False, folder: Path | None = None
) -> EvaluationReport:
    """Score answers in files, by one score or several, and check the gates; `folder` keeps the scores' files. Otherwise as `evaluate`.

    Raises:
        InputError, SetupError.
    """
    evaluation = score_files(paths, scoring, folder)
    gates = _checked(evaluation, scoring, saving)
    return _report(", ".join(path.name for path in paths), evaluation, verdicts_of(evaluation, together=together), gates, folder)


def save_baseline(report: EvaluationReport, path: Path) -> None:
    """Write the scores of a report to a file that later runs are compared with. Raises SetupError, StorageError, OSError."""
    scores = [comparison.judged for comparison in report.comparisons]
    write_baseline(scored_side(report.name, Evaluation(tuple(scores), report.variants)), path)


def _report(
    name: str, evaluation: Evaluation, verdicts: Sequence[ScoreVerdict], gates: tuple[GateResult, ...], folder: Path | None
) -> EvaluationReport:
    comparisons = tuple(map(Comparison, evaluation.scores, verdicts))
    return EvaluationReport(name, comparisons, evaluation.variants, gates, evaluation.fresh, folder)


def _checked(evaluation: Evaluation, scoring: FileScoring, saving: Path | None) -> tuple[GateResult, ...]:
    """Check the gates, and fail those on scores that cannot be computed here: a gate that was not checked has not passed."""
    # A first run has no baseline yet: its gate with the file that this command writes cannot be checked.
    gates = [gate for gate in scoring.gates if saving is None or gate.baseline is None or not _same_path(gate.baseline, saving)]
    known = {judged.settings.name for judged in evaluation.scores}
    checked = check_gates(evaluation, [gate for gate in gates if gate.score in known], _baselines(gates, scoring))
    return (*checked, *(_unchecked(gate) for gate in gates if gate.score not in known))


def _unchecked(gate: GateSettings) -> GateResult:
    text = f"{gate.score}: is not known: a score that calls a model needs a run; score the run directory"
    return GateResult(gate, gate.variant or "every variant", False, None, text)


def _same_path(address: str, path: Path) -> bool:
    return not is_url(address) and Path(address).absolute() == path.absolute()


def _baselines(gates: Sequence[GateSettings], scoring: FileScoring) -> dict[str, ScoredSide]:
    """Open the sides that gates compare with, by the address in the gate, scored alike."""
    names = dict.fromkeys(gate.baseline for gate in gates if gate.baseline is not None)
    missing = [name for name in names if not is_url(name) and not Path(name).exists()]
    if missing:
        raise InputError(
            f"a gate's baseline {missing[0]} does not exist; save one with: promptmill score RUN_DIR --save-baseline {missing[0]}"
        )
    return {name: score_side(open_target(name), scoring).side for name in names}
