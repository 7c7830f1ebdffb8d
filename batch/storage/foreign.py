"""Input on any file system of fsspec (the extra fsspec): hf://datasets/OWNER/NAME/…, abfs://CONTAINER@ACCOUNT…/…, sftp://HOST/… and others.

Credentials and settings are the file system's own, from its environment or fsspec's config files.
https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration
Every function raises StoreError.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from batch.storage.store_errors import StoreError

_BLOCK_BYTES = 8 << 20


def info(address: str) -> tuple[int, int] | None:
    """The size of a file, and a number that changes when the file does; None when there is none."""
    with _file_system(address) as (system, path):
        try:
            found = system.info(path)
        except FileNotFoundError:
            return None
        return (int(found.get("size") or 0), _version(system, path)) if found.get("type") == "file" else None


def is_folder(address: str) -> bool:
    """Whether there is such a folder."""
    with _file_system(address) as (system, path):
        return bool(system.isdir(path))


def listing(address: str, *, recursive: bool = False) -> list[tuple[str, int]]:
    """The files under a folder, by their paths within it, with their sizes, sorted; none when there is no such folder."""
    with _file_system(address) as (system, path):
        try:
            found = system.find(path, maxdepth=None if recursive else 1, detail=True)
        except FileNotFoundError:
            return []
        root = system._strip_protocol(path).rstrip("/")  # noqa: SLF001 - documented for those who write file systems
        # Paths have forms of their own: what counts is what follows the folder's.
        rest = {name[len(root) + 1 :]: each for name, each in found.items() if name.startswith(f"{root}/") and each.get("type") == "file"}
        return [(name, int(each.get("size") or 0)) for name, each in sorted(rest.items())]


def open_file(address: str) -> Any:
    """A seekable pyarrow.NativeFile: what is read of it is fetched by ranges."""
    import pyarrow as pa

    with _file_system(address) as (system, path):
        return pa.PythonFile(system.open(path, "rb", block_size=_BLOCK_BYTES), mode="r")


def _version(system: Any, path: str) -> int:
    # It stands where other stores have a time: run.json has room for a number, and only asks whether it changed.
    return int(str(system.ukey(path))[:15], 16) if hasattr(system, "ukey") else 0


@contextmanager
def _file_system(address: str) -> Iterator[tuple[Any, str]]:
    try:
        import fsspec

        yield fsspec.core.url_to_fs(address)
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"{address}: no such file", lasting=True) from error
    # A file system raises what the libraries beneath it do.
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise StoreError(f"{address}: cannot be read: {text}") from error
