"""A sparse index of the input: its number of rows, and where reading can begin every few hundred rows.

Kept in the run directory with the identity of the files, so that a later session neither counts the rows nor reads what is done.
Derived: a missing or damaged one, or one of other files or another selection, is made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson

from batch.errors import StorageError
from batch.readers.dataset import MARK_EVERY, Dataset
from batch.records import InputOffset
from batch.storage import replace_atomically

NAME = "input-index.json"
# Counting fewer takes no time.
WORTH_ROWS = 20_000
_VERSION = 1


def count_rows(dataset: Dataset, folder: Path, files: Sequence[Mapping[str, Any]], *, unchanged: bool) -> int | None:
    """Count the rows of `dataset.batches`, by the index in `folder` where the input is `unchanged`, else by reading; keeps an index.

    `files` are the identity of the input as it is now.

    Raises:
        InputError: a file cannot be read.
    """
    made_of = {"version": _VERSION, "files": list(files), "selection": dataset.selection}
    path = folder / NAME
    if unchanged and (found := _load(path, made_of)) is not None:
        dataset.use_marks(found["file_rows"], found["bound"], [InputOffset(*mark) for mark in found["marks"]], found["drawn"])
        return int(found["rows"])
    if dataset.selection["limit"] is not None:
        # All files would be read to find places in them, where the first rows may be enough.
        return dataset.count()
    bound, offsets = dataset.marks(MARK_EVERY)
    rows = dataset.count()
    if bound >= WORTH_ROWS:
        marks = [[each.ordinal, each.file, each.record, each.line, each.offset] for each in offsets]
        content = {**made_of, "rows": rows, "file_rows": dataset.file_rows, "bound": bound, "drawn": dataset.drawn, "marks": marks}
        with suppress(StorageError):
            _save(path, content)
    return rows


def _load(path: Path, made_of: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read an index; None unless it was made of this and is as it was written."""
    try:
        checksum, _, text = path.read_bytes().partition(b" ")
        found = orjson.loads(text)
        whole = checksum == b"%08x" % crc32(text)
        return found if whole and all(found[name] == value for name, value in made_of.items()) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(path: Path, content: Mapping[str, Any]) -> None:
    text = orjson.dumps(content)
    with replace_atomically(path) as file:
        file.write(b"%08x %s" % (crc32(text), text))
