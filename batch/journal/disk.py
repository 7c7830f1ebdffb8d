"""The system calls that the journal is written with: the seam where tests put short writes, full disks and crashes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from batch.errors import StorageError
from batch.storage import open_regular, sync_directory
from batch.storage.store_errors import StoreError

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "the file is larger than the limit allows: raise it (ulimit -f)",
    errno.EIO: "the disk reports an input/output error: see that it is sound (dmesg)",
    errno.EROFS: "the file system is read-only: make it writable or take another output dir",
    errno.EACCES: "permission denied: make it writable or take another output dir",
    errno.EPERM: "permission denied: make it writable or take another output dir",
    errno.ENOENT: "is missing: it was removed or renamed meanwhile",
    errno.ELOOP: "is a symbolic link, which is not followed in a run directory: put the file itself there",
    errno.ESTALE: "the network file system has lost it: mount it again",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.ENAMETOOLONG: "the name is too long: take a shorter output dir",
    errno.ENOTDIR: "a part of the path is a file, not a folder: take another output dir",
}


class Disk:
    """The machine's own disk. Every method raises OSError as the system does; EINTR is retried by Python itself (PEP 475)."""

    def open(self, path: Path) -> int:
        """Open `path` for appending; a missing file is created, readable by its owner only, since it holds answers to prompts."""
        return open_regular(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Append `data`, or a part of it; returns the number of bytes written."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Make what was written durable, as far as the disk honours it."""
        # macOS has no fdatasync.
        getattr(os, "fdatasync", os.fsync)(descriptor)

    def is_at(self, descriptor: int, path: Path) -> bool:
        """Whether `path` still names the open file; not after the file, or a folder above it, was removed, renamed or replaced."""
        try:
            return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        """Close the descriptor."""
        os.close(descriptor)

    def make_directory(self, path: Path) -> None:
        """Create a folder with its missing parents, accessible by their owner only, and make the new names durable."""
        missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in missing:
            self.sync_directory(folder.parent)
        if not missing:
            # Its creator may have been killed before the name was durable. A parent that cannot be read was not created by promptmill.
            with suppress(PermissionError):
                self.sync_directory(path.parent)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a folder durable."""
        sync_directory(path)


def open_to_read(path: Path, *, buffering: int = -1) -> BinaryIO:
    """Open a file of a journal for reading, never through a symbolic link. Raises OSError."""
    return open(path, "rb", buffering=buffering, opener=open_regular)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise StorageError, with a sentence for people, where the body raises OSError while it works on `path`."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str):
            path = Path(error.filename)
        # The text of a store error names its object already.
        raise StorageError(str(error) if isinstance(error, StoreError) else refusal(error, path)) from error


def replaced(path: Path, what: str) -> str:
    """Explain that `path` does not name any more what a run writes to; `what` describes it."""
    return (
        f"{path}: {what} was removed, renamed or replaced during the run: stopped, and nothing more is written; put it back, or give "
        "the folder's new name to promptmill resume, then continue; answers in what was removed are sent again"
    )


def refusal(error: OSError, path: Path) -> str:
    """Explain why the disk refuses `path`: what happened, and what to do."""
    advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
    return f"{path}: {advice}, then give the same command again; what was recorded so far is kept"
