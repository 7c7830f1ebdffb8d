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
from batch.journal.lines import HEAD_BYTES, KEY_AT, OK_AT, ROW_AT, SUM_AT, SUMMED_FROM, TASK_AT
from batch.journal.spent import dollars
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

_ROW = np.frombuffer(b',"row":', np.uint8)
_REPEAT = np.frombuffer(b',"repeat":', np.uint8)
_COST = np.frombuffer(b',"cost_usd":', np.uint8)
_NO_COST = np.frombuffer(b'null,"id":', np.uint8)

Column: TypeAlias = NDArray[np.generic]
Columns: TypeAlias = tuple[Column, ...]
OnDamage: TypeAlias = Callable[[DamagedError], None]


def refuse(damage: DamagedError) -> None:
    """Raise what was found damaged: for readers that go no further then."""
    raise damage


def scan(path: Path, number: int, end: int, *, may_lack_newline: bool, on_damage: OnDamage) -> Iterator[Columns]:
    """Yield the columns task, key, ok, segment, offset and length of the first `end` bytes of segment `number`, block by block.

    A last record without its newline counts where it `may_lack_newline`. Damage goes to `on_damage`. Raises OSError.
    """
    for block, start in _blocks(path, 0, end, may_lack_newline, on_damage):
        heads, starts, lengths = _verified(block, path, start, on_damage)
        yield (
            _packed(_HEX[heads[:, _TASK_SLICE]], ">u8"),
            _packed(_HEX[heads[:, _KEY_SLICE]], ">u8"),
            heads[:, -1] == ord("1"),
            # Two bytes a task for as long as they suffice.
            np.full(len(starts), number, np.uint16 if number < 1 << 16 else np.uint32),
            starts.astype(np.uint64) + np.uint64(start),
            lengths.astype(np.uint32),
        )


def scan_tasks(path: Path, start: int, end: int, *, may_lack_newline: bool, on_damage: OnDamage) -> Iterator[Columns]:
    """Yield the columns ordinal, repeat, ok, key, US dollars, offset and length of the records in bytes `start` to `end`. As `scan`."""
    for block, at in _blocks(path, start, end, may_lack_newline, on_damage):
        heads, starts, lengths = _verified(block, path, at, on_damage)
        data = np.frombuffer(block, np.uint8)
        good, ordinals, repeats, spent = _task_columns(data, block, starts)
        for bad in np.flatnonzero(~good).tolist():
            on_damage(DamagedError(named(path), at + int(starts[bad]), "the record is not laid out as this version writes it"))
        keys = _packed(_HEX[heads[good][:, _KEY_SLICE]], ">u8")
        places = (starts[good] + at, lengths[good].astype(np.uint32))
        yield ordinals[good], repeats[good], heads[good][:, -1] == ord("1"), keys, spent[good], *places


def _blocks(path: Path, start: int, end: int, may_lack_newline: bool, on_damage: OnDamage) -> Iterator[tuple[memoryview, int]]:
    """Yield blocks of whole lines, each with the byte of the file at which it begins."""
    buffer = bytearray(_BLOCK)
    filled = 0
    with open(path, "rb", buffering=0, opener=open_regular) as file:
        file.seek(start)
        while (left := end - start - filled) > 0:
            if filled == len(buffer):
                # One record is longer than the buffer. A new one, since the caller may still look at the last block.
                buffer = buffer + bytes(filled)
            got = file.readinto(memoryview(buffer)[filled : filled + left])
            if not got:
                break
            filled += got
            whole = buffer.rfind(b"\n", 0, filled) + 1
            if whole:
                yield memoryview(buffer)[:whole], start
                start, filled = start + whole, filled - whole
                buffer[:filled] = buffer[whole : whole + filled]
    rest = bytes(buffer[:filled])
    if rest and may_lack_newline:
        yield memoryview(rest + b"\n"), start
    elif rest:
        on_damage(DamagedError(named(path), start, "the file ends within a record"))


def _verified(
    block: memoryview, path: Path, start: int, on_damage: OnDamage
) -> tuple[NDArray[np.uint8], NDArray[np.intp], NDArray[np.intp]]:
    """Return the sliced heads, first bytes and lengths of the whole records of `block`, which begins at byte `start` of the segment."""
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
    return heads[good], starts[good], lengths[good]


def _task_columns(
    data: NDArray[np.uint8], block: memoryview, starts: NDArray[np.intp]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Read what stands behind the heads: whether it is laid out as it should be, ordinal, repeat and US dollars of each record."""
    at = starts + ROW_AT
    good = (_window(data, at - len(_ROW), len(_ROW)) == _ROW).all(axis=1)
    ordinals, digits = _decimal(data, at)
    at = at + digits
    good &= (digits > 0) & (_window(data, at, len(_REPEAT)) == _REPEAT).all(axis=1)
    repeats, digits = _decimal(data, at + len(_REPEAT))
    at = at + len(_REPEAT) + digits
    good &= (digits > 0) & (_window(data, at, len(_COST)) == _COST).all(axis=1)
    at = at + len(_COST)
    # Most often no cost is known: null, and the id next.
    free = (_window(data, at, len(_NO_COST)) == _NO_COST).all(axis=1)
    spent = np.zeros(len(starts))
    for paid in np.flatnonzero(~free & good).tolist():
        spent[paid] = dollars(block, int(starts[paid]))
    return good, ordinals, repeats, spent


def _window(data: NDArray[np.uint8], at: NDArray[np.intp], width: int) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = data[np.minimum(at[:, None] + np.arange(width), len(data) - 1)]
    return found


def _decimal(data: NDArray[np.uint8], at: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Read a number of at most 18 digits at each place; returns the numbers and how many digits each has, 0 where it is no such number."""
    digits = _window(data, at, 19) - np.uint8(ord("0"))
    is_digit = digits < 10
    lengths = np.where(is_digit.all(axis=1), 0, np.argmin(is_digit, axis=1))
    numbers = np.zeros(len(at), np.int64)
    for place in range(int(lengths.max(initial=0))):
        more = place < lengths
        numbers[more] = numbers[more] * 10 + digits[more, place]
    return numbers, lengths


def _packed(digits: NDArray[np.uint8], kind: str) -> Column:
    """Rows of hexadecimal digits as unsigned numbers of this machine."""
    pairs = np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2])
    return pairs.view(kind)[:, 0].astype(kind.replace(">", "="))
