"""Write the report of a run: one HTML file made from its scores, outcomes and input. Nothing is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batch.app.evaluate import evaluate
from batch.app.stored import open_run
from batch.evaluation.answers import run_answers, run_state
from batch.evaluation.reading import read_evaluation
from batch.evaluation.report.page import Evaluated, write_report
from batch.evaluation.scoring import score_answers
from batch.readers import Dataset
from batch.rundir.local import RunDirectory
from batch.settings import Job


def report(directory: Path | str, job_file: Path | None = None) -> Path | str:
    """Bring the scores of a run up to date, write its report.html, and give its path. A run without scores has a report too.

    `job_file` has the scores, where they are not the run's own.

    Raises:
        RunDirectoryError, InputError, DamagedError, JobError, SetupError, StorageError.
    """
    run = open_run(directory)
    found, job, dataset = run.directory, run.job, run.dataset
    evaluated = _scored(directory, job_file) if job.scores or job_file is not None else _unscored(job, found, dataset)
    return found.publish(write_report(job, found, dataset, evaluated, datetime.now(UTC)))[0]


def _scored(directory: Path | str, job_file: Path | None) -> Evaluated:
    found = evaluate(directory, job_file)
    assert found.folder is not None  # noqa: S101 - the scores of a run are kept
    scores = [(comparison.judged, comparison.verdict) for comparison in found.comparisons]
    return Evaluated(scores, found.gates, found.variants, found.folder)


def _unscored(job: Job, directory: RunDirectory, dataset: Dataset) -> Evaluated:
    folder = directory.path / "scores"
    directory.fetch("scores")
    score_answers(lambda: run_answers(dataset, job, directory), run_state(dataset, job, directory), (), folder)
    directory.publish(folder)
    stats = read_evaluation(folder, (), [variant.name for variant in job.variants]).variants
    return Evaluated((), (), stats, folder)
