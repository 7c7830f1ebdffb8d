"""The user's own keys: as text, and checked for duplicates."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from batch.errors import InputError, StorageError

# One bucket's set at a time: 256 small sets instead of one that takes several times the memory of the hashes.
_BUCKETS = 256
_MAX_SUSPECTS = 1000
# Ids whose hashes are in memory at a time: 32 MB.
_IN_MEMORY = 4_000_000

# (id as text, file, line)
Identified = tuple[str, str, int]


def id_text(value: Any) -> str | None:
    """An id as text: strings as they are, lists and objects as compact JSON, others as Python writes them.

    None where there is none: null, NaN, or an empty string.
    """
    if type(value) is str:
        return value or None
    if value is None or value != value:  # NaN differs from itself
        return None
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple() | dict():
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
        case bytes():
            return value.hex()
        case _:
            return str(value)


def check_unique(ids: Callable[[], Iterable[Identified]], folder: Path | None = None) -> None:
    """Refuse duplicate ids. Calls `ids` a second time only when a duplicate is suspected.

    Takes at most about 70 MB, whatever the number of ids: their hashes, 8 bytes each, are divided into buckets, which go to an unnamed file
    in `folder` (None: the system's folder for such files) when there are many, and are searched one by one. The second pass separates
    duplicates from hash collisions.

    Raises:
        InputError: names the id and both its places.
        StorageError: the disk refuses.
    """
    try:
        suspects = _suspects(ids(), folder)
    except OSError as error:
        raise StorageError(f"{folder or tempfile.gettempdir()}: the ids cannot be checked: {error.strerror or error}") from error
    if suspects:
        _refuse_duplicate(ids(), suspects)


def _suspects(ids: Iterable[Identified], folder: Path | None) -> set[int]:
    """Return the hashes that occur more than once, or some of them where they are many. Raises OSError."""
    with ExitStack() as stack:
        buckets, kept, spilled = _empty(), 0, None
        for text, _, _ in ids:
            hashed = hash(text)
            buckets[hashed % _BUCKETS].append(hashed)
            kept += 1
            if kept >= _IN_MEMORY:
                if spilled is None:
                    # Not in memory, as /tmp may be.
                    spilled = stack.enter_context(_Spilled(folder))
                spilled.add(buckets)
                buckets, kept = _empty(), 0
        suspects: set[int] = set()
        for number, bucket in enumerate(buckets):
            if len(suspects) >= _MAX_SUSPECTS:
                break
            if spilled is not None:
                bucket.frombytes(spilled.read(number))
            if len(seen := set(bucket)) < len(bucket):
                suspects |= _duplicates(bucket, seen)
            buckets[number] = array("q")
        return suspects


def _empty() -> list[array[int]]:
    return [array("q") for _ in range(_BUCKETS)]


class _Spilled:
    """Buckets of hashes in an unnamed file: each `add` is a run, in which the buckets follow each other."""

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._runs: list[array[int]] = []

    def add(self, buckets: Sequence[array[int]]) -> None:
        ends = array("q", [self._file.tell()])
        for bucket in buckets:
            self._file.write(bucket)
            ends.append(ends[-1] + len(bucket) * bucket.itemsize)
        self._runs.append(ends)

    def read(self, number: int) -> bytes:
        return b"".join(self._piece(ends[number], ends[number + 1]) for ends in self._runs)

    def _piece(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._file.close()


def _duplicates(bucket: array[int], unseen: set[int]) -> set[int]:
    duplicates = set()
    for hashed in bucket:
        if hashed in unseen:
            unseen.remove(hashed)
        else:
            duplicates.add(hashed)
    return duplicates


def _refuse_duplicate(ids: Iterable[Identified], suspects: set[int]) -> None:
    places: dict[str, str] = {}
    for text, file, line in ids:
        if hash(text) not in suspects:
            continue
        if text in places:
            hint = "ids must be unique: remove one of the rows, or name another column as [input] id"
            raise InputError(f"duplicate id {shortened(text)}: {places[text]} and {file}:{line}; {hint}")
        places[text] = f"{file}:{line}"


def shortened(text: str, limit: int = 80) -> str:
    """An id as it is shown to people."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"
