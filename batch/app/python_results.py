"""`batch.Results` and what `batch.run` returns: the results of a run as Arrow tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.app.python_html import html_table
from batch.app.python_parser import Parsed, parse_answers
from batch.app.python_words import python_words, speaking_python
from batch.app.runner import RunReport
from batch.app.stored import open_run
from batch.tally import Tally

if TYPE_CHECKING:
    import pyarrow as pa

    from batch.results.tables import Tables


class Results:
    """The results of a run directory, also during its run or after it stopped: as its journals are when first read.

    It is itself a stream of completions in Arrow's C interface, so that `polars.DataFrame(results)`, `pyarrow.table(results)` and
    `duckdb.sql("from results")` take it as it is; `results.completions().to_pandas()` is for pandas.

    Raises:
        RunDirectoryError: there is no run there.
    """

    def __init__(self, directory: str | Path) -> None:
        with speaking_python():
            self._run = open_run(directory)
        self.directory: Path | str = self._run.directory.place
        self._made: Tables | None = None

    def completions(self) -> pa.Table:
        """One row per answer, in input order. Columns: those of completions.parquet. Raises InputError, DamagedError, StorageError."""
        return self._tables.completions()

    def parsed(self, parser: Callable[..., Any]) -> list[Parsed]:
        """Call `parser` with the text of each answer, in input order, and with its row of `completions()` if it takes two arguments.

        What it raises for one answer is kept beside that answer, as its `error`. Nothing is sent. Raises as `completions`.
        """
        return [*parse_answers(self.completions().to_pylist(), parser)]

    def errors(self) -> pa.Table:
        """One row per failed task, in input order. Columns: those of errors.parquet. Raises as `completions`."""
        return self._tables.errors()

    def __repr__(self) -> str:
        return f"<Results {str(self.directory)!r}>"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._tables.stream().__arrow_c_stream__(requested_schema)

    @property
    def _tables(self) -> Tables:
        from batch.results.tables import Tables

        if self._made is None:
            self._made = Tables(self._run)
        return self._made


class RunResult(Results):
    """How a run ended, with its results.

    `tallies` are the counts by variant, `reason` is a sentence on why it ended early (None: every row has its outcome), `exit_code` is
    that of the command, `outputs` are the written files.
    """

    def __init__(self, report: RunReport) -> None:
        super().__init__(report.directory)
        self.tallies: dict[str, Tally] = report.tallies
        self.reason: str | None = None if report.reason is None else python_words(report.reason)
        self.exit_code: int = report.exit_code
        self.outputs: tuple[Path | str, ...] = report.outputs
        self.elapsed_s: float = report.elapsed_s

    def __repr__(self) -> str:
        ok = sum(tally.ok + tally.kept_ok for tally in self.tallies.values())
        failed = sum(tally.failed + tally.kept_failed for tally in self.tallies.values())
        return f"<RunResult {str(self.directory)!r}: {ok:,} ok, {failed:,} failed{', ' + self.reason if self.reason else ''}>"

    def _repr_html_(self) -> str:
        head = ["variant", "rows", "ok", "failed", "tokens in", "tokens out", "USD"]
        rows = [
            (
                name,
                tally.total,
                tally.ok + tally.kept_ok,
                tally.failed + tally.kept_failed,
                tally.prompt_tokens,
                tally.completion_tokens,
                tally.cost_usd if tally.priced else None,
            )
            for name, tally in self.tallies.items()
        ]
        return html_table(f"{self.directory}: {self.reason or 'every row has its outcome'}", head, rows)
