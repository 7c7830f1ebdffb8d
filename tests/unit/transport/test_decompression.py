"""Compressed replies, unpacked piece by piece."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.transport.decompression import Decompressor, UnknownEncodingError


def test_a_bomb_is_not_unpacked_whole() -> None:
    """Fault 28: a piece gives one byte more than there is room for, and not the fifty megabytes that are in it."""
    assert len(Decompressor("gzip").feed(gzip.compress(bytes(50_000_000)), 1000)) == 1001


@given(st.binary(max_size=2000), st.data())
def test_cut_anywhere(body: bytes, data: st.DataObject) -> None:
    """Wherever a packed body is cut, the same comes out, and its end is seen."""
    packed = zlib.compress(body)
    at = data.draw(st.integers(0, len(packed)))
    decompressor = Decompressor("deflate")
    assert decompressor.feed(packed[:at], 10_000) + decompressor.feed(packed[at:], 10_000) == body
    assert decompressor.complete


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.data())
def test_gzip_of_several_members(bodies: list[bytes], data: st.DataObject) -> None:
    """A gzip body of several members, padded with zeros, is unpacked whole wherever it is cut (RFC 1952, section 2.2)."""
    packed = b"".join(map(gzip.compress, bodies)) + bytes(data.draw(st.integers(0, 3)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(packed)), max_size=4)))
    decompressor = Decompressor("gzip")
    pieces = [packed[start:end] for start, end in zip([0, *cuts], [*cuts, len(packed)], strict=True)]
    assert b"".join(decompressor.feed(piece, 10_000) for piece in pieces) == b"".join(bodies)
    assert decompressor.complete


def test_plain_bytes_under_the_label_of_gzip() -> None:
    """Bytes that are no gzip pass as they are, also one by one."""
    decompressor = Decompressor("gzip")
    assert b"".join(decompressor.feed(bytes([byte]), 100) for byte in b'{"a":1}') + decompressor.end() == b'{"a":1}'
    assert decompressor.complete
    short = Decompressor("gzip")
    assert short.feed(b"7", 100) + short.end() == b"7"


def test_bytes_after_the_end_are_ignored() -> None:
    """What follows a deflate body's own end adds nothing, and does not hold up."""
    decompressor = Decompressor("deflate")
    assert decompressor.feed(zlib.compress(b"abc") + b"junk", 100) + decompressor.feed(b"more", 100) == b"abc"


def test_unknown() -> None:
    """An encoding that is not known is named."""
    with pytest.raises(UnknownEncodingError, match="br"):
        Decompressor("br")
