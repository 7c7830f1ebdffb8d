"""Objects on S3 and Google Cloud Storage, through pyarrow.fs: found, opened, put whole, moved. Blocking; threads may call it at once.

Every function raises StoreError, an OSError whose text is for people.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.storage import foreign
from batch.storage.store_errors import StoreError, explained, no_bucket, s3_endpoint
from batch.storage.urls import StoreUrl

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_AT_ONCE = 16
_CONNECT_TIMEOUT_S = 10.0
_ATTEMPTS = 5
_GOOGLE_RETRIES_S = 30
_TRUE = ("1", "true", "yes")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the store lists it. Stores know the time of a change to the second, or finer."""

    url: StoreUrl
    size: int
    mtime_ns: int


def info(url: StoreUrl) -> Stored | None:
    """What an object is; None when there is none, also where its bucket is missing."""
    if url.is_foreign:
        found = foreign.info(str(url))
        return None if found is None else Stored(url, *found)
    with _file_system(url) as system:
        found = system.get_file_info(url.path)
        return Stored(url, found.size, found.mtime_ns) if found.is_file else None


def infos(urls: Sequence[StoreUrl]) -> list[Stored | None]:
    """`info` of many, several at a time."""
    return together(info, urls)


def is_folder(url: StoreUrl) -> bool:
    """Whether anything lies under this key."""
    if url.is_foreign:
        return foreign.is_folder(str(url))
    from pyarrow.fs import FileType

    with _file_system(url) as system:
        return bool(system.get_file_info(url.path).type == FileType.Directory)


def check_bucket(url: StoreUrl) -> None:
    """Check that the bucket exists: a listing does not distinguish a missing bucket from an empty one."""
    # Whether the first part of a path is a place of its own is for each file system to say.
    if not url.is_foreign and not is_folder(url.at(url.bucket)):
        raise no_bucket(url)


def listing(url: StoreUrl, *, recursive: bool = False) -> list[Stored]:
    """The objects under a folder, sorted by key; none when there is no such folder."""
    if url.is_foreign:
        return [Stored(url.joined(name), size, 0) for name, size in foreign.listing(str(url), recursive=recursive)]
    from pyarrow.fs import FileSelector

    with _file_system(url) as system:
        found = system.get_file_info(FileSelector(url.path, allow_not_found=True, recursive=recursive))
        stored = [Stored(url.at(each.path), each.size, each.mtime_ns) for each in found if each.is_file]
    return sorted(stored, key=lambda each: each.url.key)


def folders(url: StoreUrl) -> list[str]:
    """The names of the folders under a folder, sorted."""
    from pyarrow.fs import FileSelector, FileType

    with _file_system(url) as system:
        found = system.get_file_info(FileSelector(url.path, allow_not_found=True))
        return sorted(each.base_name for each in found if each.type == FileType.Directory)


def open_object(url: StoreUrl) -> Any:
    """A seekable pyarrow.NativeFile: what is read of it is fetched by ranges."""
    if url.is_foreign:
        return foreign.open_file(str(url))
    with _file_system(url) as system:
        return system.open_input_file(url.path)


def get(url: StoreUrl) -> bytes | None:
    """A whole small object; None when there is none."""
    try:
        with _file_system(url) as system, system.open_input_file(url.path) as file:
            return bytes(file.read())
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def put(url: StoreUrl, data: bytes) -> None:
    """Put an object in place: visible when it is there whole, and not before."""
    with _file_system(url) as system, system.open_output_stream(url.path, compression=None) as file:
        # All of it in one call: whenever the stream is closed, also by an interrupt, it holds all or nothing.
        file.write(data)


def upload(path: Path, url: StoreUrl) -> Stored:
    """Put a local file in place. Raises StoreError also when the object has another size afterwards."""
    from pyarrow.fs import LocalFileSystem, copy_files

    with _file_system(url) as system:
        # One call into Arrow from beginning to end. A stream of Python's own would be completed, not aborted, when an interrupt or an
        # error cuts it off, and would leave half a file: Arrow closes an output stream that is dropped.
        copy_files(str(path), url.path, source_filesystem=LocalFileSystem(), destination_filesystem=system)
    stored = info(url)
    if stored is None or stored.size != path.stat().st_size:
        raise StoreError(
            f"{url}: has {'nothing' if stored is None else f'{stored.size:,} bytes'} after an upload of {path.stat().st_size:,}"
        )
    return stored


def download(stored: Stored, path: Path) -> None:
    """Fetch an object into a local file, whole or not at all, with the time of change that it has on the store."""
    from pyarrow.fs import LocalFileSystem, copy_files

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _file_system(stored.url) as system:
            copy_files(stored.url.path, str(temporary), source_filesystem=system, destination_filesystem=LocalFileSystem())
        temporary.chmod(0o600)
        os.utime(temporary, ns=(stored.mtime_ns, stored.mtime_ns))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def move(source: StoreUrl, destination: StoreUrl) -> None:
    """Give an object another key: a copy on the store, then the old one is deleted."""
    with _file_system(source) as system:
        system.move(source.path, destination.path)


def delete(url: StoreUrl) -> None:
    """Remove an object."""
    with _file_system(url) as system:
        system.delete_file(url.path)


def delete_folder(url: StoreUrl) -> None:
    """Remove everything under a key, also the empty objects that stand for folders. Nothing happens when there is nothing."""
    with _file_system(url) as system:
        if is_folder(url):
            system.delete_dir(url.path)


def together(work: Any, items: Iterable[Any]) -> list[Any]:
    """`work` done on all items, several at a time, in the order they are given; the first error is raised when all have ended."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(work, items))


@contextmanager
def _file_system(url: StoreUrl) -> Iterator[FileSystem]:
    import pyarrow as pa

    try:
        yield _system(url.scheme, url.bucket, url.options, s3_endpoint() if url.scheme == "s3" else None)
    except (OSError, pa.ArrowException) as error:
        raise explained(error, url) from error


@lru_cache(maxsize=32)
def _system(scheme: str, bucket: str, options: tuple[tuple[str, str], ...], endpoint: str | None) -> FileSystem:
    given = dict(options)
    protocol, host = _endpoint(given.get("endpoint_override") or endpoint)
    anonymous = given.get("anonymous", "").lower() in _TRUE
    return _google(protocol, host, anonymous) if scheme == "gs" else _amazon(bucket, given.get("region"), protocol, host, anonymous)


def _amazon(bucket: str, region: str | None, protocol: str | None, host: str | None, anonymous: bool) -> FileSystem:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None:
        # Other stores than Amazon's take any; for Amazon's own the bucket says it.
        region = "us-east-1" if host else resolve_s3_region(bucket)
    return S3FileSystem(
        region=region,
        scheme=protocol,
        endpoint_override=host,
        anonymous=anonymous,
        connect_timeout=_CONNECT_TIMEOUT_S,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        # A small object is one request then, not the three of a multipart upload.
        allow_delayed_open=True,
    )


def _google(protocol: str | None, host: str | None, anonymous: bool) -> FileSystem:
    from pyarrow.fs import GcsFileSystem

    # Without a limit Google's client tries for a quarter of an hour before it says that there are no credentials.
    return GcsFileSystem(
        anonymous=anonymous, scheme=protocol, endpoint_override=host, retry_time_limit=timedelta(seconds=_GOOGLE_RETRIES_S)
    )


def _endpoint(address: str | None) -> tuple[str | None, str | None]:
    """The protocol and host:port of an endpoint, which may be written with or without http(s)://."""
    if not address:
        return None, None
    protocol, separator, host = address.partition("://")
    return (protocol, host.strip("/")) if separator else (None, address.strip("/"))
