"""The system calls that the journal is written with: the seam where tests put short writes, full disks and crashes."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from batch.storage import sync_directory

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "the file is larger than the limit allows: raise it (ulimit -f)",
    errno.EIO: "the disk reports an input/output error: see that it is sound (dmesg)",
    errno.EROFS: "the file system is read-only: make it writable or take another output dir",
    errno.EACCES: "permission denied: make it writable or take another output dir",
    errno.EPERM: "permission denied: make it writable or take another output dir",
    errno.ENOTDIR: "a part of the path is a file, not a folder: take another output dir",
}


class Disk:
    """The machine's own disk. Every method raises OSError as the system does; EINTR is retried by Python itself (PEP 475)."""

    def open(self, path: Path) -> int:
        """Open `path` for appending; a missing file is created, readable by its owner only, since it holds answers to prompts."""
        return os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Append `data`, or a part of it; returns the number of bytes written."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Make what was written durable, as far as the disk honours it."""
        # macOS has no fdatasync.
        getattr(os, "fdatasync", os.fsync)(descriptor)

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


def refusal(error: OSError, path: Path) -> str:
    """Explain why the disk refuses `path`: what happened, and what to do."""
    advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
    return f"{path}: {advice}, then give the same command again; what was recorded so far is kept"
