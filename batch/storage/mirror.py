"""A folder on an object store with a copy on this machine, in the user's cache: what was fetched or written once is not fetched again.

The store has the truth; the copy can be deleted at any time. A file of the copy is taken for the object when size and time of change
are the same. Copies that were not used for a month are removed when the next one is opened.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from batch.errors import InputError, StorageError
from batch.storage import stores
from batch.storage.local import is_alive
from batch.storage.store_errors import StoreError, s3_endpoint
from batch.storage.stores import Stored
from batch.storage.urls import StoreUrl, parse

# Several workers may be merging at once: each listing is newer than most of what they have done.
_LISTINGS = 5
T = TypeVar("T")
_UNUSED_S = 30 * 24 * 3600
_opened: dict[Path, StoreUrl] = {}


def named(path: Path) -> str:
    """A path as people should read it: the object's address where it is a file of a copy."""
    for root, url in _opened.items():
        with suppress(ValueError):
            return str(url.joined(path.relative_to(root).as_posix()))
    return str(path)


class Mirror:
    """The folder `url`, and its copy in `root`. Names are relative to both. All methods block.

    Raises:
        StoreError: the store refuses, or the cache cannot be written to.
    """

    def __init__(self, url: StoreUrl) -> None:
        self.url = url
        where = s3_endpoint() if url.scheme == "s3" else None
        # With the endpoint: two stores may have buckets of the same name.
        digest = blake2b(f"{url} {where}".encode(), digest_size=8).hexdigest()
        copies = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "promptmill" / "stores"
        self.root = copies / f"{url.name or url.bucket}-{digest}"
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Marks the copy as used, for `_remove_unused`.
            os.utime(self.root)
            _remove_unused(copies)
        except OSError as error:
            raise _no_cache(self.root, error) from error
        _opened[self.root] = url

    def read(self, name: str) -> bytes | None:
        """An object as it is on the store now; None when there is none."""
        return stores.get(self.url.joined(name))

    def write(self, name: str, data: bytes) -> None:
        """Put an object in place; the copy is not kept."""
        stores.put(self.url.joined(name), data)

    def add(self, name: str, data: bytes) -> None:
        """Put a new object on the store, see that it is there whole, and keep its copy.

        Raises:
            StoreError: it exists with other content: another process writes here. With equal content an earlier call has written it.
        """
        url = self.url.joined(name)
        # An earlier attempt may have put the object although its reply was lost.
        before = stores.info(url)
        if before is not None and stores.get(url) != data:
            raise StoreError(f"{url}: is there already; another runner writes to this run", lasting=True)
        if before is None:
            stores.put(url, data)
        stored = stores.info(url)
        if stored is None or stored.size != len(data):
            raise StoreError(f"{url}: is not there whole after it was put")
        # The reader has fetched the folder before; without a copy it is fetched when it is read.
        with suppress(OSError):
            self._keep(name, data, stored)

    def delete(self, name: str) -> None:
        """Remove an object, and its copy."""
        stores.delete(self.url.joined(name))
        with suppress(OSError):
            (self.root / name).unlink(missing_ok=True)

    def delete_folder(self, folder: str) -> None:
        """Remove a folder with all that is in it; of its copy, nothing."""
        stores.delete_folder(self.url.joined(folder))

    def fetch_apart(self, names: Iterable[str], folder: Path) -> None:
        """Fetch objects into another folder, apart from the copy: other processes may be at work on that.

        Raises:
            StoreError: also when one of them is missing.
        """
        stores.together(lambda url: _download(url, folder), [self.url.joined(name) for name in names])

    def folders(self, name: str) -> list[str]:
        """The names of the folders in a folder on the store, or in this one."""
        return stores.folders(self.url.joined(name) if name else self.url)

    def fetch(self, folder: str) -> Path:
        """Make the copy of a folder, without those in it, what the store has; returns the copy."""
        return when_merged(lambda: self._fetch_folder(folder))

    def fetch_files(self, pattern: str) -> None:
        """Make the copies of the files of the top folder that match a pattern what the store has."""
        began = time.time()
        self._fetch([each for each in stores.listing(self.url) if fnmatchcase(each.url.name, pattern)], self.root, pattern, began)

    def publish(self, paths: Iterable[Path]) -> list[str]:
        """Put files of the copy onto the store, each whole, unless it is there as it is; returns their addresses."""
        addresses = []
        for path in paths:
            url = self.url.joined(path.relative_to(self.root).as_posix())
            addresses.append(str(url))
            stored = stores.info(url)
            if stored is not None and _same(path, stored):
                continue
            stored = stores.upload(path, url)
            with suppress(OSError):
                # The object's own time, by which `_same` finds the copy fresh.
                os.utime(path, ns=(stored.mtime_ns, stored.mtime_ns))
        return addresses

    def publish_folder(self, folder: str) -> None:
        """Make a folder on the store what its copy is: changed files are put, those that are gone are deleted there."""
        local = self.root / folder
        there = {each.url.name: each for each in stores.listing(self.url.joined(folder))}
        here = {path.name: path for path in local.iterdir() if path.is_file()} if local.is_dir() else {}
        self.publish(path for name, path in sorted(here.items()) if name not in there or not _same(path, there[name]))
        for name in there.keys() - here.keys():
            stores.delete(there[name].url)

    def forget(self, folder: str) -> None:
        """Remove the copy of a folder: the next `fetch` copies all of it again."""
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def move(self, moves: Iterable[tuple[Stored, str]]) -> None:
        """Give objects other names in this folder, several at a time, in about this order."""
        stores.together(lambda move: stores.move(move[0].url, self.url.joined(move[1])), list(moves))

    def listing(self, folder: str = "", *, recursive: bool = False) -> list[Stored]:
        """The objects in a folder on the store, sorted by key."""
        return stores.listing(self.url.joined(folder) if folder else self.url, recursive=recursive)

    def _fetch_folder(self, folder: str) -> Path:
        # The time before the listing: a file that another process adds later is not one that the store lacks.
        local, began = self.root / folder, time.time()
        self._fetch(stores.listing(self.url.joined(folder)), local, "*", began)
        return local

    def _fetch(self, there: list[Stored], local: Path, pattern: str, listed_at: float) -> None:
        try:
            local.mkdir(mode=0o700, parents=True, exist_ok=True)
            here = {path.name: path for path in local.iterdir() if path.is_file() and fnmatchcase(path.name, pattern)}
            wanted = {each.url.name: each for each in there}
            for name in here.keys() - wanted.keys():
                _remove_gone(here[name], listed_at)
            stale = [each for name, each in wanted.items() if name not in here or not _same(here[name], each)]
        except OSError as error:
            raise _no_cache(local, error) from error
        stores.together(lambda each: stores.download(each, local / each.url.name), stale)

    def _keep(self, name: str, data: bytes, stored: Stored) -> None:
        # Renamed into place when it is whole: other processes of this machine read the copy at any time.
        path = self.root / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.utime(temporary, ns=(stored.mtime_ns, stored.mtime_ns))
        temporary.replace(path)


