"""Input that is a folder, as Spark writes it, and input on file systems of fsspec: in memory, and a hub of datasets on loopback."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import InputError
from batch.records import Row
from tests.support import files
from tests.support.jobs import JobFolder, ids
from tests.support.scripted import ScriptedEndpoint
from tests.support.stores import S3Server


def rows_of(path: Path | str, **settings: object) -> list[dict[str, object]]:
    """The columns of all rows."""
    return [dict(row.columns) for row in files.rows_of(files.dataset(path, **settings)) if isinstance(row, Row)]


def spark_folder(folder: Path) -> None:
    """A table of two partitions with what Spark and Hadoop write beside it."""
    for year, month, texts in (("2025", "12", ["a"]), ("2026", "01", ["b", "c"]), ("2026", "__HIVE_DEFAULT_PARTITION__", ["d"])):
        part = folder / f"year={year}" / f"month={month}"
        part.mkdir(parents=True)
        pq.write_table(pa.table({"id": texts, "text": texts}), part / "part-00000.snappy.parquet")
        (part / ".part-00000.snappy.parquet.crc").write_bytes(b"crc")
    (folder / "_SUCCESS").touch()
    (folder / "_temporary" / "0").mkdir(parents=True)
    (folder / "_temporary" / "0" / "part-00000.parquet").write_bytes(b"unfinished")
    (folder / "README.md").write_text("about it")


def test_a_folder_of_spark(tmp_path: Path) -> None:
    """All data files below a folder are read in the order of their paths; what is hidden is passed over; partitions are columns."""
    spark_folder(tmp_path / "table")
    assert rows_of(tmp_path / "table") == [
        {"id": "a", "text": "a", "year": "2025", "month": "12"},
        {"id": "b", "text": "b", "year": "2026", "month": "01"},
        {"id": "c", "text": "c", "year": "2026", "month": "01"},
        {"id": "d", "text": "d", "year": "2026", "month": None},
    ]
    assert [row["id"] for row in rows_of(tmp_path / "table", where="year >= 2026 and month != null")] == ["b", "c"]
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=0)
        text = folder.job.read_text().replace('path = "rows.jsonl"', 'path = "table"').replace('["text"]', '["text", "year", "month"]')
        folder.job.write_text(text.replace("{{ text }}", "{{ text }} of {{ year }}").replace("[output]", '[output]\nformat = "parquet"'))
        for _ in range(2):
            ended = folder.call("run", "test.toml")
            assert ended.returncode == 0, ended.stderr
        assert set(endpoint.counts()) == {"a of 2025", "b of 2026", "c of 2026", "d of 2026"}
        assert max(endpoint.counts().values()) == 1
    table = pq.read_table(tmp_path / "runs/test/completions.parquet")
    assert table.select(["id", "year", "month"]).to_pylist()[2:] == [
        {"id": "c", "year": "2026", "month": "01"},
        {"id": "d", "year": "2026", "month": None},
    ]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv"])
def test_partitions_of_text_files(tmp_path: Path, suffix: str) -> None:
    """Folders name columns whatever the format is; a column in the file itself stays; %XX in names is decoded."""
    part = tmp_path / "table" / "city=S%C3%A3o%20Paulo" / "id=folder"
    part.mkdir(parents=True)
    text = "id,text\nx,hello\n" if suffix == "csv" else '{"id": "x", "text": "hello"}\n'
    (part / f"rows.{suffix}").write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    assert rows_of(tmp_path / "table", id="id") == [{"city": "São Paulo", "id": "x", "text": "hello"}]


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    """An empty folder, one without data, one of several formats and a run directory are refused with what to do."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: has no files"):
        rows_of(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(InputError, match=r"none of the 1 files in it has a name that says its format; set format"):
        rows_of(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text('{"a": 1}\n')
    assert rows_of(tmp_path / "empty", format="jsonl") == [{"a": 1}]
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "a.csv").write_text("a\n1\n")
    (mixed / "b.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"has files of several formats \(csv, jsonl\); name those of one"):
        rows_of(mixed)
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1)
        assert folder.call().returncode == 0
    with pytest.raises(InputError, match=r"is a run directory, whose answers are rows by \[input\] run = "):
        rows_of(folder.directory)


@pytest.mark.parametrize(("log", "kind"), [("_delta_log", "Delta Lake"), (".hoodie", "Hudi")])
def test_a_table_with_a_log_is_refused(s3: S3Server, tmp_path: Path, log: str, kind: str) -> None:
    """Not all files of such a table count: rows that were deleted from it are not sent, on disk and on a store."""
    (tmp_path / "table" / log).mkdir(parents=True)
    (tmp_path / "table" / "a.jsonl").write_text('{"a": 1}\n')
    bucket = s3.bucket()
    s3.put(f"{bucket}/table/a.jsonl", b'{"a": 1}\n')
    s3.put(f"{bucket}/table/{log}/0.json", b"{}")
    for place in (tmp_path / "table", f"s3://{bucket}/table"):
        with pytest.raises(InputError, match=rf"is a table of {kind}, whose log \({log}\) says which files count"):
            rows_of(place)
    assert rows_of(tmp_path / "table" / "*.jsonl") == [{"a": 1}]


def test_a_folder_on_a_store(s3: S3Server, tmp_path: Path) -> None:
    """A folder of an object store is read as one on disk is, its partitions too."""
    spark_folder(tmp_path / "table")
    bucket = s3.bucket()
    for file in sorted((tmp_path / "table").rglob("*")):
        if file.is_file():
            s3.put(f"{bucket}/table/{file.relative_to(tmp_path / 'table')}", file.read_bytes())
    assert [(row["id"], row["year"], row["month"]) for row in rows_of(f"s3://{bucket}/table")] == [
        ("a", "2025", "12"), ("b", "2026", "01"), ("c", "2026", "01"), ("d", "2026", None),
    ]  # fmt: skip


def test_input_in_memory() -> None:
    """Files, patterns and folders of fsspec's memory:// are read; a change of a file is seen; what is missing is explained."""
    import fsspec

    system = fsspec.filesystem("memory")
    try:
        system.pipe("/bucket/part=1/a.jsonl", b'{"n": 1}\n')
        system.pipe("/bucket/part=2/b.jsonl.gz", gzip.compress(b'{"n": 2}\n'))
        with system.open("/bucket/c.parquet", "wb") as file:
            pq.write_table(pa.table({"n": [3]}), file)
        assert rows_of("memory://bucket/part=1/a.jsonl") == [{"n": 1}]
        assert rows_of("memory://bucket/*/*.jsonl*") == [{"n": 1}, {"n": 2}]
        assert rows_of("memory://bucket/*.parquet") == [{"n": 3}]
        system.rm("/bucket/c.parquet")
        assert rows_of("memory://bucket") == [{"part": "1", "n": 1}, {"part": "2", "n": 2}]
        address = "memory://bucket/part=1/a.jsonl"
        before = files.dataset(address).identity()
        assert files.dataset(address).identity() == before
        system.pipe("/bucket/part=1/a.jsonl", b'{"n": 9}\n')
        assert files.dataset(address).identity() != before
        with pytest.raises(InputError, match=r"no such object; did you mean a\.jsonl\?"):
            rows_of("memory://bucket/part=1/aa.jsonl")
    finally:
        system.store.clear()


FILES = {
    "data/train-00000-of-00002.parquet": [{"id": "a", "text": "one"}],
    "data/train-00001-of-00002.parquet": [{"id": "b", "text": "two"}],
    "README.md": None,
}


def hub_files() -> dict[str, bytes]:
    """The files of the dataset, as bytes."""
    made = {}
    for name, rows in FILES.items():
        sink = pa.BufferOutputStream()
        if rows is not None:
            pq.write_table(pa.Table.from_pylist(rows), sink)
        made[name] = sink.getvalue().to_pybytes() if rows is not None else b"# about it\n"
    return made


class Hub(BaseHTTPRequestHandler):
    """The part of the API of the Hugging Face Hub (https://huggingface.co/docs/hub/api) that reading a dataset takes."""

    protocol_version = "HTTP/1.1"
    files = hub_files()

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        wanted = [unquote(part.partition("=")[2]) for part in body.split("&") if part.startswith("paths=")]
        if body.startswith("{"):
            wanted = json.loads(body)["paths"]
        self._json([entry for name in wanted for entry in self._entries(name, itself=True)])

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/datasets/lab/facts/resolve/"):
            self._file(self.files.get(path.split("/", 6)[6]))
        elif "/tree/" in path:
            self._json(self._entries(path.partition("/tree/")[2].partition("/")[2], itself=False, deep="recursive=True" in self.path))
        elif path == "/api/datasets/lab/facts" or path.startswith("/api/datasets/lab/facts/revision/"):
            self._json({"id": "lab/facts", "sha": "0" * 40, "siblings": [{"rfilename": name} for name in self.files]})
        else:
            self._reply(404, b'{"error": "not found"}', {"X-Error-Code": "RepoNotFound"})

    def _entries(self, name: str, *, itself: bool, deep: bool = False) -> list[dict[str, object]]:
        if itself and name in self.files:
            return [{"type": "file", "path": name, "size": len(self.files[name]), "oid": f"{len(self.files[name]):040}"}]
        below = [each for each in self.files if not name or each.startswith(f"{name}/")]
        if itself:
            return [{"type": "directory", "path": name, "size": 0, "oid": "1" * 40}] if below else []
        found: dict[str, dict[str, object]] = {}
        for each in below:
            rest = each[len(name) + 1 :] if name else each
            if "/" in rest and not deep:
                folder = f"{name}/{rest.partition('/')[0]}".lstrip("/")
                found[folder] = {"type": "directory", "path": folder, "size": 0, "oid": "1" * 40}
            else:
                found[each] = {"type": "file", "path": each, "size": len(self.files[each]), "oid": f"{len(self.files[each]):040}"}
        return list(found.values())

    def _file(self, content: bytes | None) -> None:
        if content is None:
            self._reply(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{len(content)}"', "X-Repo-Commit": "0" * 40, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("range")
        if wanted is None:
            self._reply(200, content, headers)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        end = int(last) + 1 if last else len(content)
        part = content[int(first) : end]
        self._reply(206, part, {**headers, "Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"})

    def _json(self, value: object) -> None:
        self._reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A hub on loopback, which processes started by the test find by their environment."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_dataset_of_a_hub(hub: str, tmp_path: Path) -> None:
    """hf://datasets/OWNER/NAME/… by pattern and as a folder: run, resumed, verified; a file that is not there is explained."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=0)
        plain = folder.job.read_text()
        for path in ("hf://datasets/lab/facts/data/train-*.parquet", "hf://datasets/lab/facts/data"):
            folder.job.write_text(plain.replace('path = "rows.jsonl"', f'path = "{path}"'))
            ended = folder.run("run", "test.toml")
            assert ended.returncode == 0, ended.stderr
            assert ids(folder.completions()) == ["a", "b"]
        assert folder.run("verify", "runs/test").returncode == 0
        assert max(endpoint.counts().values()) == 1
        folder.job.write_text(plain.replace('path = "rows.jsonl"', 'path = "hf://datasets/lab/facts/data/none.parquet"'))
        ended = folder.run("run", "test.toml")
        assert ended.returncode == 2
        assert "no such object" in ended.stderr
        folder.job.write_text(plain.replace('path = "rows.jsonl"', 'path = "hf://datasets/lab/unknown/data/x.parquet"'))
        ended = folder.run("run", "test.toml")
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr


def test_addresses_that_fsspec_does_not_read(tmp_path: Path) -> None:
    """An unknown scheme, a password in an address, and a run directory on a file system of fsspec are refused with what to do."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:1", rows=0)
    plain = folder.job.read_text()

    def refused(path: str) -> str:
        folder.job.write_text(plain.replace('path = "rows.jsonl"', f'path = "{path}"'))
        ended = folder.call("run", "test.toml")
        assert ended.returncode == 2
        return ended.stderr

    assert "did you mean memory://?" in refused("memorry://a/b.jsonl")
    assert "must hold no password" in refused("sftp://user:word@host/b.jsonl")
    folder.job.write_text(plain.replace('dir = "runs/test"', 'dir = "memory://a/run"'))
    assert "object stores are s3:// and gs://" in folder.call("run", "test.toml").stderr
