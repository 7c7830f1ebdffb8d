"""The content of replies, unpacked layer by layer and counted."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.transport.decoding import ContentDecoder, UnreadableError

PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress}
BODIES = [b"", b"7", b'{"a": 1}', b'data: {"a": 1}\n\n', b"\x1f"]
ROOM = 10_000


def pack(body: bytes, encodings: Sequence[str]) -> bytes:
    """The body packed in turn."""
    for encoding in encodings:
        body = PACKERS[encoding](body)
    return body


@given(
    st.sampled_from(BODIES),
    st.lists(st.sampled_from(sorted(PACKERS)), max_size=3),
    st.data(),
)
def test_layers_are_unpacked_wherever_they_are_cut(body: bytes, encodings: list[str], data: st.DataObject) -> None:
    """A proxy packs again what came packed (RFC 9110, section 8.4); the label names the codings in the order of packing."""
    packed = pack(body, encodings)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(packed)), max_size=4)))
    decoder = ContentDecoder({"content-encoding": ", ".join(encodings)} if encodings else {}, ROOM)
    pieces = [packed[start:end] for start, end in zip([0, *cuts], [*cuts, len(packed)], strict=True)]
    assert b"".join(map(decoder.feed, pieces)) + decoder.end() == body


@pytest.mark.parametrize("label", ["", "gzip", "identity", "gzip, gzip"])
def test_a_wrong_label_changes_nothing(label: str) -> None:
    """Gzip is known by its first bytes, however often it was packed."""
    for times in range(3):
        packed = pack(b'{"a": 1}', ["gzip"] * times)
        decoder = ContentDecoder({"content-encoding": label}, ROOM)
        assert decoder.feed(packed) + decoder.end() == b'{"a": 1}'


def test_a_bomb_in_a_bomb_is_too_big_at_once() -> None:
    """Fault 28: no layer is unpacked beyond the cap."""
    decoder = ContentDecoder({"content-encoding": "gzip, gzip"}, ROOM)
    with pytest.raises(UnreadableError) as caught:
        decoder.feed(pack(bytes(50_000_000), ["gzip", "gzip"]))
    assert caught.value.code == "too_big"


def test_a_layer_that_ends_too_early_is_told() -> None:
    """The outer layer is whole, and the inner one was cut before it was packed again."""
    decoder = ContentDecoder({"content-encoding": "gzip, gzip"}, ROOM)
    decoder.feed(gzip.compress(gzip.compress(b'{"a": 1}')[:-4]))
    with pytest.raises(UnreadableError, match="ends too early"):
        decoder.end()
