"""Read the .eval logs of inspect: a zip with header.json and a file for each sample (inspect's log/_recorders/eval.py)."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path, PurePath
from typing import Any

import orjson
import pyarrow as pa

from batch.errors import InputError

_ZSTD = 93
"""The method of zip members packed by zstd (APPNOTE.TXT 6.3.7, 4.4.5), as inspect packs them; zipfile has it from Python 3.14 on."""
_LOCAL_HEADER = 30
_ATTACHMENT = "attachment://"


def inspect_log(path: Path) -> dict[str, Any]:
    """Read an .eval log into its JSON form. Raises InputError."""
    try:
        with zipfile.ZipFile(path) as log:
            names = log.namelist()
            # A run that was stopped has no header yet, but begins with what it was to be.
            header = next((name for name in ("header.json", "_journal/start.json") if name in names), None)
            described = orjson.loads(_member(path, log, header)) if header else {}
            samples = [name for name in names if PurePath(name).parts[:1] == ("samples",) and name.endswith(".json")]
            found = [orjson.loads(_member(path, log, name)) for name in samples]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, orjson.JSONDecodeError) as error:
        raise InputError(f"{path}: is no whole .eval log of inspect: {error}") from error
    except NotImplementedError as error:
        raise InputError(f"{path}: cannot be unpacked ({error}); inspect log convert --to json makes a JSON file of it") from error
    if not all(isinstance(each, dict) for each in (described, *found)):
        raise InputError(f"{path}: is no .eval log of inspect: a part of it is no JSON object")
    return {"eval": described.get("eval") or {}, "samples": sorted(found, key=lambda one: (_order(one.get("id")), str(one.get("epoch"))))}


def _member(path: Path, log: zipfile.ZipFile, name: str) -> bytes:
    """Read a file of the zip. Raises OSError, BadZipFile, NotImplementedError and others for one that is damaged."""
    found = log.getinfo(name)
    if found.compress_type != _ZSTD or found.flag_bits & 1:
        return log.read(name)
    with path.open("rb") as file:
        file.seek(found.header_offset)
        head = file.read(_LOCAL_HEADER)
        # The lengths of the name and of the extra field, which may differ from those in the directory.
        file.seek(sum(struct.unpack("<HH", head[26:30])), 1)
        packed = file.read(found.compress_size)
    unpacked = pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read(found.file_size + 1)
    if len(unpacked) != found.file_size or zlib.crc32(unpacked) != found.CRC:
        raise zipfile.BadZipFile(f"{name} is damaged")
    return bytes(unpacked)


def attached(value: Any, attachments: Any) -> Any:
    """Put the texts that a sample keeps apart in their places."""
    if isinstance(value, str) and value.startswith(_ATTACHMENT) and isinstance(attachments, dict):
        return attachments.get(value.removeprefix(_ATTACHMENT), value)
    if isinstance(value, list):
        return [attached(each, attachments) for each in value]
    return {key: attached(each, attachments) for key, each in value.items()} if isinstance(value, dict) else value


def _order(identifier: Any) -> tuple[int, int, str]:
    return (0, identifier, "") if type(identifier) is int else (1, 0, str(identifier))
