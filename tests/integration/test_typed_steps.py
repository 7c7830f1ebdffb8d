"""Steps over Parquet: columns keep their types, bytes among them, through explode, group and a chain of steps."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.records import Row
from tests.support.files import dataset
from tests.support.jobs import ids
from tests.support.scripted import ScriptedEndpoint
from tests.support.steps import StepsFolder, reply
from tests.support.stores import S3Server

MOMENT = dt.datetime(2026, 11, 27, 8, 0, tzinfo=dt.UTC)


def documents(path: Path) -> None:
    """Three documents with columns that JSON has no types for, in two row groups, one with a dictionary."""
    table = pa.table(
        {
            "doc": ["a", "b", "c"],
            "text": ["good bad", "great", "bad"],
            "photo": pa.array([b"\x89PNG\0", None, b"\xff"], pa.binary()),
            "price": pa.array([decimal.Decimal("1.10"), decimal.Decimal("2.00"), None], pa.decimal128(9, 2)),
            "at": pa.array([MOMENT] * 3, pa.timestamp("us", "UTC")),
            "lang": pa.array(["en", "en", "de"]).dictionary_encode(),
            "tags": pa.array([["x"], [], ["y", "z"]]),
            "completion": ["own", "its", "theirs"],
        }
    )
    pq.write_table(table, path, row_group_size=2)


def kept(folder: StepsFolder, name: str) -> list[Any]:
    """The rows that a step keeps, as prompts see them."""
    (file,) = (folder.path / "runs" / name / "rows").iterdir()
    return [row.columns for row, _ in dataset(file).rows() if isinstance(row, Row)]


def chain_over_parquet(path: Path, url: str) -> StepsFolder:
    """The three steps over a Parquet file."""
    folder = StepsFolder(path, url, [], input_file="docs.jsonl")
    documents(path / "docs.parquet")
    folder.step("extract", 'path = "docs.parquet"\nid = "doc"', "extract: {{ text }}", schema="items.json")
    return folder


def test_columns_keep_their_types_through_steps(tmp_path: Path) -> None:
    """Bytes, decimals, times, lists and dictionaries of the input are the same values two steps on, and go on into Parquet outputs."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = chain_over_parquet(tmp_path, endpoint.url)
        user = (
            "write: {{ item }} {{ price }} {{ at.year }} {{ tags | length }} {{ steps.input.completion }} {{ steps.extract.finish_reason }}"
        )
        more = 'format = "parquet"'
        source = "job = \"judge.toml\"\nwhere = 'parsed.good == true'"
        folder.step("last", source, user, columns=["photo", "price", "at", "lang", "tags", "item", "completion as judged"], more=more)
        ended = folder.call("run", "last.toml")
        assert ended.returncode == 0, ended.stderr
        assert {"write: good 1.10 2026 1 own stop", "write: great 2.00 2026 0 its stop"} <= set(endpoint.counts())
        endpoint.requests.clear()
        assert folder.call("run", "last.toml").returncode == 0
        assert not endpoint.counts()
    rows = kept(folder, "last")
    assert [row["promptmill_id"] for row in rows] == ["a/0", "a/1", "b/0", "c/0"]
    first = rows[0]
    assert (first["photo"], first["price"], first["at"], first["lang"], first["tags"]) == (
        b"\x89PNG\0", decimal.Decimal("1.10"), MOMENT, "en", ["x"],
    )  # fmt: skip
    assert (first["item"], first["parent_id"], first["parsed"]) == ("good", "a", {"good": True})
    assert first["steps"] == {
        "input": {"completion": "own"},
        "extract": {"completion": '{"items": ["good", "bad"]}', "finish_reason": "stop", "parsed": {"items": ["good", "bad"]}},
    }
    table = pq.read_table(tmp_path / "runs/last/completions.parquet")
    assert table.schema.field("photo").type == pa.binary()
    assert table.schema.field("price").type == pa.decimal128(9, 2)
    assert table.column("photo").to_pylist() == [b"\x89PNG\0", None]
    assert table.column("judged").to_pylist() == ['{"good": true}'] * 2
    for name in ("judge", "last"):
        assert folder.call("verify", f"runs/{name}").returncode == 0


