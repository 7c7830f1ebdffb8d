"""Reads the heads of a segment's records as columns.

Segments are read in blocks, since mapped files would count as resident memory; every checksum is verified, and numpy slices the heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from batch.errors import DamagedError
from batch.journal.lines import HEAD_BYTES, KEY_AT, OK_AT, SUM_AT, SUMMED_FROM, TASK_AT
from batch.storage import named, open_regular

_BLOCK = 1 << 19
_NEWLINE = 10
# What stands around the eight digits of the checksum.
_FRAME = np.frombuffer(b'{"sum":""', np.uint8)
_SLICED = np.r_[0 : SUM_AT + 9, TASK_AT : TASK_AT + 16, KEY_AT : KEY_AT + 16, OK_AT]
_TASK_SLICE = slice(SUMMED_FROM, SUMMED_FROM + 16)
_KEY_SLICE = slice(SUMMED_FROM + 16, SUMMED_FROM + 32)

# The value of each hexadecimal digit; 255 for any other byte, so that one comparison finds damaged heads.
_HEX = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)

Column: TypeAlias = NDArray[np.generic]


def scan(
    path: Path, number: int, end: int, *, may_lack_newline: bool, on_damage: Callable[[DamagedError], None]
) -> Iterator[tuple[Column, ...]]:
    """Yield the columns task, key, ok, segment, offset and length of the first `end` bytes of segment `number`, block by block.

    A last record without its newline counts where it `may_lack_newline`. Damage goes to `on_damage`. Raises OSError.
    """
    buffer = bytearray(_BLOCK)
    start = filled = 0
    with open(path, "rb", buffering=0, opener=open_regular) as file:
        while (left := end - start - filled) > 0:
            if filled == len(buffer):
                # One record is longer than the buffer.
                buffer += bytes(filled)
            got = file.readinto(memoryview(buffer)[filled : filled + left])
            if not got:
                break
            filled += got
            whole = buffer.rfind(b"\n", 0, filled) + 1
            if whole:
                yield _sliced(memoryview(buffer)[:whole], path, number, start, on_damage)
                start, filled = start + whole, filled - whole
                buffer[:filled] = buffer[whole : whole + filled]
    rest = bytes(buffer[:filled])
    if rest and may_lack_newline:
        yield _sliced(memoryview(rest + b"\n"), path, number, start, on_damage)
    elif rest:
        on_damage(DamagedError(named(path), start, "the file ends within a record"))


def _sliced(block: memoryview, path: Path, number: int, start: int, on_damage: Callable[[DamagedError], None]) -> tuple[Column, ...]:
    """The columns of the lines of `block`, which begins at byte `start` of the segment."""
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    starts = np.concatenate((np.zeros(1, ends.dtype), ends[:-1] + 1))
    lengths = ends - starts
    # Views, mapped in C: no bytes are copied, and no Python frame is made for each line.
    summed = map(block.__getitem__, map(slice, (starts + SUMMED_FROM).tolist(), ends.tolist()))
    sums = np.fromiter(map(crc32, summed), np.uint32, len(ends))
    # The head of a short last line would be read behind the block; its length refuses it below.
    heads = data[np.minimum(starts[:, None] + _SLICED, len(data) - 1)]
    written = _HEX[heads[:, SUM_AT : SUM_AT + 8]]
    framed = np.delete(heads[:, :SUMMED_FROM], np.s_[SUM_AT : SUM_AT + 8], axis=1)
    good = (lengths >= HEAD_BYTES) & (written < 16).all(axis=1) & (framed == _FRAME).all(axis=1) & (_packed(written, ">u4") == sums)
    for bad in np.flatnonzero(~good).tolist():
        on_damage(DamagedError(named(path), start + int(starts[bad]), "the checksum does not match"))
    heads, starts, lengths = heads[good], starts[good], lengths[good]
    return (
        _packed(_HEX[heads[:, _TASK_SLICE]], ">u8"),
        _packed(_HEX[heads[:, _KEY_SLICE]], ">u8"),
        heads[:, -1] == ord("1"),
        # Two bytes a task for as long as they suffice.
        np.full(len(starts), number, np.uint16 if number < 1 << 16 else np.uint32),
        starts.astype(np.uint64) + np.uint64(start),
        lengths.astype(np.uint32),
    )


def _packed(digits: NDArray[np.uint8], kind: str) -> Column:
    """Rows of hexadecimal digits as unsigned numbers of this machine."""
    pairs = np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2])
    return pairs.view(kind)[:, 0].astype(kind.replace(">", "="))
