"""Ids as text, and each only once."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from batch.errors import InputError, StorageError
from batch.readers import ids
from batch.readers.ids import check_unique, id_text, shortened


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("FR", "FR"),
        (" ../../x\0", " ../../x\0"),
        (7, "7"),
        (2**70, str(2**70)),
        (1.5, "1.5"),
        (True, "true"),
        ([1, {"a": "é"}], '[1,{"a":"é"}]'),
        ({}, "{}"),
        (Decimal("1.20"), "1.20"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\x01\xff", "01ff"),
        (None, None),
        ("", None),
        (float("nan"), None),
    ],
)
def test_ids_are_text(value: Any, text: str | None) -> None:
    """Any value can be an id, as text; null, NaN and an empty text are none (fault 49)."""
    assert id_text(value) == text


def test_unique_ids_pass_in_little_memory() -> None:
    """A few million rows cost 9 bytes each, and one pass (promise 8, fault 56)."""
    passes = []

    def many() -> Iterator[tuple[str, str, int]]:
        passes.append(1)
        return ((str(n), "f", n) for n in range(200_000))

    tracemalloc.start()
    check_unique(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000 * 12
    assert passes == [1]


def test_many_ids_go_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what is in memory at a time the hashes are on disk: unique ids pass, doubles far apart are found, nothing is left there."""
    monkeypatch.setattr(ids, "_IN_MEMORY", 5000)

    def many(last: str) -> Iterator[tuple[str, str, int]]:
        yield from ((str(n), "f", n) for n in range(100_000))
        yield last, "f", 100_000

    tracemalloc.start()
    check_unique(lambda: many("new"), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000 * 4
    for double in ("0", "999", "1000", "99999"):
        with pytest.raises(InputError, match=f"duplicate id {double}: f:{double} and f:100000"):
            check_unique(lambda double=double: many(double), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_no_ids_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the hashes cannot be put on disk, the folder is named."""
    monkeypatch.setattr(ids, "_IN_MEMORY", 10)
    with pytest.raises(StorageError, match=r"gone: the ids cannot be checked: No such file"):
        check_unique(lambda: ((str(n), "f", n) for n in range(100)), tmp_path / "gone")


def test_a_double_names_both_lines() -> None:
    """Of a duplicate id both places are named (fault 49)."""
    rows = [("a", "/in/x.jsonl", 1), ("b", "/in/x.jsonl", 2), ("a", "/in/y.jsonl", 7)]
    with pytest.raises(InputError, match=r"duplicate id a: /in/x\.jsonl:1 and /in/y\.jsonl:7"):
        check_unique(lambda: rows)


def test_two_ids_of_one_hash_are_no_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collision of hashes is told from a double by a second pass; a double among collisions is still found."""
    monkeypatch.setattr(ids, "hash", len, raising=False)
    check_unique(lambda: [("a", "f", 1), ("b", "f", 2)])
    with pytest.raises(InputError, match="duplicate id b: f:2 and f:3"):
        check_unique(lambda: [("a", "f", 1), ("b", "f", 2), ("b", "f", 3)])


def test_a_long_id_is_shortened_in_messages() -> None:
    """10 kB of id do not make 10 kB of message (fault 49)."""
    assert len(shortened("x" * 10_000)) < 120
    assert "10,000 characters" in shortened("x" * 10_000)