def when_merged(fetch: Callable[[], T]) -> T:
    """Do a fetch again whose listing named objects that have been merged, and deleted, meanwhile. Raises as it does."""
    for _ in range(_LISTINGS - 1):
        try:
            return fetch()
        except StoreError as error:
            if not error.is_missing:
                raise
    return fetch()


@contextmanager
def uploading(folder: str) -> Iterator[tuple[Path, list[str]]]:
    """A temporary folder whose files are put into `folder` on a store, each whole, when the body ends; their addresses come into the list.

    Nothing is put when the body raises.

    Raises:
        InputError: it is no address.
        StorageError: the store refuses.
    """
    try:
        url = parse(folder)
    except ValueError as error:
        raise InputError(str(error)) from error
    addresses: list[str] = []
    with tempfile.TemporaryDirectory(prefix="promptmill-") as temporary:
        yield Path(temporary), addresses
        try:
            for path in sorted(Path(temporary).iterdir()):
                stores.upload(path, url.joined(path.name))
                addresses.append(str(url.joined(path.name)))
        except StoreError as error:
            raise StorageError(str(error)) from error


@contextmanager
def downloaded(address: str) -> Iterator[Path]:
    """An object as a local file that is gone when the body ends; what mapped it keeps it.

    Raises:
        StoreError: the store refuses, or has no such object.
    """
    with tempfile.TemporaryDirectory(prefix="promptmill-") as folder:
        yield _download(parse(address), Path(folder))


def _download(url: StoreUrl, folder: Path) -> Path:
    stored = stores.info(url)
    if stored is None:
        raise StoreError(f"{url}: is missing", lasting=True, is_missing=True)
    stores.download(stored, folder / url.name)
    return folder / url.name


def _remove_gone(path: Path, listed_at: float) -> None:
    """Remove a file of a copy that a listing lacks, unless another process of this machine has put it there meanwhile, or is about to."""
    writer = path.name.removesuffix(".tmp").rpartition(".")[2] if path.name.endswith(".tmp") else ""
    if path.stat().st_ctime < listed_at and not (writer.isdecimal() and is_alive(int(writer))):
        path.unlink(missing_ok=True)


def _no_cache(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder that can", lasting=True)


def _same(path: Path, stored: Stored) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return (status.st_size, status.st_mtime_ns) == (stored.size, stored.mtime_ns)


def _remove_unused(copies: Path) -> None:
    oldest = time.time() - _UNUSED_S
    for copy in copies.iterdir():
        if copy.stat().st_mtime < oldest:
            shutil.rmtree(copy, ignore_errors=True)
