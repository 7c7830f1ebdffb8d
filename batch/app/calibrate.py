"""Calibrate a judge: draw a sample of its verdicts for a person to label. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batch.app.stored import open_scored
from batch.errors import InputError
from batch.evaluation.answers import by_row, run_answers
from batch.evaluation.grading.calibration import Calibration, calibrate, draw
from batch.evaluation.grading.grader_calls import CallOutcomes, calls_directory
from batch.evaluation.grading.judge_grader import JudgeGrader
from batch.evaluation.grading.judge_scores import JudgedItem, JudgeScores
from batch.evaluation.grading.labels import Labels, Unlabelled, open_labels
from batch.evaluation.scorers import ExpectedError
from batch.rundir.stored_run import StoredRun
from batch.settings import ScoreSettings


@dataclass(frozen=True, slots=True)
class Labelling:
    """A judged score, a sample of what was judged, and the labels that there are."""

    settings: ScoreSettings
    sample: tuple[Unlabelled, ...]
    labels: Labels

    @property
    def result(self) -> Calibration:
        """Agreement of the judge with the labels so far."""
        return calibrate(self.settings, self.sample, self.labels)


def open_labelling(directory: Path | str, score: str | None, rows: int, job_file: Path | None = None) -> Labelling:
    """Draw `rows` of what the judge of a score (the only one, unless named) has judged; the same ones each time.

    Raises:
        RunDirectoryError, JobError, DamagedError; InputError when there is no such score, or nothing is judged yet.
    """
    scored = open_scored(directory, job_file)
    settings = _chosen(scored.scores(), score)
    sample = draw(_judged(scored.run, settings), settings, rows)
    if not sample:
        raise InputError(f"score {settings.name}: nothing is judged yet; ask the judge first: promptmill score {directory}")
    return Labelling(settings, tuple(sample), open_labels(scored.run.directory, settings))


def _chosen(scores: tuple[ScoreSettings, ...], name: str | None) -> ScoreSettings:
    judged = [score for score in scores if score.judge is not None]
    found = [score for score in judged if name is None or score.name == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(score.name for score in judged)
    if not judged:
        raise InputError('no score is judged by a model; add a [[score]] with kind = "judge" or "pairwise"')
    raise InputError(
        f"which score? --score NAME; judged ones are: {names}" if name is None else f"{name} is no judged score; there are: {names}"
    )


def _judged(run: StoredRun, settings: ScoreSettings) -> Iterator[JudgedItem]:
    with CallOutcomes(calls_directory(run.directory, settings), settings) as outcomes:
        scores = JudgeScores(JudgeGrader(settings, run.job), run.job, outcomes)
        for row, answers in by_row(run_answers(run)):
            try:
                yield from scores.judged(row, answers)
            except ExpectedError:
                continue
