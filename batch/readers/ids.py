"""The user's own keys: as text, and checked for duplicates."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable
from typing import Any

from batch.errors import InputError

# One bucket's set at a time: 256 small sets instead of one that takes several times the memory of the hashes.
_BUCKETS = 256
_MAX_SUSPECTS = 1000

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


def check_unique(ids: Callable[[], Iterable[Identified]]) -> None:
    """Refuse duplicate ids. Calls `ids` a second time only when a duplicate is suspected.

    Holds 9 bytes for each id: its hash, in buckets that are searched one by one; the second pass separates duplicates
    from hash collisions.

    Raises:
        InputError: names the id and both its places.
    """
    buckets = [array("q") for _ in range(_BUCKETS)]
    for text, _, _ in ids():
        hashed = hash(text)
        buckets[hashed % _BUCKETS].append(hashed)
    suspects: set[int] = set()
    for bucket in buckets:
        if len(suspects) < _MAX_SUSPECTS and len(seen := set(bucket)) < len(bucket):
            suspects |= _duplicates(bucket, seen)
    if suspects:
        _refuse_duplicate(ids(), suspects)


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
            raise InputError(f"duplicate id {shortened(text)}: {places[text]} and {file}:{line}; ids must be unique")
        places[text] = f"{file}:{line}"


def shortened(text: str, limit: int = 80) -> str:
    """An id as it is shown to people."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"
