"""Input on an object store: moto's S3 server on loopback."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from batch.errors import InputError
from batch.readers import Dataset
from batch.readers.ranges import Ranges
from batch.records import BadRow, Row
from batch.settings import InputSettings
from batch.storage import expand, open_input
from tests.support.jobs import JobFolder, ids
from tests.support.scripted import ScriptedEndpoint, answer
from tests.support.stores import S3Server


def dataset(*paths: str, **settings) -> Dataset:
    """The rows at these addresses."""
    return Dataset(InputSettings(paths=paths, **settings))


def rows_of(data: Dataset) -> list[Row | BadRow]:
    """All rows."""
    return [row for batch in data.batches() for row in batch]


def jsonl(*numbers: int) -> bytes:
    """Rows that hold these numbers."""
    return b"".join(json.dumps({"n": number}).encode() + b"\n" for number in numbers)


def test_a_pattern_gives_its_objects_sorted_by_key(s3: S3Server) -> None:
    """`*` and `?` stay in a folder, `**` goes down, hidden names are left out, as on disk."""
    bucket = s3.bucket()
    for key in ("d/b.jsonl", "d/a.jsonl", "d/.hidden.jsonl", "d/x/c.jsonl", "d/x/y/e.jsonl", "d/a.csv"):
        s3.put(f"{bucket}/{key}", b"{}\n")
    base = f"s3://{bucket}/d"
    assert expand([f"{base}/*.jsonl"]) == [f"{base}/a.jsonl", f"{base}/b.jsonl"]
    assert expand([f"{base}/?.jsonl"]) == [f"{base}/a.jsonl", f"{base}/b.jsonl"]
    assert expand([f"{base}/[!a].jsonl"]) == [f"{base}/b.jsonl"]
    assert expand([f"{base}/*/*.jsonl"]) == [f"{base}/x/c.jsonl"]
    assert expand([f"{base}/**/*.jsonl"]) == [f"{base}/a.jsonl", f"{base}/b.jsonl", f"{base}/x/c.jsonl", f"{base}/x/y/e.jsonl"]
    assert expand([f"s3://{bucket}/*/a.csv"]) == [f"{base}/a.csv"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("d/cities.jsonl", "did you mean countries.jsonl"),
        ("d/*.parquet", "no such object"),
        ("e", "no such object"),
    ],
)
def test_what_is_not_there_is_explained(s3: S3Server, path: str, says: str) -> None:
    """An address that gives no object is refused before anything is sent."""
    bucket = s3.bucket()
    s3.put(f"{bucket}/d/countries.jsonl", b"{}\n")
    with pytest.raises(InputError, match=says):
        expand([f"s3://{bucket}/{path.replace('cities', 'countrie')}"])


def test_a_missing_bucket_is_named(s3: S3Server) -> None:
    """The bucket is what is wrong, not the object."""
    with pytest.raises(InputError, match=f"there is no bucket no-such-bucket at {s3.url}"):
        expand(["s3://no-such-bucket/rows.jsonl"])


@pytest.mark.parametrize("pack", [None, "gz", "zst"])
def test_packed_and_plain_objects_are_read_as_streams(s3: S3Server, pack: str | None) -> None:
    """Compression works on a store as on disk, also over several megabytes."""
    bucket = s3.bucket()
    data = jsonl(*range(200_000))
    packed = {None: bytes, "gz": gzip.compress, "zst": zstandard.compress}[pack](data)
    name = "rows.jsonl" + (f".{pack}" if pack else "")
    s3.put(f"{bucket}/{name}", packed)
    with open_input(f"s3://{bucket}/{name}") as file:
        assert file.read() == data
    assert dataset(f"s3://{bucket}/{name}").count() == 200_000


def test_an_endpoint_in_the_address_needs_no_environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """`?endpoint_override=` says where the store is; row messages name the object without it."""
    bucket = s3.bucket()
    s3.put(f"{bucket}/d/rows.jsonl", b'{"n": 1}\nnonsense\n')
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    data = dataset(f"s3://{bucket}/d/*.jsonl?endpoint_override={s3.url}")
    assert data.files == [f"s3://{bucket}/d/rows.jsonl?endpoint_override={s3.url}"]
    good, bad = rows_of(data)
    assert isinstance(good, Row)
    assert isinstance(bad, BadRow)
    assert bad.message.startswith("rows.jsonl:2: ")


def test_identity_changes_with_the_object(s3: S3Server) -> None:
    """Promise 9: an object that was replaced is seen to be another one."""
    bucket = s3.bucket()
    s3.put(f"{bucket}/rows.jsonl", jsonl(1))
    data = dataset(f"s3://{bucket}/rows.jsonl")
    (before,) = data.identity()
    assert before["size"] == len(jsonl(1))
    s3.put(f"{bucket}/rows.jsonl", jsonl(1, 2))
    assert data.identity() != [before]
    s3.system().delete_file(f"{bucket}/rows.jsonl")
    with pytest.raises(InputError, match="no such object any more"):
        data.identity()


def test_sharded_parquet_is_one_dataset_with_its_types(s3: S3Server, tmp_path: Path) -> None:
    """Parquet is read by ranges; ordinals go over all shards and the exact types are known."""
    bucket = s3.bucket()
    for shard in range(3):
        table = pa.table({"n": pa.array(range(shard * 100, shard * 100 + 100), pa.int16()), "text": [f"t{i}" for i in range(100)]})
        pq.write_table(table, tmp_path / "shard.parquet", row_group_size=30)
        s3.put(f"{bucket}/data/train-{shard:05d}-of-00003.parquet", (tmp_path / "shard.parquet").read_bytes())
    data = dataset(f"s3://{bucket}/data/train-*.parquet")
    rows = rows_of(data)
    assert data.count() == 300
    assert [(row.ordinal, row.columns["n"]) for row in rows if isinstance(row, Row)] == [(i, i) for i in range(300)]
    schema = data.column_types()
    assert schema is not None
    assert schema.field("n").type == pa.int16()


@pytest.mark.parametrize("kind", ["new_file", "new_stream"])
def test_arrow_is_read_by_ranges(s3: S3Server, kind: str) -> None:
    """Arrow files and streams are read from a store; one that was cut is refused."""
    bucket = s3.bucket()
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"n": range(1000)})
    with getattr(pa.ipc, kind)(sink, batch.schema) as writer:
        writer.write_batch(batch)
        writer.write_batch(batch)
    data = sink.getvalue().to_pybytes()
    s3.put(f"{bucket}/rows.arrow", data)
    assert [row.columns["n"] for row in rows_of(dataset(f"s3://{bucket}/rows.arrow")) if isinstance(row, Row)] == [*range(1000)] * 2
    s3.put(f"{bucket}/rows.arrow", data[:-8])
    with pytest.raises(InputError):
        rows_of(dataset(f"s3://{bucket}/rows.arrow"))


def test_a_job_reads_from_the_store_into_a_local_run(s3: S3Server, tmp_path: Path) -> None:
    """Input on S3, run directory here: run, resume and verify work as with local files."""
    bucket = s3.bucket()
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50)
        s3.put(f"{bucket}/in/rows.jsonl", (tmp_path / "rows.jsonl").read_bytes())
        (tmp_path / "rows.jsonl").unlink()
        folder.job.write_text(folder.job.read_text().replace('"rows.jsonl"', '"s3://${BUCKET}/in/*.jsonl"'))
        ended = folder.run(environ={"BUCKET": bucket})
        assert ended.returncode == 0, ended.stderr
        again = folder.run("resume", str(folder.directory))
        assert again.returncode == 0, again.stderr
        assert set(endpoint.counts().values()) == {1}
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    assert folder.call("verify", str(folder.directory)).returncode == 0


def test_ranges_of_an_object_are_read_from_where_they_begin(s3: S3Server) -> None:
    """A worker reads its rows of an object on a store from the nearest known byte."""
    bucket = s3.bucket()
    s3.put(f"{bucket}/rows.jsonl", jsonl(*range(1000)))
    data = dataset(f"s3://{bucket}/rows.jsonl")
    end, marks = data.marks(100)
    assert (end, [mark.ordinal for mark in marks]) == (1000, list(range(0, 1000, 100)))
    ranges = Ranges(data)
    read = [row for mark in marks[::-1] for batch in ranges.batches(mark.ordinal, mark.ordinal + 100, mark) for row in batch]
    assert sorted(read, key=lambda row: row.ordinal) == rows_of(data)
