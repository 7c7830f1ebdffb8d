"""A whole file put in place of another, on disk."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from batch.errors import StorageError

_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def replace_atomically(path: str | os.PathLike[str], *, private: bool = False) -> Iterator[BinaryIO]:
    """A new file for `path`, to be written by the body; it takes the place of the old one when the body ends.

    Guarantees, whenever the process or the machine dies: `path` is the old file, whole, or the new one, whole; once the block
    has ended it is the new one, on disk (file synced, then renamed, then the folder synced). When the body raises, `path` is
    untouched and the new file is removed. The new file lies in the same folder as `.NAME.HOST-PID.tmp`; what a killed process
    left there is removed by the next call for the same `path` on the same host. The mode is what the umask gives, or, where it is
    `private`, for its owner only.

    Raises:
        StorageError: the disk refuses.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    try:
        _remove_leftovers(target)
        try:
            # In a folder that others can write to, the name may be a link of theirs to a file of this user.
            temporary.unlink(missing_ok=True)
            with open(temporary, "xb", opener=partial(open_regular, mode=0o600 if private else 0o666)) as file:
                yield file
                file.flush()
                # Before the rename: else a power loss could leave the new name without content.
                os.fsync(file.fileno())
            temporary.replace(target)
            # The rename is durable only when its folder is.
            sync_directory(target.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror or error}") from error


def open_regular(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> int:
    """Open a regular file, never through a symbolic link, and never a pipe or device in its place; an `opener` for `open`.

    Raises:
        OSError: the system refuses; errno is ELOOP for a symbolic link.
    """
    # Without O_NONBLOCK, opening a pipe waits for its other end.
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file")
    return descriptor


@contextmanager
def scratch_folder(parent: str | os.PathLike[str], name: str) -> Iterator[Path]:
    """Create a folder in `parent` for temporary files, removed when the body ends.

    Its name is `.NAME.HOST-PID.tmp`; what a killed process left there is removed by the next call on the same host.
    Where `parent` cannot be written, as on a read-only file system, it is one of the system's temporary folders.

    Raises:
        OSError: the disk refuses.
    """
    folder = Path(parent) / f".{name}.{socket.gethostname()}-{os.getpid()}.tmp"
    try:
        _remove_leftovers(Path(parent) / name)
        folder.mkdir(mode=0o700)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        folder = Path(tempfile.mkdtemp(prefix="promptmill-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(target: Path) -> None:
    prefix = f".{target.name}.{socket.gethostname()}-"
    for entry in list(target.parent.iterdir()):
        pid = entry.name.removeprefix(prefix).removesuffix(".tmp")
        if entry.name != f"{prefix}{pid}.tmp" or not pid.isdecimal() or is_alive(int(pid)):
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    # Larger than any pid: the name was not made by this function.
    except OverflowError:
        return False
    return True


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in the folder `path` durable: files created, renamed or removed there.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
