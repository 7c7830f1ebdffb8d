"""Calibrate a judge: draw a sample of its verdicts for a person to label. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batch.app.evaluate import open_scores
from batch.errors import InputError
from batch.evaluation.answers import by_row, run_answers
from batch.evaluation.grading.calibration import Calibration, calibrate, draw
from batch.evaluation.grading.grader_calls import CallOutcomes, calls_directory
from batch.evaluation.grading.judge_grader import JudgeGrader
from batch.evaluation.grading.judge_scores import JudgedItem, JudgeScores
from batch.evaluation.grading.labels import Labels, Unlabelled, open_labels
from batch.evaluation.scorers import ExpectedError
from batch.readers import Dataset
from batch.rundir.local import RunDirectory
from batch.rundir.opening import open_run_directory
from batch.settings import Job, ScoreSettings


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
    ran, judging = open_scores(directory, job_file)
    settings = _chosen(judging.job.scores, score)
    judged = open_run_directory(directory)
    sample = draw(_judged(judged, ran.job, settings), settings, rows)
    if not sample:
        raise InputError(f"score {settings.name}: nothing is judged yet; ask the judge first: promptmill score {directory}")
    return Labelling(settings, tuple(sample), open_labels(judged, settings))


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


def _judged(judged: RunDirectory, job: Job, settings: ScoreSettings) -> Iterator[JudgedItem]:
    with CallOutcomes(calls_directory(judged, settings), settings) as outcomes:
        scores = JudgeScores(JudgeGrader(settings, job), job, outcomes)
        for row, answers in by_row(run_answers(Dataset(job.input), job, judged)):
            try:
                yield from scores.judged(row, answers)
            except ExpectedError:
                continue
