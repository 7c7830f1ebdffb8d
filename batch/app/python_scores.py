"""`batch.score`, `batch.compare` and `batch.report`: evaluation from Python, with results as Arrow tables."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.app.compare_runs import TwoRuns, compare_runs
from batch.app.evaluate import EvaluationReport, evaluate, evaluate_files
from batch.app.python_html import html_of_records
from batch.app.python_words import in_python_words
from batch.app.report import report as write_run_report
from batch.app.report_sides import report_sides
from batch.app.sides import FileScoring, file_rules, is_run
from batch.app.stored import open_scored

if TYPE_CHECKING:
    from batch.evaluation.arrow_tables import ArrowTable

AnyPath = str | Path


class Scores:
    """The scores of a run or of files. `report` has everything as dataclasses; the methods return Arrow tables.

    `verdicts` are the sentences of each score, the most important first; `passed` is True when no gate failed.
    """

    def __init__(self, report: EvaluationReport) -> None:
        self.report = report
        self.verdicts: dict[str, tuple[str, ...]] = {
            each.judged.settings.name: tuple(sentence.text for sentence in each.verdict.sentences) for each in report.comparisons
        }
        self.passed: bool = report.failed_gate is None

    def __repr__(self) -> str:
        return f"<Scores {self.report.name!r}: {', '.join(self.verdicts) or 'none'}>"

    def _repr_html_(self) -> str:
        columns = ["score", "variant", "estimate", "low", "high", "scored", "failed", "missing", "cost_usd"]
        return html_of_records(self.report.name, columns, self.leaderboard().to_pylist())

    def leaderboard(self) -> ArrowTable:
        """Return one line per score and variant: rank, score with interval, coverage, cost, counts."""
        from batch.evaluation.arrow_tables import standing_table

        return standing_table(each.verdict.findings for each in self.report.comparisons)

    def pairs(self) -> ArrowTable:
        """Return one line per score and pair of variants, with the test of their difference."""
        from batch.evaluation.arrow_tables import pair_table

        return pair_table(each.verdict.findings for each in self.report.comparisons)

    def effects(self) -> ArrowTable:
        """Return one line per score and two values of a setting that a sweep varies: what it changes, all else being equal."""
        from batch.evaluation.arrow_tables import effect_table

        return effect_table(each.verdict for each in self.report.comparisons)

    def samples(self) -> ArrowTable:
        """Return one line per score and task: state, value, extracted answer, reason."""
        from batch.evaluation.arrow_tables import sample_table

        assert self.report.folder is not None  # noqa: S101 - `score` keeps the files
        return sample_table(self.report.folder, [each.judged.settings for each in self.report.comparisons])


class Changes:
    """The changes between two runs, or files of answers. `found` has everything as dataclasses; the methods return Arrow tables.

    `sentences` are for people; `job` lists the settings that differ, where both sides are runs.
    """

    def __init__(self, found: TwoRuns) -> None:
        from batch.evaluation.two_runs.formatting import change_sentences

        self.found = found
        self.sentences: tuple[str, ...] = tuple(text for _, text in change_sentences(found.changes))
        self.job: tuple[str, ...] = tuple(change.text for change in found.job)

    def __repr__(self) -> str:
        return f"<Changes {self.found.changes.before!r} → {self.found.changes.after!r}>"

    def _repr_html_(self) -> str:
        columns = ["score", "before", "after", "estimate_before", "estimate_after", "difference", "low", "high", "worse", "better"]
        return html_of_records(f"{self.found.changes.before} → {self.found.changes.after}", columns, self.variants().to_pylist())

    def variants(self) -> ArrowTable:
        """Return one line per score and variant: before, after, and the test of the difference."""
        from batch.evaluation.arrow_tables import change_table

        return change_table(self.found.changes)

    def rows(self) -> ArrowTable:
        """Return one line per score, variant and row that got worse or better."""
        from batch.evaluation.arrow_tables import changed_rows_table

        return changed_rows_table(self.found.changes)


@in_python_words
def score(
    target: AnyPath | Sequence[AnyPath],
    *,
    score: Mapping[str, Any] | None = None,
    job: AnyPath | None = None,
    answer: str | None = None,
    rows: AnyPath | None = None,
    row_id: str | None = None,
) -> Scores:
    """Score the answers of a run directory, or of one or several files. Nothing is sent; a judge's verdicts so far count.

    Args:
        target: a run directory, or files of answers that belong together.
        score: for files: the keys of a `[[score]]` entry, such as {"kind": "exact", "expected": "label"}.
        job: a job file whose scores and gates to use; by default the run's own.
        answer: for files: the key of the answer.
        rows: for files: a file with the right values, joined by id.
        row_id: for files: the column of `rows` with the ids.

    Raises:
        RunDirectoryError, JobError, InputError, DamagedError, SetupError, StorageError.
        ValueError: options for files with a run, or files without a way to score them.
    """
    targets = [str(each) for each in ([target] if isinstance(target, str | Path) else target)]
    job_file = Path(job) if job is not None else None
    if len(targets) == 1 and is_run(targets[0]):
        if score is not None or answer is not None or rows is not None:
            raise ValueError("score, answer and rows are for files; a run is scored by its job, or by `job`")
        return Scores(evaluate(open_scored(targets[0], job_file)))
    folder = tempfile.mkdtemp(prefix="promptmill-")
    files = _file_scoring(score, job_file, answer, rows, row_id)
    made = Scores(evaluate_files([Path(each) for each in targets], files, folder=Path(folder)))
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made


@in_python_words
def compare(
    before: AnyPath,
    after: AnyPath,
    *,
    score: Mapping[str, Any] | None = None,
    job: AnyPath | None = None,
    pairs: Mapping[str, str] | None = None,
    answer: str | None = None,
    rows: AnyPath | None = None,
) -> Changes:
    """Compare two runs, files of answers, or a baseline with either, row by row. `before` is the older side. Nothing is sent.

    Both are scored by `score` (the keys of a `[[score]]` entry), by the scores of the `job` file, or else as the newer run is. `pairs` maps
    an older variant to the newer one to compare it with, where the names differ. `answer` and `rows` are as for `score`.

    Raises:
        RunDirectoryError, JobError, InputError, DamagedError, SetupError, StorageError.
    """
    job_file = Path(job) if job is not None else None
    files = FileScoring((), answer, Path(rows) if rows is not None else None)
    if score is not None:
        files = _file_scoring(score, None, answer, rows, None)
    return Changes(compare_runs(str(before), str(after), job_file=job_file, files=files, renamed=pairs))


@in_python_words
def report(
    *targets: AnyPath,
    output: AnyPath | None = None,
    score: Mapping[str, Any] | None = None,
    job: AnyPath | None = None,
    answer: str | None = None,
    rows: AnyPath | None = None,
    row_id: str | None = None,
) -> str:
    """Write the report of a run, of two runs, or of files of answers as one HTML file; return its address. Nothing is sent.

    The report of one run is its report.html. That of several targets is written to `output`, by default report.html in this folder, the
    older run first. The other arguments are as for `score`; runs are scored by the last one's scores unless `score` or `job` is given.

    Raises:
        RunDirectoryError, JobError, InputError, DamagedError, SetupError, StorageError.
        ValueError: no target, options for files with a single run, or files without a way to score them.
    """
    names, job_file = [str(target) for target in targets], Path(job) if job is not None else None
    if not names:
        raise ValueError("name a run directory, or files of answers")
    if len(names) == 1 and is_run(names[0]):
        if output is not None or score is not None or answer is not None or rows is not None:
            raise ValueError("output, score, answer and rows are for files and several runs; the report of a run is its report.html")
        return str(write_run_report(names[0], job_file))
    files = FileScoring((), answer, Path(rows) if rows is not None else None, row_id)
    if score is not None or not any(map(is_run, names)):
        files = _file_scoring(score, job_file, answer, rows, row_id)
    return str(report_sides(names, files, Path(output or "report.html"), job_file))


def _file_scoring(
    score: Mapping[str, Any] | None, job: Path | None, answer: str | None, rows: AnyPath | None, row_id: str | None
) -> FileScoring:
    if (score is None) == (job is None):
        raise ValueError('files are scored by score = {"kind": ...}, or by the scores of a job file; give one of them')
    return replace(file_rules(job, score or {}), answer=answer, rows=Path(rows) if rows is not None else None, row_id=row_id)
