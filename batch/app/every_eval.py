"""Write the scores of a run, or of files, in the format of Every Eval Ever. Nothing is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batch.app.evaluate import EvaluationReport
from batch.app.sides import FileScoring
from batch.errors import InputError
from batch.evaluation.answers import run_answers
from batch.evaluation.every_eval import EvalRecord, write_every_eval
from batch.rundir.stored_run import StoredRun


def save_every_eval(report: EvaluationReport, source: StoredRun | tuple[list[Path], FileScoring], folder: Path) -> list[Path]:
    """Write the files of a report whose score files still exist.

    `source` is the run with all its columns, or the files and how to read them.

    Raises:
        RunDirectoryError, JobError, InputError, DamagedError, StorageError.
    """
    if report.folder is None:
        raise InputError("the scores' files are gone")
    scores = [(each.judged, each.verdict.findings) for each in report.comparisons]
    if isinstance(source, StoredRun):
        models = {variant.name: variant.full_name for variant in source.job.variants}
        parameters = {variant.name: variant.parameters for variant in source.job.variants}
        record = EvalRecord(report.name, scores, report.folder, models, "unknown", parameters)
        return write_every_eval(record, run_answers(source), folder, datetime.now(UTC))
    paths, scoring = source
    record = EvalRecord(report.name, scores, report.folder, {stats.variant: stats.variant for stats in report.variants}, "unknown")
    return write_every_eval(record, scoring.read(paths), folder, datetime.now(UTC))
