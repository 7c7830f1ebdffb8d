"""Write the report of a run: one HTML file made from its scores, outcomes and input. Nothing is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from batch.app.evaluate import evaluate
from batch.app.stored import ScoredRun, open_scored
from batch.evaluation.answers import run_answers, run_state
from batch.evaluation.reading import read_evaluation
from batch.evaluation.report.page import Evaluated, write_report
from batch.evaluation.scoring import score_answers
from batch.rundir.stored_run import StoredRun


def report(directory: Path | str, job_file: Path | None = None) -> Path | str:
    """Bring the scores of a run up to date, write its report.html, and give its path. A run without scores has a report too.

    `job_file` has the scores, where they are not the run's own.

    Raises:
        RunDirectoryError, InputError, DamagedError, JobError, SetupError, StorageError.
    """
    scored = open_scored(directory, job_file)
    run = scored.run
    evaluated = _scored(scored) if run.job.scores or job_file is not None else _unscored(run)
    return run.directory.publish(write_report(run, evaluated, datetime.now(UTC)))[0]


def _scored(scored: ScoredRun) -> Evaluated:
    found = evaluate(scored)
    assert found.folder is not None  # noqa: S101 - the scores of a run are kept
    scores = [(comparison.judged, comparison.verdict) for comparison in found.comparisons]
    return Evaluated(scores, found.gates, found.variants, found.folder)


def _unscored(run: StoredRun) -> Evaluated:
    folder = run.directory.path / "scores"
    run.directory.fetch("scores")
    score_answers(partial(run_answers, run), run_state(run), (), folder)
    run.directory.publish(folder)
    stats = read_evaluation(folder, (), [variant.name for variant in run.job.variants]).variants
    return Evaluated((), (), stats, folder)
