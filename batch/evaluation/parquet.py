"""Write and read scores and tasks as Parquet files in a run's `scores/` folder, which other tools can read too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch.errors import RunDirectoryError
from batch.evaluation.table import ScoreValue
from batch.storage import named, replace_atomically
from batch.writers.values import clean

# Memory holds one group as Python tuples; smaller groups would compress worse.
_GROUP_ROWS = 1 << 16
_METADATA = "promptmill"
_TASK = [("row", pa.int64()), ("id", pa.string()), ("variant", pa.string()), ("repeat", pa.int32())]
SCORES_SCHEMA = pa.schema(
    [*_TASK, ("state", pa.string()), ("value", pa.float64()), ("extracted", pa.string()), ("reason", pa.string()), ("digest", pa.int64())]
)
TASKS_SCHEMA = pa.schema(
    [
        *_TASK,
        ("failure", pa.string()),
        ("missing", pa.bool_()),
        ("latency_s", pa.float64()),
        ("first_token_s", pa.float64()),
        ("cost_usd", pa.float64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
    ]
)


class TableWriter:
    """Writes lines, which are tuples in the schema's order, in row groups."""

    def __init__(self, schema: pa.Schema, writer: pq.ParquetWriter) -> None:
        self._schema = schema
        self._writer = writer
        self._lines: list[tuple[Any, ...]] = []

    def add(self, line: tuple[Any, ...]) -> None:
        """Add one line."""
        self._lines.append(line)
        if len(self._lines) >= _GROUP_ROWS:
            self.flush()

    def describe(self, metadata: Mapping[str, Any]) -> None:
        """Put `metadata` (JSON) into the file."""
        self._writer.add_key_value_metadata({_METADATA: json.dumps(metadata)})

    def flush(self) -> None:
        """Write the buffered lines."""
        columns = zip(*self._lines, strict=True) if self._lines else ((),) * len(self._schema)
        arrays = [_array(column, item.type) for column, item in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._lines = []


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:  # lone surrogates, which UTF-8 cannot hold
        return pa.array([clean(value) if isinstance(value, str) else value for value in values], kind)


@contextmanager
def open_table(path: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """Open a writer whose file replaces `path` when the body ends; when the body raises, `path` is not changed.

    Raises:
        StorageError: the disk refuses.
    """
    with replace_atomically(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as parquet:
        writer = TableWriter(schema, parquet)
        yield writer
        writer.flush()


def with_text_columns(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Return `schema` with text columns of these names, which get the prefix "in:" to mark them as the input's own."""
    return pa.schema([*schema, *((f"in:{name}", pa.string()) for name in names)])


def described(path: Path) -> dict[str, Any]:
    """Read the metadata of a written file; empty for a file that is missing, damaged or not written by promptmill."""
    try:
        found: Any = json.loads(pq.read_metadata(path).metadata[_METADATA.encode()])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name a file of scores that is damaged. Raises RunDirectoryError."""
    try:
        yield
    # Arrow raises exceptions of many types for a damaged file.
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise RunDirectoryError(f"{named(path)}: is damaged ({reason}); remove it, and `promptmill score` makes it again") from error


class Columns:
    """The columns of a written file."""

    def __init__(self, path: Path, names: Sequence[str] | None = None) -> None:
        self._path = path
        with _reading(path):
            self._table = pq.read_table(path, columns=None if names is None else list(names))

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def array(self, name: str) -> NDArray[Any]:
        """Return a column as an array; nulls of numbers become NaN."""
        with _reading(self._path):
            found: NDArray[Any] = self._table[name].to_numpy()
        return found

    def values(self, name: str) -> list[Any]:
        """Return a column as Python values."""
        with _reading(self._path):
            found: list[Any] = self._table[name].to_pylist()
        return found

    def codes(self, name: str, known: Sequence[str]) -> NDArray[np.int64]:
        """Return a text column as indices into `known`; -1 for any other text."""
        with _reading(self._path):
            found: NDArray[np.int64] = (
                pc.fill_null(pc.index_in(self._table[name], pa.array(known, pa.string())), -1).to_numpy().astype(np.int64)
            )
        return found


_KEY = ("row", "variant", "repeat")
_VALUE = ("value", "state", "extracted", "reason")

TaskKey = tuple[int, str, int]


class ScoresReader:
    """Reads the values of one score in the order of the results; memory holds one batch."""

    def __init__(self, path: Path) -> None:
        self._scores = _read(path)
        self._next = next(self._scores, None)

    def take(self, row: int, variant: str, repeat: int) -> ScoreValue | None:
        """Return the score of this task; None for a row without a right value. Call it in the order of the tasks."""
        task = (row, variant, repeat)
        while self._next is not None and self._next[0][0] < row:
            self._next = next(self._scores, None)
        if self._next is None or self._next[0] != task:
            return None
        found = self._next[1]
        self._next = next(self._scores, None)
        return found


def _read(path: Path) -> Iterator[tuple[TaskKey, ScoreValue]]:
    with _reading(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=4096, columns=[*_KEY, *_VALUE]):
            columns: list[list[Any]] = [batch.column(name).to_pylist() for name in (*_KEY, *_VALUE)]
            for row, variant, repeat, *value in zip(*columns, strict=True):
                yield (row, variant, repeat), ScoreValue(*value)
