"""Packs a journal that is read seldom, by zstd (about a tenth of its size), and unpacks it when it is read again."""

from __future__ import annotations

import shutil
from pathlib import Path

from batch.errors import DamagedError
from batch.journal.disk import open_to_read, storage_errors
from batch.storage import named, replace_atomically, sync_directory
from batch.storage.zstd import zstd_reader, zstd_writer

PACKED = ".jsonl.zst"
_BLOCK = 1 << 20


def pack(directory: Path) -> int:
    """Pack the files of a journal; hold the run directory's lock. Returns the bytes that are free now.

    A file goes only when its packed form is on disk and was read back as the same bytes.
    Raises StorageError; each file is then there in at least one form.
    """
    freed = 0
    with storage_errors(directory):
        for path in sorted(directory.glob("*.jsonl")):
            size = path.stat().st_size
            # An empty file is the claim of a number, and smaller than any packed one.
            if size:
                freed += size - _pack(path)
    return freed


def is_packed(directory: Path) -> bool:
    """Whether a journal, or a part of it, is packed. Raises StorageError."""
    with storage_errors(directory):
        return directory.is_dir() and any(directory.glob(f"*{PACKED}"))


def unpack(directory: Path) -> None:
    """Restore the files of a packed journal. May be called by several readers at once, without the lock.

    Raises:
        DamagedError: a packed file differs from what was written.
        StorageError: the disk refuses.
    """
    with storage_errors(directory):
        for packed in sorted(directory.glob(f"*{PACKED}")):
            path = packed.with_suffix("")
            # Where both are there, packing or unpacking was interrupted: the plain file is whole, and may have grown since.
            if not path.exists():
                _unpack(packed, path)
            packed.unlink(missing_ok=True)
        sync_directory(directory)


def _pack(path: Path) -> int:
    packed = path.with_name(path.stem + PACKED)
    with open_to_read(path) as plain, replace_atomically(packed, private=True) as file, zstd_writer(file) as out:
        shutil.copyfileobj(plain, out, _BLOCK)
    with open_to_read(path) as plain, open_to_read(packed) as file, zstd_reader(file) as again:
        while block := plain.read(_BLOCK):
            if again.read(len(block)) != block:
                raise DamagedError(named(packed), 0, "the packed file differs from the journal that was packed; nothing was removed")
    size = packed.stat().st_size
    path.unlink()
    sync_directory(path.parent)
    return size


def _unpack(packed: Path, path: Path) -> None:
    if not packed.stat().st_size:
        # An empty file reads as an empty stream, and nothing empty is ever packed.
        raise DamagedError(named(packed), 0, "the packed file is empty")
    with open_to_read(packed) as file, replace_atomically(path, private=True) as out:
        try:
            with zstd_reader(file) as plain:
                shutil.copyfileobj(plain, out, _BLOCK)
        except OSError as error:
            # The system's own errors have a number; those of the library, about the bytes, have none.
            if error.errno is not None:
                raise
            raise DamagedError(named(packed), 0, f"the packed file differs from what was written ({error})") from error
