"""The settings of a job's input, frozen. `settings` has them too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

InputFormat = Literal["auto", "jsonl", "csv", "parquet", "arrow", "openai-batch"]

GIVEN = "-"
"""The path of rows that are given to a run: on stdin, or from Python."""

STEP_ID = "promptmill_id"
"""The column that holds the ids of rows made of another run's answers."""


_FORMATS: dict[str, InputFormat] = {"jsonl": "jsonl", "arrow": "arrow", "csv": "csv", "parquet": "parquet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """Rows made of the answers of another job: of its file `job`, which is run first, or of its run directory `run`. Both are absolute.

    `variant` takes the answers of that variant only. `explode` is the path of a list, such as parsed.items: a row for each element.
    `group` is the path of a value: a row for all rows that share it.
    """

    job: str | None = None
    run: str | None = None
    variant: str | None = None
    explode: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """Where the rows are: `paths` are absolute files or globs, read in this order (a glob's files sorted by name).

    With `step`, with `sql`, a query over the files, and for the path GIVEN, rows are made when a run begins and kept in its run directory;
    `folder` is then the one that the files which rows name are relative to (None: that of the input file).
    Of these rows those are taken for which `where` holds (readers/where.py), of them `sample` drawn by `seed`, of them the first `limit`.
    `delimiter` None takes the one of a CSV's header; `encoding` None is UTF-8.
    """

    paths: tuple[str, ...]
    step: StepSettings | None = None
    sql: str | None = None
    id: str | None = None
    format: InputFormat = "auto"
    delimiter: str | None = None
    encoding: str | None = None
    where: str | None = None
    sample: int | None = None
    seed: int = 0
    limit: int | None = None
    folder: str | None = None

    @property
    def is_made(self) -> bool:
        """Whether the rows are still to be made."""
        return self.sql is not None or self.paths == (GIVEN,) or (self.step is not None and not self.paths)

    def kept_in(self, file: str, folder: str | None = None) -> InputSettings:
        """Return the settings that read the rows from the file in which they are kept; files that they name are in `folder`."""
        format_ = self.format if self.format == "openai-batch" else _FORMATS[file.partition("?")[0].rpartition(".")[2]]
        grouped = self.step is not None and self.step.group is not None
        # A condition on rows that are grouped has been applied to them before.
        return replace(self, paths=(file,), sql=None, folder=folder, format=format_, where=None if grouped else self.where)
