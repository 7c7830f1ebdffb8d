"""The lock of a run directory on disk, by flock on the folder and on its `run.lock`, and whether the path still names what is locked."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import orjson

from batch.errors import LockedError, StorageError
from batch.journal.disk import replaced, storage_errors
from batch.storage import open_regular

_ATTEMPTS = 10


def lock_directory(path: Path) -> FileLock:
    """Lock the run directory `path`, which must exist.

    Raises:
        LockedError: another runner has the lock; the text names its process.
        StorageError: the directory cannot be written to, or cannot be locked.
    """
    for _ in range(_ATTEMPTS):
        lock = FileLock(path)
        try:
            if lock.take():
                return lock
        except BaseException:
            lock.release()
            raise
        lock.release()
    raise LockedError(f"{path}: run.lock is removed or replaced again and again by another process; stop that process first")


class FileLock:
    """A lock that the kernel releases when the process ends in any way. Opening does not lock yet. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # The working directory may change during a run, as in a notebook.
        self._absolute = path.absolute()
        with storage_errors(path):
            self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with storage_errors(path / "run.lock"):
                    self._file = open_regular(path / "run.lock", os.O_RDWR | os.O_CREAT)
            except BaseException:
                os.close(self._folder)
                raise

    def take(self) -> bool:
        """Lock, and name this process as the holder; False when another process has replaced what was opened. Raises LockedError."""
        self._lock()
        if not self._is_at_path():
            return False
        self._write_holder()
        return True

    def check(self) -> None:
        """Check that the path still names the locked folder and the locked file. Raises StorageError if not."""
        with storage_errors(self._path):
            if not self._is_at_path():
                raise StorageError(replaced(self._path, "the run directory, or its run.lock,"))

    def release(self) -> None:
        """Release the lock. The file stays, since removing it would let two runners lock two files of the same name."""
        os.close(self._file)
        os.close(self._folder)

    def _lock(self) -> None:
        try:
            # The folder too: where only run.lock was removed, a second runner would lock a new file of that name.
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._locked() from None
        except OSError:
            pass  # NFS locks only files that are open for writing.
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._locked() from None
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be locked ({error.strerror}); take an output dir on a local disk") from error

    def _locked(self) -> LockedError:
        return LockedError(f"{self._path} is in use by {_holder(self._file)}; wait for it, or stop it first")

    def _is_at_path(self) -> bool:
        try:
            folder, file = self._absolute.stat(), (self._absolute / "run.lock").stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return os.path.samestat(folder, os.fstat(self._folder)) and os.path.samestat(file, os.fstat(self._file))

    def _write_holder(self) -> None:
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "started": datetime.now(UTC).isoformat(timespec="seconds")}
        with storage_errors(self._path):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, json.dumps(holder).encode() + b"\n", 0)


def _holder(descriptor: int) -> str:
    try:
        holder = orjson.loads(os.pread(descriptor, 4096, 0))
        return f"pid {holder['pid']} on host {holder['host']} since {holder['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another runner"
