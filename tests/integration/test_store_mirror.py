"""The copy of a folder on a store: it follows the store, and is made only once."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from batch.storage import Mirror, named, stores
from batch.storage import mirror as mirror_module
from batch.storage.store_errors import StoreError
from batch.storage.urls import StoreUrl, parse
from tests.support.stores import S3Server


@pytest.fixture
def mirror(s3: S3Server) -> Mirror:
    """An empty folder of a new bucket."""
    return Mirror(parse(f"s3://{s3.bucket()}/run"))


def key(mirror: Mirror, name: str) -> str:
    """BUCKET/KEY of an object in the folder."""
    return mirror.url.joined(name).path


def test_the_copy_follows_the_store(s3: S3Server, mirror: Mirror) -> None:
    """What is new comes, what is gone goes, what was replaced is fetched anew also when its size is the same."""
    for name in ("j/a", "j/b", "j/deeper/c", "other"):
        s3.put(key(mirror, name), name.encode())
    copy = mirror.fetch("j")
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {"a": b"j/a", "b": b"j/b"}
    s3.system().delete_file(key(mirror, "j/a"))
    s3.put(key(mirror, "j/c"), b"new")
    # As if the object had been replaced later by one of the same size; stores tell times in seconds, and a test cannot wait for one.
    (copy / "b").write_bytes(b"old")
    os.utime(copy / "b", (1, 1))
    assert {path.name: path.read_bytes() for path in mirror.fetch("j").iterdir()} == {"b": b"j/b", "c": b"new"}
    assert stat.S_IMODE((copy / "b").stat().st_mode) == 0o600
    assert stat.S_IMODE(mirror.root.stat().st_mode) == 0o700


def test_what_is_there_is_not_fetched_again(s3: S3Server, mirror: Mirror) -> None:
    """Neither what was fetched nor what this machine put: a changed copy with the store's own size and time is left alone."""
    s3.put(key(mirror, "j/a"), b"aaa")
    copy = mirror.fetch("j")
    mirror.add("j/b", b"bbb")
    for name in ("a", "b"):
        known = (copy / name).stat().st_mtime_ns
        (copy / name).write_bytes(b"xxx")
        os.utime(copy / name, ns=(known, known))
    assert {path.read_bytes() for path in mirror.fetch("j").iterdir()} == {b"xxx"}


def test_nothing_is_put_where_something_is(s3: S3Server, mirror: Mirror) -> None:
    """Promise 10: another's object is not overwritten; one's own, put by an attempt whose answer was lost, is taken for put."""
    mirror.add("j/a", b"mine")
    mirror.add("j/a", b"mine")
    with pytest.raises(StoreError, match="another runner writes to this run"):
        mirror.add("j/a", b"other")
    assert s3.get(key(mirror, "j/a")) == b"mine"


def test_a_folder_is_published_as_it_is(s3: S3Server, mirror: Mirror) -> None:
    """Derived folders on the store are what was made here: changed files come, those that are gone go."""
    s3.put(key(mirror, "scores/old.parquet"), b"old")
    mirror.fetch("scores")
    (mirror.root / "scores" / "new.parquet").write_bytes(b"new")
    (mirror.root / "scores" / "old.parquet").unlink()
    mirror.publish_folder("scores")
    assert s3.names(mirror.url.path) == ["scores/new.parquet"]


def test_large_files_are_put_whole(s3: S3Server, mirror: Mirror) -> None:
    """Promise 11: a file of several parts comes as one object; nothing of it is seen before."""
    data = os.urandom(1 << 20) * 25
    path = mirror.root / "completions.jsonl"
    path.write_bytes(data)
    assert mirror.publish([path]) == [str(mirror.url.joined("completions.jsonl"))]
    assert s3.get(key(mirror, "completions.jsonl")) == data
    s3.put(key(mirror, "completions.jsonl"), b"before")
    with pytest.raises((StoreError, OSError)):
        mirror.publish([mirror.root / "missing.jsonl"])
    assert s3.get(key(mirror, "completions.jsonl")) == b"before"


def test_files_are_named_by_their_address(mirror: Mirror, tmp_path: Path) -> None:
    """Messages name what people know; other files keep their paths."""
    assert named(mirror.root / "journal" / "m" / "1.jsonl") == f"{mirror.url}/journal/m/1.jsonl"
    assert named(tmp_path / "x") == str(tmp_path / "x")


def test_copies_that_nobody_uses_are_removed(s3: S3Server, mirror: Mirror) -> None:
    """The cache does not grow for ever: a month without use is the end of a copy, and of no other."""
    used = Mirror(parse("s3://other/used"))
    (mirror.root / "file").touch()
    month_ago = time.time() - 31 * 24 * 3600
    os.utime(mirror.root, (month_ago, month_ago))
    Mirror(parse("s3://third/run"))
    assert not mirror.root.exists()
    assert used.root.exists()


def test_equal_addresses_at_other_endpoints_have_copies_of_their_own(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stores may have a bucket of one name."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert Mirror(mirror.url).root != mirror.root


def test_what_other_processes_put_into_the_copy_meanwhile_is_left(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of the same machine keep copies of what they put: a listing that is older than that does not remove them."""
    copy = mirror.fetch("j")
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    (copy / f".a.{os.getpid()}.tmp").write_bytes(b"being written")
    (copy / f".b.{ended.pid}.tmp").write_bytes(b"left behind")
    listing = stores.listing

    def late(url: StoreUrl) -> list[stores.Stored]:
        found = listing(url)
        mirror.add("j/c", b"put by another")
        return found

    # The system's own clock for files ticks only now and then.
    began = (copy / f".b.{ended.pid}.tmp").stat().st_ctime + 1e-6
    with monkeypatch.context() as patched:
        patched.setattr(stores, "listing", late)
        patched.setattr(mirror_module.time, "time", lambda: began)
        mirror.fetch("j")
    assert sorted(path.name for path in copy.iterdir()) == [f".a.{os.getpid()}.tmp", "c"]
