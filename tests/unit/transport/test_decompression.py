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


def test_unknown() -> None:
    """An encoding that is not known is named."""
    with pytest.raises(UnknownEncodingError, match="br"):
        Decompressor("br")
