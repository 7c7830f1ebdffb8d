"""Write the scores of a run, or of files, in the format of Every Eval Ever. Nothing is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from batch.app.evaluate import EvaluationReport
from batch.app.sides import FileScoring
from batch.app.stored import open_run
from batch.errors import InputError
from batch.evaluation.answers import run_answers
from batch.evaluation.every_eval import EvalRecord, write_every_eval
from batch.evaluation.foreign import read_foreign


def save_every_eval(report: EvaluationReport, source: str | tuple[list[Path], FileScoring], folder: Path) -> list[Path]:
    """Write the files of a report whose score files still exist; `source` is the run directory, or the files and how to read them.

    Raises:
        RunDirectoryError, JobError, InputError, DamagedError, StorageError.
    """
    if report.folder is None:
        raise InputError("the scores' files are gone")
    scores = [(each.judged, each.verdict.findings) for each in report.comparisons]
    if isinstance(source, str):
        run = open_run(source)
        models = {variant.name: variant.full_name for variant in run.job.variants}
        answers = run_answers(run.with_all_columns())
        record = EvalRecord(report.name, scores, report.folder, models, "unknown")
        return write_every_eval(record, answers, folder, datetime.now(UTC))
    paths, scoring = source
    found = read_foreign(paths, answer=scoring.answer, rows=scoring.rows, row_id=scoring.row_id)
    record = EvalRecord(report.name, scores, report.folder, {stats.variant: stats.variant for stats in report.variants}, "unknown")
    return write_every_eval(record, found, folder, datetime.now(UTC))
