"""Reading only the rows that are wanted: the same rows as reading all and leaving the others out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.readers import choosing
from batch.readers import rows as rows_module
from batch.records import BadRow, Row
from tests.support.files import dataset, rows_of, write

LINES = st.one_of(
    st.builds(lambda number: json.dumps({"id": f"r{number}", "n": number}).encode(), st.integers(0, 40)),
    st.builds(lambda number: b'{"id": %d%d, "n": %d}' % (10**20, number, number), st.integers(0, 40)),
    st.sampled_from([b"", b"  ", b"flaw", b'{"n": 1}', b'{"id": null, "n": 2}', b'{"id": "\\ud800", "n": 3}', b"[1]", b"\xff"]),
)
SELECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just("id"),
        "limit": st.integers(0, 70),
        "where": st.just("n > 5"),
        "sample": st.integers(0, 30),
    },
)


def mixed(folder: Path, lines: list[bytes], more: list[bytes]) -> list[Path]:
    """The lines as JSONL, before and after some Parquet and CSV."""
    pq.write_table(pa.table({"id": [f"p{n}" for n in range(7)], "n": list(range(7))}), folder / "b.parquet", row_group_size=3)
    return [
        write(folder / "a.jsonl", b"\n".join(lines)),
        folder / "b.parquet",
        write(folder / "c.csv", b"id,n\nc1,1\nc2\nc3,9\n"),
        write(folder / "d.jsonl", b"\n".join(more) + b"\n"),
    ]


@settings(deadline=None, max_examples=150)
@given(
    lines=st.lists(LINES, max_size=30),
    more=st.lists(LINES, max_size=30),
    selection=SELECTIONS,
    unwanted=st.sets(st.integers(0, 70)),
    weighed=st.integers(1, 9),
    size=st.integers(1, 9),
)
def test_the_wanted_rows_are_those_of_reading_all(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    more: list[bytes],
    selection: dict[str, Any],
    unwanted: set[int],
    weighed: int,
    size: int,
) -> None:
    """No wanted row is missed, moved or made otherwise; of the others at most bad ones come (promise 1)."""
    files = mixed(tmp_path_factory.mktemp("input"), lines, more)
    everything = rows_of(dataset(*files, **selection))
    names = {row.id for row in everything if row.ordinal in unwanted}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "_WINDOW", weighed)
        batches = list(dataset(*files, **selection).batches(size, wanted=lambda ids: [name not in names for name in ids]))

    chosen = [row for batch in batches for row in batch]
    assert max(map(len, batches), default=0) <= size
    assert [row for row in chosen if row.id not in names] == [row for row in everything if row.id not in names]
    assert all(isinstance(row, BadRow) for row in chosen if row.id in names)


def test_rows_that_nobody_wants_are_not_even_read(tmp_path: Path) -> None:
    """Without ids, rows that are done are passed over as lines: what cannot be read among them costs nothing either."""
    path = write(tmp_path / "a.jsonl", b"flaw\n" * 10_000 + b'{"n": 1}\n')
    chosen = [row for batch in dataset(path).batches(wanted=lambda ids: [name == "10000" for name in ids]) for row in batch]
    assert [(row.ordinal, row.line, row.columns) for row in chosen if isinstance(row, Row)] == [(10_000, 10_001, {"n": 1})]
    assert len(chosen) == 1


@pytest.mark.parametrize("id_column", [None, "id"])
def test_a_reader_of_many_unwanted_rows_is_let_in_between(tmp_path: Path, id_column: str | None) -> None:
    """A run that passes over millions of finished rows can be stopped meanwhile: empty batches come (promise 10)."""
    path = write(tmp_path / "a.jsonl", b"".join(b'{"id": "r%d"}\n' % number for number in range(10_000)))
    batches = list(dataset(path, id=id_column).batches(wanted=lambda ids: [False] * len(ids)))
    assert batches == [[], [], []]


@pytest.mark.parametrize("id_column", [None, "id"])
def test_large_rows_make_small_batches_when_they_are_chosen_too(
    tmp_path: Path, id_column: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is weighed at a time is bounded by its bytes as well (promise 8)."""
    monkeypatch.setattr(rows_module, "_BATCH_BYTES", 1000)
    path = write(tmp_path / "a.jsonl", b"".join(b'{"id": "r%d", "text": "%s"}\n' % (number, b"x" * 600) for number in range(9)))
    batches = list(dataset(path, id=id_column).batches(wanted=lambda ids: [True] * len(ids)))
    assert [len(batch) for batch in batches] == [2, 2, 2, 2, 1]
