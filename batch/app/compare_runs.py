"""Compare two runs, or files of answers, or either with a baseline, row by row. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batch.app.sides import FileScoring, OpenedSide, ScoringTarget, open_target, score_side
from batch.errors import InputError
from batch.evaluation.formatting import listed
from batch.evaluation.two_runs.baseline import is_baseline
from batch.evaluation.two_runs.changes import RunChanges, find_changes
from batch.evaluation.two_runs.job_changes import JobChange, job_changes
from batch.job import load
from batch.rundir.manifest import Manifest
from batch.settings import ScoreSettings


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """The changes between two sides: of their scores and, where both are runs, of their jobs. `notes` explain the figures."""

    changes: RunChanges
    job: tuple[JobChange, ...]
    notes: tuple[str, ...]


def compare_runs(
    before: str, after: str, *, job_file: Path | None = None, files: FileScoring | None = None, renamed: Mapping[str, str] | None = None
) -> TwoRuns:
    """Compare `after` with `before`: run directories, files of answers, or a baseline as the first.

    Both are scored alike: by the scores of `job_file`, of `files`, or else of the newer run. `renamed` maps older variants to newer ones.

    Raises:
        RunDirectoryError, JobError, InputError, DamagedError, SetupError, StorageError.
    """
    sides = open_both(before, after, job_file, files)
    names = _names(sides)
    first, second = (replace(opened.side, name=name) for opened, name in zip(sides, names, strict=True))
    changes = find_changes(first, second, renamed)
    manifests = _manifests(sides)
    jobs = job_changes(*(manifest.job for manifest in manifests)) if len(manifests) == 2 else ()
    return TwoRuns(changes, jobs, tuple(_notes(sides, changes)))


def open_both(before: str, after: str, job_file: Path | None, files: FileScoring | None) -> tuple[OpenedSide, OpenedSide]:
    """Open both sides, scored alike. Raises as `compare_runs`."""
    first, second = open_target(before), open_target(after)
    scoring = with_scores(files or FileScoring(()), (second, first), job_file)
    return score_side(first, scoring), score_side(second, scoring)


def with_scores(scoring: FileScoring, newest_first: Sequence[ScoringTarget], job_file: Path | None) -> FileScoring:
    """Fill in the scores: the scoring's own, those of `job_file`, or those of the newest run that has some. Raises JobError, InputError."""
    if scoring.scores:
        return scoring
    return replace(scoring, scores=load(job_file).job.scores if job_file is not None else _scores_of(newest_first))


def _scores_of(newest_first: Sequence[ScoringTarget]) -> tuple[ScoreSettings, ...]:
    found = next((target.run.job.scores for target in newest_first if target.run is not None and target.run.job.scores), ())
    if found or all(target.run is None and is_baseline(target.path) for target in newest_first):
        return found
    raise InputError(f"{newest_first[0].name} has no [[score]]; --job JOB.toml names a job that has some, or score files by --kind")


def _names(sides: tuple[OpenedSide, OpenedSide]) -> tuple[str, str]:
    """Return different names for the sides: equal ones get "(before)" and "(after)"."""
    first, second = (opened.side.name for opened in sides)
    return (first, second) if first != second else (f"{first} (before)", f"{second} (after)")


def _manifests(sides: tuple[OpenedSide, OpenedSide]) -> list[Manifest]:
    """Read the manifests of the sides that are runs."""
    return [side.run.manifest for side in sides if side.run is not None and side.run.manifest is not None]


def _notes(sides: tuple[OpenedSide, OpenedSide], changes: RunChanges) -> list[str]:
    notes = []
    runs = [opened.run for opened in sides if opened.run is not None]
    inputs = [manifest.input for manifest in _manifests(sides)]
    changed = len(inputs) == 2 and inputs[0] != inputs[1]
    if changed and any(run.job.input.id is None for run in runs):
        notes.append("Rows are joined by their place in the input, for the job names no [input] id, and the inputs are not the same files.")
    elif changed:
        notes.append("The files of the input are not the same: rows are joined by id, whatever else they contain.")
    if len(changes.scores) > 1:
        # A reader who looks for any change in many scores must know that chance finds one more often than alpha.
        notes.append(f"p is corrected over the variants of each score, not over the {len(changes.scores)} scores.")
    other = [score.score for score in changes.scores if score.other_settings]
    if other:
        notes.append(f"{listed(other)}: {changes.before} was scored with other settings, so a part of the difference may be theirs.")
    return notes
