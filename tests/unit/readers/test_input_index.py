"""The sparse index of the input: seeking to what is left, in every format, gives what reading all gives."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.readers import Dataset, input_index
from batch.readers.input_index import NAME, count_rows
from batch.settings import InputSettings

ROWS = 70
LINES = [b'{"n": %d, "text": "%s"}' % (n, b"x" * (n % 7)) if n % 11 else b"{broken" for n in range(ROWS)]


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows have an index too, of every third."""
    monkeypatch.setattr(input_index, "WORTH_ROWS", 0)
    monkeypatch.setattr(input_index, "MARK_EVERY", 3)


class Done:
    """Rows that are finished."""

    def __init__(self, rows: set[int]) -> None:
        self._rows = rows

    def gaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        for row in range(start, stop):
            if row not in self._rows:
                yield row, row + 1


def write(folder: Path, kind: str) -> str:
    if kind == "parquet":
        pq.write_table(pa.table({"n": range(ROWS)}), folder / "in.parquet", row_group_size=9)
        return str(folder / "in.parquet")
    data = b"\n".join(LINES) + b"\n"
    path = folder / ("in.jsonl" if kind == "jsonl" else "in.jsonl.gz")
    path.write_bytes(data if kind == "jsonl" else gzip.compress(data))
    return str(path)


@settings(deadline=None, max_examples=30)
@given(
    kind=st.sampled_from(["jsonl", "gz", "parquet"]),
    done=st.sets(st.integers(0, ROWS - 1)),
    limit=st.sampled_from([None, 1, 30, 200]),
    sample=st.sampled_from([None, 20]),
    where=st.sampled_from([None, "n > 10"]),
)
def test_what_is_left_is_read(tmp_path_factory: pytest.TempPathFactory, kind: str, done: set[int], limit, sample, where) -> None:
    """With an index or without: the rows that are not finished, each as reading everything makes it (promise 1)."""
    folder = tmp_path_factory.mktemp("input")
    made = InputSettings(paths=(write(folder, kind),), limit=limit, sample=sample, where=where)
    right = [row for batch in Dataset(made).batches() for row in batch if row.ordinal not in done]
    for unchanged in (False, True, True):
        dataset = Dataset(made)
        rows = count_rows(dataset, folder, dataset.identity(), unchanged=unchanged)
        assert rows == Dataset(made).count()
        found = [row for batch in dataset.batches(finished=Done(done)) for row in batch]
        assert found == right


def test_an_index_of_another_input_is_not_used(tmp_path: Path) -> None:
    """A changed file, another selection, or a damaged index: the rows are counted again."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"n": 1}\n' * 5)

    def counted(**selection) -> int | None:
        dataset = Dataset(InputSettings(paths=(str(path),), **selection))
        return count_rows(dataset, tmp_path, dataset.identity(), unchanged=True)

    assert counted() == 5
    index = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(index.replace(b'"rows":5', b'"rows":4'))
    assert counted() == 5
    path.write_bytes(b'{"n": 1}\n' * 6)
    assert counted() == 6
    assert counted(where="n > 1") == 0
