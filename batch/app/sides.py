"""Open and score one side of a comparison: a run directory, files of answers, or a baseline. Nothing is sent."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from batch.app.stored import open_run
from batch.errors import InputError
from batch.evaluation.answers import Answer, run_answers, run_state
from batch.evaluation.foreign import read_foreign
from batch.evaluation.reading import Evaluation, read_evaluation
from batch.evaluation.scorers import scorer_version
from batch.evaluation.scoring import score_answers
from batch.evaluation.two_runs.baseline import is_baseline, read_baseline
from batch.evaluation.two_runs.changes import ScoredSide
from batch.evaluation.two_runs.versions import digests
from batch.job import load, score_settings
from batch.rundir.finding_runs import LATEST
from batch.rundir.stored_run import StoredRun
from batch.settings import GateSettings, ScoreSettings
from batch.storage import is_url


@dataclass(frozen=True, slots=True)
class FileScoring:
    """How files of answers are scored and read. `answer` is the key of the answer, `rows` a file with the right values, joined by id.

    `gates` are those of the job file that the scores are of.
    """

    scores: tuple[ScoreSettings, ...]
    answer: str | None = None
    rows: Path | None = None
    row_id: str | None = None
    gates: tuple[GateSettings, ...] = ()

    def read(self, paths: Sequence[Path]) -> list[Answer]:
        """Read the answers in files. Raises InputError."""
        return read_foreign(paths, answer=self.answer, rows=self.rows, row_id=self.row_id)


@dataclass(frozen=True, slots=True, eq=False)
class ScoringTarget:
    """What a command was given: a run directory, which is open, or else a file. `name` is its path or address."""

    name: str
    run: StoredRun | None = None

    @property
    def path(self) -> Path:
        """The file's path."""
        return Path(self.name)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedSide:
    """A side with its run, if it is one, and its evaluation, unless it is a baseline."""

    side: ScoredSide
    run: StoredRun | None = None
    evaluation: Evaluation | None = None


def open_target(name: str) -> ScoringTarget:
    """Open a target once, for all that is read of it. Raises as `open_run`."""
    return ScoringTarget(name, open_run(name).with_all_columns() if is_run(name) else None)


def is_run(target: str) -> bool:
    """Whether a target is a run directory rather than a file."""
    # A URL is a run in an object store: files of answers are read from the disk only.
    return is_url(target) or target == LATEST or Path(target).is_dir()


def file_rules(job_file: Path | None, entry: Mapping[str, Any]) -> FileScoring:
    """Return the scores for files: those of a job file that call no model, with its gates, or the one entry.

    Raises:
        JobError; InputError when the job has no score that can be computed without its run.
    """
    if job_file is None:
        return FileScoring((score_settings(entry),))
    job = load(job_file).job
    scores = without_models(job.scores)
    if not scores:
        raise InputError(f"{job_file} has no [[score]] that needs no model; scores that call a model need a run")
    return FileScoring(scores, gates=job.gates)


def without_models(scores: Sequence[ScoreSettings]) -> tuple[ScoreSettings, ...]:
    """Keep the scores that can be computed without a run: those that call no model, and panels of such scores."""
    names = {score.name for score in scores if score.asked is None}
    return tuple(score for score in scores if score.asked is None and set(score.options.get("of", ())) <= names)


def score_files(paths: Sequence[Path], scoring: FileScoring, folder: Path | None = None) -> Evaluation:
    """Score the answers in files; `folder` keeps the scores' files. Raises InputError, SetupError."""
    answers = scoring.read(paths)
    variants = list(dict.fromkeys(each.variant for each in answers))
    with tempfile.TemporaryDirectory(prefix="promptmill-") as temporary:
        place = folder or Path(temporary)
        fresh = score_answers(lambda: answers, "", scoring.scores, place)
        return read_evaluation(place, scoring.scores, variants, fresh)


def score_side(target: ScoringTarget, scoring: FileScoring) -> OpenedSide:
    """Score a target by `scoring.scores`; a baseline has the scores that it was saved with.

    Raises:
        InputError, DamagedError, SetupError, StorageError.
    """
    if target.run is not None:
        return _score_run(target.name, target.run, scoring.scores)
    if is_baseline(target.path):
        return OpenedSide(read_baseline(target.path))
    scores = without_models(scoring.scores)
    if not scores:
        raise InputError(f"{target.name}: say how to score it: --kind exact --expected COLUMN, for example, or --job JOB.toml")
    evaluation = score_files([target.path], replace(scoring, scores=scores))
    return OpenedSide(scored_side(target.name, evaluation), None, evaluation)


def scored_side(name: str, evaluation: Evaluation) -> ScoredSide:
    """Make a side of a comparison from an evaluation. Raises SetupError."""
    settings = [score.settings for score in evaluation.scores]
    return ScoredSide(name, {score.settings.name: score.table for score in evaluation.scores}, digests(settings))


def _score_run(target: str, run: StoredRun, scores: Sequence[ScoreSettings]) -> OpenedSide:
    own = {score.name: scorer_version(score) for score in run.job.scores}
    run.directory.fetch("scores")
    with tempfile.TemporaryDirectory(prefix="promptmill-") as temporary:
        # The scores of another job must not take the place of the run's own, which are read back when nothing changed.
        same = all(own.get(score.name) == scorer_version(score) for score in scores) and len(scores) == len(own)
        folder = run.directory.path / "scores" if same else Path(temporary)
        fresh = score_answers(partial(run_answers, run), run_state(run), scores, folder, run)
        evaluation = read_evaluation(folder, scores, [variant.name for variant in run.job.variants], fresh)
    return OpenedSide(scored_side(target, evaluation), run, evaluation)
