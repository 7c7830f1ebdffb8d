"""Read the JSON values of any kind of file of answers: JSON, JSON lines, compressed files, tables, inspect's .eval logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from batch.errors import InputError
from batch.evaluation.foreign.inspect_logs import inspect_log
from batch.readers import Dataset
from batch.readers.formats import FORMATS
from batch.readers.record import PACKED
from batch.records import Row
from batch.settings import InputSettings
from batch.storage import open_input

_CSV = FORMATS["csv"].suffixes
_TABLES = frozenset(suffix for name in ("csv", "parquet", "arrow") for suffix in FORMATS[name].suffixes)
# Columns of promptmill's own CSV files that are not texts there either.
_JSON_CELLS = frozenset({"usage", "tool_calls", "error"})
_NUMBER_CELLS = frozenset({"latency_s", "first_token_s", "cost_usd", "repeat"})
_GUARDED = ("'=", "'+", "'-", "'@", "'\t", "'\r", "'\n")


def documents(path: Path) -> Iterator[Any]:
    """Yield the JSON values in a file: table rows, lines, items of a list, or one document. Raises InputError."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    inner = next((suffix for suffix in reversed(suffixes) if suffix not in PACKED), "")
    if inner in _TABLES:
        yield from _rows(path, text=inner in _CSV)
    elif inner == ".eval":
        yield inspect_log(path)
    else:
        yield from _json(path)


def _json(path: Path) -> Iterator[Any]:
    try:
        with open_input(str(path)) as file:
            text = file.read()
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise InputError(f"{path}:{number}: is not JSON: {error}") from error
        return
    yield from document if isinstance(document, list) else [document]


def _rows(path: Path, *, text: bool) -> Iterator[dict[str, Any]]:
    for batch in Dataset(InputSettings(paths=(str(path),))).batches():
        for row in batch:
            if not isinstance(row, Row):
                raise InputError(f"{path}: row {row.ordinal + 1} cannot be read: {row.message}")
            columns = dict(row.columns)
            yield _from_cells(columns) if text and {"id", "variant", "attempts"} <= columns.keys() else columns


def _from_cells(cells: dict[str, Any]) -> dict[str, Any]:
    """Read a line of promptmill's own CSV: parse JSON and numbers, and remove the protection against spreadsheet formulas."""
    line: dict[str, Any] = {}
    for name, cell in cells.items():
        value: Any = cell
        if cell == "" or cell is None:
            value = None
        elif name in _JSON_CELLS:
            value = _parsed(cell)
        elif name in _NUMBER_CELLS:
            value = float(cell)
        elif name == "completion" and str(cell).startswith(_GUARDED):
            value = cell[1:]
        line[name] = value
    return line


def _parsed(cell: str) -> Any:
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell
