"""Which rows a job takes: where, sample and limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import InputError
from batch.readers import Dataset
from batch.readers.sampling import highest_rank, rank
from batch.records import BadRow
from tests.support.files import dataset, rows_of, write
from tests.support.jobs import GOOD, loaded, problem

ROWS = 1000


def written(folder: Path, kind: str) -> Path:
    """A thousand rows {n, label} in a format."""
    labels = [("x", "y", "z")[n % 3] for n in range(ROWS)]
    table = pa.table({"n": list(range(ROWS)), "label": pa.array(labels).dictionary_encode()})
    path = folder / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=300)
    elif kind == "csv":
        path.write_text("n,label\n" + "".join(f"{n},{label}\n" for n, label in enumerate(labels)))
    else:
        path.write_text("".join(f'{{"n": {n}, "label": "{label}"}}\n' for n, label in enumerate(labels)))
    return path


def ordinals(read: Dataset) -> list[int]:
    """The ordinals of the rows that are taken."""
    found = [row.ordinal for row in rows_of(read)]
    assert len(found) == read.count()
    return found


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "arrow"])
def test_a_condition_means_the_same_in_every_format(tmp_path: Path, kind: str) -> None:
    """Ordinals stay those of the whole input, and the count agrees (promises 1 and 9)."""
    path = written(tmp_path, kind)
    assert ordinals(dataset(path, where="label == 'x' and n >= 990")) == [990, 993, 996, 999]
    assert ordinals(dataset(path, where="label == 'x' and n >= 990", limit=2)) == [990, 993]
    assert ordinals(dataset(path, where="n < 0")) == []


def test_a_sample_is_the_same_each_time_and_holds_smaller_ones(tmp_path: Path) -> None:
    """The order is the input's, another seed draws others, and a larger sample keeps the rows of a smaller one (promise 9)."""
    path = written(tmp_path, "jsonl")
    small, large = ordinals(dataset(path, sample=50)), ordinals(dataset(path, sample=200))
    assert len(small) == 50
    assert small == sorted(small) == ordinals(dataset(path, sample=50))
    assert set(small) < set(large)
    assert small != ordinals(dataset(path, sample=50, seed=1)) != ordinals(dataset(path, sample=50, seed=-1))
    assert ordinals(dataset(path, sample=5000)) == list(range(ROWS))
    assert ordinals(dataset(path, sample=50, limit=3)) == small[:3]


def test_a_sample_is_drawn_from_the_rows_that_the_condition_takes(tmp_path: Path) -> None:
    """where, then sample, then limit."""
    path = written(tmp_path, "parquet")
    drawn = ordinals(dataset(path, where="label == 'y'", sample=30))
    assert len(drawn) == 30
    assert all(ordinal % 3 == 1 for ordinal in drawn)
    assert set(ordinals(dataset(path, where="label == 'y' and n < 600", sample=10))) <= set(range(600))


def test_a_sample_is_fair() -> None:
    """Each tenth of the rows gets its share of a large sample, and no two rows have one rank."""
    ranks = [rank(ordinal, 7) for ordinal in range(20_000)]
    assert len(set(ranks)) == len(ranks)
    highest = highest_rank(range(20_000), 5000, 7)
    drawn = [ordinal for ordinal, each in enumerate(ranks) if each <= highest]
    assert len(drawn) == 5000
    assert all(400 < sum(ordinal // 2000 == tenth for ordinal in drawn) < 600 for tenth in range(10))
    assert highest_rank([], 5, 0) == -1


def test_rows_that_cannot_be_read_are_not_passed_over(tmp_path: Path) -> None:
    """No condition can be tried on them: they stay, as errors (promise 1)."""
    path = write(tmp_path / "a.jsonl", b'{"a": 1}\n{bad\n{"a": 2}\n{"b": 2}\n')
    read = dataset(path, where="a == 2")
    assert [(row.ordinal, isinstance(row, BadRow)) for row in rows_of(read)] == [(1, True), (2, False)]
    assert read.count() == 2


def test_a_column_that_no_row_has_is_a_mistake(tmp_path: Path) -> None:
    """A typo would take no row, or all: it is told when the rows are counted, before anything is sent."""
    path = written(tmp_path, "csv")
    with pytest.raises(InputError, match=r"where: no row has a column 'lable'; did you mean label\?"):
        dataset(path, where="lable == 'x'").count()
    sparse = write(tmp_path / "b.jsonl", b'{"a": 1}\n{"b": 2}\n')
    assert ordinals(dataset(sparse, where="b == 2")) == [1]


def test_ids_are_checked_among_the_rows_that_are_taken(tmp_path: Path) -> None:
    """A double that is filtered out is no double."""
    path = write(tmp_path / "a.jsonl", b'{"id": "r", "v": 1}\n{"id": "r", "v": 2}\n')
    dataset(path, id="id", where="v == 2").check_ids()
    with pytest.raises(InputError, match="duplicate id"):
        dataset(path, id="id", where="v > 0").check_ids()


def test_the_settings_come_from_the_job_file(tmp_path: Path) -> None:
    """Each key arrives; a mistake in the condition names its line."""
    more = 'path = "rows.jsonl"\nwhere = "a == 1"\nsample = 5\nseed = 3\nlimit = 2'
    settings = loaded(tmp_path, GOOD.replace('path = "rows.jsonl"', more)).job.input
    assert (settings.where, settings.sample, settings.seed, settings.limit) == ("a == 1", 5, 3, 2)
    wrong = problem(tmp_path, GOOD.replace('path = "rows.jsonl"', 'path = "rows.jsonl"\nwhere = "a = 1"'))
    assert (wrong.place, wrong.key) == ("job.toml:3", "input.where")
    assert "write == for =" in wrong.message


def test_what_decides_the_selection_is_known(tmp_path: Path) -> None:
    """run.json tells by it whether finished rows must be looked at again; a seed without a sample decides nothing."""
    path = write(tmp_path / "a.jsonl", b"{}")
    settings: dict[str, Any] = {"where": "a == 1", "sample": 3, "seed": 4}
    assert dataset(path, **settings).selection == {"id": None, "limit": None, **settings}
    assert dataset(path, seed=4).selection == {"id": None, "limit": None}
