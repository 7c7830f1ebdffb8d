"""Files as the rest of promptmill sees them: find inputs, open them unpacked, put a whole file in place of another.

Local paths only.
"""

from __future__ import annotations

import difflib
import errno
import glob
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from batch.errors import InputError, StorageError


def expand(paths: Sequence[str]) -> list[str]:
    """The files that `paths` name: each is a file, or a glob (`**` goes into subfolders) whose files come sorted by name.

    A path that exists is taken as it is, whatever brackets are in its name.

    Raises:
        InputError: nothing matches, a path is no regular file (input is read more than once), or a file would be read twice.
    """
    files: list[str] = []
    for path in paths:
        found = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - takes absolute patterns
        is_pattern = found != [path]
        found = [file for file in found if not (is_pattern and Path(file).is_dir())]
        if not found:
            raise InputError(f"{path}: no such file{_near_names(path)}")
        for file in found:
            _check_regular(file)
        files += found
    twice = next((file for i, file in enumerate(files) if file in files[:i]), None) if len(set(files)) < len(files) else None
    if twice:
        raise InputError(f"{twice}: named twice by the input paths; its rows would be sent twice")
    return files


def _check_regular(file: str) -> None:
    path = Path(file)
    if path.is_dir():
        raise InputError(f"{file}: is a folder; name its files, for example {path / '*.jsonl'}")
    if not path.is_file():
        raise InputError(f"{file}: is not a regular file; input is read more than once, so write it to a file first")


def _near_names(path: str) -> str:
    folder = Path(path).parent
    if glob.has_magic(str(folder)):
        return ""
    if not folder.is_dir():
        return f"; the folder {folder} does not exist"
    near = difflib.get_close_matches(Path(path).name, [entry.name for entry in folder.iterdir()], n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f" in {folder}"


def open_input(path: str) -> BinaryIO:
    """`path` opened for reading; .gz and .zst are unpacked as they are read, also when they hold several members or frames.

    Reading a cut file raises EOFError or OSError when its end comes.

    Raises:
        InputError: the file cannot be opened.
    """
    try:
        if path.endswith(".gz"):
            import gzip

            return cast("BinaryIO", gzip.open(path, "rb"))
        if path.endswith(".zst"):
            import pyarrow as pa

            # Not the zstandard package: its stream reader takes the end of a cut file for the end of the data.
            return cast("BinaryIO", pa.CompressedInputStream(pa.OSFile(path), "zstd"))
        return Path(path).open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def replace_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file for `path`, to be written by the body; it takes the place of the old one when the body ends.

    Guarantees, whenever the process or the machine dies: `path` is the old file, whole, or the new one, whole; once the block
    has ended it is the new one, on disk (file synced, then renamed, then the folder synced). When the body raises, `path` is
    untouched and the new file is removed. The new file lies in the same folder as `.NAME.HOST-PID.tmp`; what a killed process
    left there is removed by the next call for the same `path` on the same host. The mode is what the umask gives.

    Raises:
        StorageError: the disk refuses.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    try:
        _remove_leftovers(target)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            sync_directory(target.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror or error}") from error


def _remove_leftovers(target: Path) -> None:
    prefix = f".{target.name}.{socket.gethostname()}-"
    for entry in list(target.parent.iterdir()):
        pid = entry.name.removeprefix(prefix).removesuffix(".tmp")
        if entry.name == f"{prefix}{pid}.tmp" and pid.isdecimal() and not _is_alive(int(pid)):
            entry.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
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
