"""Files that rows name, read within one folder and nowhere else: rows are data of strangers.

A path is resolved, links and all, and must lie in the folder. What is opened then is walked to from the folder without following any
link, so that a link that is put in between the check and the opening is refused and not followed.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from batch.errors import FileError, PromptmillError
from batch.storage import stores
from batch.storage.urls import StoreUrl, is_url, parse

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe waits for its other end.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOCAL = "file://"


def read_within(folder: str, path: str, most_bytes: int) -> bytes:
    """Read a file of a folder, which is local or on a store. `path` is relative to it, or whole, and leads into it.

    Raises:
        FileError: missing_file, refused_path (it leaves the folder), or bad_file (it cannot be read, or has more than `most_bytes`).
    """
    try:
        return _read_object(parse(folder), path, most_bytes) if is_url(folder) else _read_local(folder, path, most_bytes)
    except OSError as error:
        raise _explained(error) from error
    except (ValueError, PromptmillError) as error:
        if isinstance(error, FileError):
            raise
        # A null byte, a lone surrogate, an address of a store that is not read.
        raise FileError("bad_file", f"cannot be opened: {error}") from error


def _explained(error: OSError) -> FileError:
    if isinstance(error, FileNotFoundError | NotADirectoryError) or isinstance(error.__cause__, FileNotFoundError):
        return FileError("missing_file", "there is no such file")
    if error.errno == errno.ELOOP:
        return FileError("refused_path", "leads through a link that was put there meanwhile, or that ends nowhere")
    return FileError("bad_file", f"cannot be read: {error.strerror or error}")


def _read_local(folder: str, path: str, most_bytes: int) -> bytes:
    path = path.removeprefix(_LOCAL)
    if is_url(path):
        raise _leaves(folder)
    descriptor = _opened_within(folder, path)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileError("bad_file", "is a folder" if stat.S_ISDIR(found.st_mode) else "is no file but a pipe or a device")
        _check_size(found.st_size, most_bytes)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            # A file that grows meanwhile.
            raw = file.read(most_bytes + 1)
        _check_size(len(raw), most_bytes)
        return raw
    finally:
        os.close(descriptor)


def _opened_within(folder: str, path: str) -> int:
    """A descriptor of the file. Raises OSError, FileError."""
    root = os.path.realpath(folder)
    target = os.path.realpath(os.path.join(root, path))  # noqa: PTH118 - an absolute path stays one
    if os.path.commonpath((root, target)) != root:
        raise _leaves(folder)
    *folders, name = Path(target).relative_to(root).parts or (".",)
    at = os.open(root, _FOLDER)
    try:
        for each in folders:
            inner = os.open(each, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(name, _FILE, dir_fd=at)
    finally:
        with suppress(OSError):
            os.close(at)


def _read_object(folder: StoreUrl, path: str, most_bytes: int) -> bytes:
    url = _within(folder, path)
    # A key has no links: what it names is what is opened.
    with stores.open_object(url) as file:
        _check_size(file.size(), most_bytes)
        return bytes(file.read())


def _within(folder: StoreUrl, path: str) -> StoreUrl:
    """The object that a path names. Raises FileError where it leaves the folder."""
    if is_url(path):
        given = parse(path)
        if (given.scheme, given.bucket) != (folder.scheme, folder.bucket):
            raise _leaves(str(folder))
        path = f"/{given.key}"
    # As a path of its own: a key's ".." is a part of its name to some stores, and goes up in others.
    whole = path if path.startswith("/") else f"/{folder.key}/{path}"
    key = posixpath.normpath(whole).lstrip("/")
    if folder.key and not key.startswith(f"{folder.key}/"):
        raise _leaves(str(folder))
    return replace(folder, key=key)


def _leaves(folder: str) -> FileError:
    return FileError("refused_path", f"leaves the folder that files are read from, {folder}; files_dir in [prompt] names another one")


def _check_size(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise FileError("bad_file", f"has {size:,} bytes, more than max_file_bytes = {most_bytes:,}")
