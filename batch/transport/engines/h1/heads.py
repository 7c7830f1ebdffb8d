"""Heads of replies that llhttp refuses, although clients read them: rewritten so that it takes them."""

from __future__ import annotations

import re

_HEAD = re.compile(rb"HTTP/1\.\d (\d)\d\d[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n")
_LENGTHS = re.compile(rb"^content-length:[ \t]*([^\r\n]*?)[ \t]*\r?\n", re.IGNORECASE | re.MULTILINE)


def holds_head(data: bytes) -> bool:
    """Whether `data` begins with a whole head, after those of interim replies."""
    return _final_head(data) is not None


def mended(data: bytes) -> bytes | None:
    """`data` with one Content-Length in its head instead of several equal ones (RFC 9112, section 6.3, rule 5), or None.

    `data` begins with a head, which interim replies may precede.
    """
    head = _final_head(data)
    if head is None:
        return None
    text = head.group()
    lengths = [length.strip() for line in _LENGTHS.findall(text) for length in line.split(b",")]
    if len(lengths) < 2 or len(set(lengths)) > 1 or not lengths[0].isdigit():
        return None
    first, *lines = text.split(b"\n", 1)
    one = b"%b\ncontent-length: %b\r\n%b" % (first, lengths[0], _LENGTHS.sub(b"", lines[0]))
    return data[: head.start()] + one + data[head.end() :]


def _final_head(data: bytes) -> re.Match[bytes] | None:
    head = _HEAD.match(data)
    while head is not None and head.group(1) == b"1":
        head = _HEAD.match(data, head.end())
    return head
