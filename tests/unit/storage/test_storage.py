"""Files found, opened unpacked, and replaced whole."""

from __future__ import annotations

import errno
import gzip
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from batch.errors import InputError, StorageError
from batch.storage import expand, open_input, replace_atomically, scratch_folder


def names_in(folder: Path) -> list[str]:
    """The names in `folder`, sorted."""
    return sorted(entry.name for entry in folder.iterdir())


def test_expand_sorts_a_globs_files_and_keeps_the_order_of_the_paths(tmp_path: Path) -> None:
    """The order of the rows is the order of the paths, and within a glob the order of the names."""
    for name in ("b.jsonl", "a.jsonl", "c.jsonl", "first.csv"):
        (tmp_path / name).touch()
    assert expand([str(tmp_path / "first.csv"), str(tmp_path / "?.jsonl")]) == [
        str(tmp_path / name) for name in ("first.csv", "a.jsonl", "b.jsonl", "c.jsonl")
    ]


def test_expand_takes_a_name_with_brackets_as_it_is(tmp_path: Path) -> None:
    """A file that exists is meant, even if its name could be a pattern."""
    file = tmp_path / "rows[1].jsonl"
    file.touch()
    assert expand([str(file)]) == [str(file)]


def test_expand_goes_into_subfolders(tmp_path: Path) -> None:
    """`**` finds files at every depth, and no folders."""
    (tmp_path / "x" / "y.jsonl").mkdir(parents=True)
    (tmp_path / "x" / "y.jsonl" / "z.jsonl").touch()
    assert expand([str(tmp_path / "**" / "*.jsonl")]) == [str(tmp_path / "x" / "y.jsonl" / "z.jsonl")]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("countrys.jsonl", "did you mean countries.jsonl"),
        ("*.parquet", "no such file"),
        ("nowhere/a.jsonl", "does not exist"),
        ("empty", "has no files"),
        ("pipe", "not a regular file"),
    ],
)
def test_expand_explains_what_it_cannot_find(tmp_path: Path, path: str, says: str) -> None:
    """A path that gives no file is refused, and the text says what to do."""
    (tmp_path / "countries.jsonl").touch()
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=says):
        expand([str(tmp_path / path)])


def test_expand_refuses_a_file_that_would_be_read_twice(tmp_path: Path) -> None:
    """Overlapping patterns must not send rows twice."""
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(InputError, match=r"a\.jsonl: named twice"):
        expand([str(tmp_path / "*.jsonl"), str(tmp_path / "a*")])


def test_a_pattern_never_reaches_a_runs_own_files(tmp_path: Path) -> None:
    """Below a run directory nothing is input, so that a run is not fed its own outputs; a plain path still is (fault 74)."""
    run = tmp_path / "runs" / "x"
    (run / "journal" / "a").mkdir(parents=True)
    (run / "run.json").touch()
    for file in (tmp_path / "rows.jsonl", run / "completions.jsonl", run / "journal" / "a" / "000001.jsonl"):
        file.touch()
    assert expand([str(tmp_path / "**" / "*.jsonl")]) == [str(tmp_path / "rows.jsonl")]
    assert expand([str(run / "completions.jsonl")]) == [str(run / "completions.jsonl")]
    with pytest.raises(InputError, match="only files below run directories"):
        expand([str(run / "*.jsonl")])


def test_one_file_under_two_names_is_refused(tmp_path: Path) -> None:
    """A link, or another way to the same file, would send its rows twice (fault 74)."""
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "b.jsonl").symlink_to("a.jsonl")
    (tmp_path / "c.jsonl").hardlink_to(tmp_path / "a.jsonl")
    (tmp_path / "d").mkdir()
    for second in ("b.jsonl", "c.jsonl", "d/../a.jsonl"):
        with pytest.raises(InputError, match=r"is the same file as .*a\.jsonl; its rows would be sent twice"):
            expand([str(tmp_path / "a.jsonl"), f"{tmp_path}/{second}"])


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """Such a name could not be written into run.json and read again; it is shown with its bytes escaped (fault 74)."""
    with open(os.fsencode(tmp_path) + b"/r\xe9.jsonl", "wb"):  # noqa: PTH123 - a name of bytes
        pass
    with pytest.raises(InputError, match=r"r\\xe9\.jsonl: the file's name is not UTF-8; rename it") as caught:
        expand([str(tmp_path / "*.jsonl")])
    str(caught.value).encode()


