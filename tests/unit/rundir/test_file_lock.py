"""The lock of a run directory on disk: what is locked is compared with what the path names, and links are not followed."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from batch.errors import LockedError, RunDirectoryError, StorageError
from batch.rundir import file_lock
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import InputRecord
from tests.support.runs import manifest


def remove(run: Path) -> None:
    """The folder is gone."""
    shutil.rmtree(run)


def rename(run: Path) -> None:
    """The folder has another name."""
    run.rename(run.with_name("elsewhere"))


def replace(run: Path) -> None:
    """Another folder with a lock of its own has the name."""
    rename(run)
    run.mkdir()
    (run / "run.lock").touch()


def remove_lock(run: Path) -> None:
    """Only the lock is gone."""
    (run / "run.lock").unlink()


def replace_lock(run: Path) -> None:
    """Another file has the name of the lock."""
    remove_lock(run)
    (run / "run.lock").touch()


@pytest.mark.parametrize("change", [remove, rename, replace, remove_lock, replace_lock])
def test_a_lock_whose_path_names_something_else_is_lost(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Promise 10: the holder notices that the folder or the lock was taken away, and writes nothing into what took its place."""
    run = tmp_path / "run"
    directory = RunDirectory(run)
    with directory.lock():
        directory.check_lock()
        change(run)
        with pytest.raises(StorageError, match=r"was removed, renamed or replaced during the run.*promptmill resume"):
            directory.check_lock()
        with pytest.raises(StorageError, match="removed, renamed or replaced"):
            directory.write_manifest(manifest("t"))
        assert not (run / "run.json").exists()


@pytest.mark.parametrize("change", [remove_lock, replace_lock])
def test_a_second_runner_is_refused_when_the_lock_was_deleted(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Promise 10: two runners never work in one directory at once, not even between a deletion of run.lock and the next sync."""
    with RunDirectory(tmp_path).lock():
        change(tmp_path)
        with pytest.raises(LockedError, match="in use by"), RunDirectory(tmp_path).lock():
            pass
    with RunDirectory(tmp_path).lock():
        pass


def test_a_lock_that_was_replaced_before_it_was_taken_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 10: a runner never takes for its own the lock of a file that no longer has the name."""
    flock = file_lock.fcntl.flock
    replaced: list[int] = []

    def replace_first(descriptor: int, flags: int) -> None:
        if not replaced:
            replaced.append((tmp_path / "run.lock").stat().st_ino)
            os.link(tmp_path / "run.lock", tmp_path / "kept")
            replace_lock(tmp_path)
        flock(descriptor, flags)

    monkeypatch.setattr(file_lock.fcntl, "flock", replace_first)
    directory = RunDirectory(tmp_path)
    with directory.lock():
        directory.check_lock()
        assert (tmp_path / "run.lock").stat().st_ino != replaced[0]
        assert not (tmp_path / "kept").read_bytes()


def test_the_working_directory_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 10: a relative output dir is not taken for lost when the process changes its working directory."""
    monkeypatch.chdir(tmp_path)
    directory = RunDirectory("run")
    with directory.lock():
        monkeypatch.chdir("/")
        directory.check_lock()


def test_a_lock_is_never_written_through_a_link(tmp_path: Path) -> None:
    """In a shared folder, a link in the place of run.lock must not make a runner overwrite a file of its user."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError, match="symbolic link, which is not followed"), RunDirectory(tmp_path / "run").lock():
        pass
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("name", ["run.lock", "run.json"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    """Promise 7: a pipe in the place of a file ends the run with a sentence, and is not read for ever."""
    os.mkfifo(tmp_path / name)
    directory = RunDirectory(tmp_path)
    with pytest.raises((StorageError, RunDirectoryError), match="not a regular file"), directory.lock():
        _ = directory.manifest


def test_run_json_is_neither_read_nor_written_through_a_link(tmp_path: Path) -> None:
    """A link in the place of run.json is refused when it is read, and replaced, not followed, when it is written."""
    (tmp_path / "precious").write_text('{"layout": "1.0", "name": "precious"}')
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").symlink_to(tmp_path / "precious")
    directory = RunDirectory(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="cannot be read"):
        _ = directory.manifest
    directory.write_manifest(manifest("t"))
    assert directory.manifest.name == "t"
    assert "precious" in (tmp_path / "precious").read_text()


@pytest.mark.parametrize("link", ["journal", "journal/v", "old"])
def test_a_folder_link_of_another_user_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str) -> None:
    """A link that another user has put into a shared run directory leads nowhere; one's own, to a larger disk, does."""
    (tmp_path / "large").mkdir()
    (tmp_path / "run" / link).parent.mkdir(parents=True)
    (tmp_path / "run" / link).symlink_to(tmp_path / "large", target_is_directory=True)
    directory = RunDirectory(tmp_path / "run")
    directory.write_manifest(manifest("t"))
    directory.journal_dir("v").mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(RunDirectoryError, match="symbolic link of another user"):
        directory.clear() if link == "old" else directory.journal_dir("v")


@pytest.mark.parametrize("call", ["pwrite", "ftruncate"])
def test_a_disk_that_is_full_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Fault 41: a disk that is full when the lock is taken is an error with a sentence, and the lock is free again."""

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match="the disk is full"), RunDirectory(tmp_path).lock():
            pass
    with RunDirectory(tmp_path).lock():
        pass


def test_a_manifest_with_a_name_that_is_not_utf8_comes_back(tmp_path: Path) -> None:
    """Fault 74: what is written into run.json can be read again, also the name of a file that is not UTF-8."""
    name = os.fsdecode(b"caf\xe9.jsonl")
    directory = RunDirectory(tmp_path)
    directory.write_manifest(dataclasses.replace(manifest("t"), input=InputRecord([{"path": name}], {})))
    assert directory.manifest.input == InputRecord([{"path": name}], {})


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_whatever_the_disk_says_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Fault 60: listing, looking and removing raise StorageError with a sentence, never the system's own exception."""
    directory = RunDirectory(tmp_path)
    directory.write_manifest(manifest("t"))
    directory.journal_dir("v").mkdir(parents=True)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    for name in ("iterdir", "exists", "glob"):
        monkeypatch.setattr(Path, name, refuse)
    for use in (directory.slugs, lambda: directory.exists, directory.clear, lambda: directory.remove_folders(".x")):
        with pytest.raises(StorageError, match=str(tmp_path)):
            use()


def test_a_new_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    """In a shared folder, a link under the name that a new run.json has until it is whole must not lead to a file of this user."""
    (tmp_path / "precious").write_text("precious")
    run = tmp_path / "run"
    run.mkdir()
    temporary = run / f".run.json.{socket.gethostname()}-{os.getpid()}.tmp"
    temporary.symlink_to(tmp_path / "precious")
    RunDirectory(run).write_manifest(manifest("t"))
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (run / "run.json").is_symlink()
    assert [path.name for path in run.iterdir()] == ["run.json"]


def test_run_json_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    """Derived files stay as readable as the umask makes them."""
    before = os.umask(0o027)
    try:
        RunDirectory(tmp_path).write_manifest(manifest("t"))
    finally:
        os.umask(before)
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o640