def test_groups_of_typed_rows(tmp_path: Path) -> None:
    """Columns of a group are lists of their types, bytes among them; what answers brought along are lists of its values."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = chain_over_parquet(tmp_path, endpoint.url)
        folder.step("last", 'job = "judge.toml"\ngroup = "lang"', "sum: {{ item | join('+') }} {{ price | map('default', 0, true) | sum }}")
        ended = folder.call("run", "last.toml")
        assert ended.returncode == 0, ended.stderr
        assert ids(folder.lines("last")) == ["en", "de"]
        assert {"sum: good+bad+great 4.20", "sum: bad 0"} <= set(endpoint.counts())
        folder.step(
            "last", 'job = "judge.toml"\ngroup = "parsed.good"', "sum: {{ item | join('+') }} {{ group }}", more='dir = "runs/nested"'
        )
        assert folder.call("run", "last.toml").returncode == 0
    rows = kept(folder, "last")
    assert [(row["lang"], row["item"], row["photo"]) for row in rows] == [
        ("en", ["good", "bad", "great"], [b"\x89PNG\0", b"\x89PNG\0", None]),
        ("de", ["bad"], [b"\xff"]),
    ]
    assert rows[0]["parsed"] == [{"good": True}, {"good": False}, {"good": True}]
    assert rows[0]["price"] == [decimal.Decimal("1.10"), decimal.Decimal("1.10"), decimal.Decimal("2.00")]
    assert [(row["group"], row["item"]) for row in kept(folder, "nested")] == [("true", ["good", "great"]), ("false", ["bad", "bad"])]


def test_steps_over_files_of_several_types(tmp_path: Path) -> None:
    """Where two files disagree on a column, or lack it, its values are those that each file has."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, [])
        pq.write_table(pa.table({"doc": ["a"], "text": ["good"], "n": pa.array([1], pa.int64())}), tmp_path / "in-1.parquet")
        pq.write_table(pa.table({"doc": ["b"], "text": ["great"], "n": [{"x": 1}], "more": [2.5]}), tmp_path / "in-2.parquet")
        folder.step("extract", 'path = "in-*.parquet"\nid = "doc"', "extract: {{ text }}", schema="items.json")
        ended = folder.call("run", "judge.toml")
        assert ended.returncode == 0, ended.stderr
    assert [(row["n"], row["more"]) for row in kept(folder, "judge")] == [(1, None), ({"x": 1}, 2.5)]


def test_steps_whose_run_directories_are_on_a_store(s3: S3Server, tmp_path: Path) -> None:
    """Rows are kept on the store, too: run, changed, resumed from its address alone, and verified."""
    bucket = s3.bucket()
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, [{"doc": "a", "text": "good bad"}])
        folder.step(
            "extract", 'path = "docs.jsonl"\nid = "doc"', "extract: {{ text }}", schema="items.json", more=f'dir = "s3://{bucket}/one"'
        )
        source = 'job = "extract.toml"\nexplode = "parsed.items"'
        folder.step("judge", source, "judge: {{ item }}", schema="verdict.json", more=f'dir = "s3://{bucket}/two"')
        ended = folder.call("run", "judge.toml")
        assert ended.returncode == 0, ended.stderr
        folder.documents([{"doc": "a", "text": "good worse"}])
        ended = folder.call("run", "judge.toml", "--changed", "rerun")
        assert ended.returncode == 0, ended.stderr
        ended = folder.call("resume", f"s3://{bucket}/two")
        assert ended.returncode == 0, ended.stderr
        assert sorted(each for each in endpoint.counts() if each.startswith("judge")) == ["judge: bad", "judge: good", "judge: worse"]
        assert max(endpoint.counts().values()) == 1
        assert folder.call("verify", f"s3://{bucket}/two").returncode == 0