def test_open_input_unpacks(tmp_path: Path) -> None:
    """A packed file reads like a plain one."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    with open_input(str(tmp_path / "a.gz")) as stream:
        assert stream.read() == b"one\ntwo\n"


def test_open_input_names_a_missing_file(tmp_path: Path) -> None:
    """Input that vanishes in mid-run is a clear error (fault 60)."""
    for name in ("gone.jsonl", "gone.jsonl.gz", "gone.jsonl.zst"):
        with pytest.raises(InputError, match=name):
            open_input(str(tmp_path / name))


def test_replace_atomically_puts_the_whole_file_in_place(tmp_path: Path) -> None:
    """The old file stands until the new one is whole; nothing else stays in the folder (promise 11)."""
    target = tmp_path / "out.jsonl"
    target.write_bytes(b"old")
    with replace_atomically(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert names_in(tmp_path) == ["out.jsonl"]


def test_replace_atomically_syncs_before_and_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File synced, then renamed, then folder synced: the only order that survives a power loss (promise 2)."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (steps.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else f"file {os.fstat(fd).st_size}"), fsync(fd))[1],
    )
    monkeypatch.setattr(Path, "replace", lambda self, to: (steps.append("rename"), replace(self, to))[1])
    with replace_atomically(tmp_path / "out") as file:
        file.write(b"12345")
    assert steps == ["file 5", "rename", "folder"]


def test_replace_atomically_leaves_the_old_file_when_the_body_fails(tmp_path: Path) -> None:
    """An error in the middle changes nothing and leaves nothing behind; it is not swallowed (promise 11)."""
    target = tmp_path / "out"
    target.write_bytes(b"old")

    def write_half(file: BinaryIO) -> None:
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), replace_atomically(target) as file:
        write_half(file)
    assert target.read_bytes() == b"old"
    assert names_in(tmp_path) == ["out"]


def test_replace_atomically_tells_that_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is a StorageError that names the file; the old file stays (fault 41)."""
    target = tmp_path / "out"
    target.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="out: cannot be written: No space left"), replace_atomically(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"old"
    assert names_in(tmp_path) == ["out"]


def test_a_kill_in_the_middle_leaves_the_old_file_and_the_next_write_tidies_up(tmp_path: Path) -> None:
    """SIGKILL while a derived file is written: the old file or the new one, never a mixture (fault 44)."""
    target = tmp_path / "out"
    target.write_bytes(b"old")
    code = """
import os, signal, sys
from batch.storage import replace_atomically
with replace_atomically(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(target)], cwd=Path(__file__).parents[3])
    assert killed.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    assert len(names_in(tmp_path)) == 2
    other = tmp_path / f".out.elsewhere-{os.getpid()}.tmp"
    other.touch()
    with replace_atomically(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new"
    assert names_in(tmp_path) == [other.name, "out"]


def test_a_scratch_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    """Fault 44: what a killed `verify` leaves in a run directory does not stay for ever, and no living process loses its own."""
    code = """
import os, signal, sys
from batch.storage import scratch_folder
with scratch_folder(sys.argv[1], "verify") as folder:
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[3]).returncode == -signal.SIGKILL
    (left,) = names_in(tmp_path)
    other = tmp_path / f".verify.{socket.gethostname()}-{os.getppid()}.tmp"
    other.mkdir()
    with scratch_folder(tmp_path, "verify") as folder:
        (folder / "file").touch()
        assert sorted(names_in(tmp_path)) == sorted([folder.name, other.name])
    assert left != folder.name
    assert names_in(tmp_path) == [other.name]


@pytest.mark.parametrize("target", ["gone.jsonl", "rows.jsonl"])
def test_a_link_to_nothing_is_named_as_one(tmp_path: Path, target: str) -> None:
    """A link whose file is gone, and one to itself: the message names where it leads."""
    (tmp_path / "rows.jsonl").symlink_to(target)
    with pytest.raises(InputError, match=rf"rows\.jsonl: is a link to {target}, which is not there"):
        expand([f"{tmp_path}/*.jsonl"])


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs a folder that nobody can write to")
def test_a_scratch_folder_is_elsewhere_where_its_parent_cannot_be_written() -> None:
    """So that `verify` works on a read-only file system; it is gone afterwards (fault 60)."""
    with scratch_folder("/sys", "verify") as folder:
        (folder / "file").touch()
        assert not folder.is_relative_to("/sys")
    assert not folder.exists()
