"""JSON that strict parsers refuse."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.providers.lenient_json import parse, repair


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": NaN, "b": -Infinity, "c": 1e999}', {"a": None, "b": None, "c": None}),
        (b'{"a": "x\ny\x01"}', {"a": "x\ny\x01"}),
        (b'{"a": "\\ud800 and \\ud83d\\ude00"}', {"a": "\ufffd and 😀"}),
        (b'{"a": "caf\xe9"}', {"a": "caf\ufffd"}),
        (b'{"a": ' + b"9" * 5000 + b"}", {"a": None}),
        (b'\xef\xbb\xbf{"a": 1}\n\0', {"a": 1}),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        (b'{"a": 1}data: [DONE]\n\n', {"a": 1}),
    ],
)
def test_what_is_read_all_the_same(data: bytes, value: Any) -> None:
    """Fault 66: such bytes are read, and what is kept of them is JSON that every parser takes."""
    assert parse(data) == value
    repaired = repair(data)
    assert repaired is not None
    assert orjson.loads(repaired) == json.loads(repaired) == value


@pytest.mark.parametrize("data", [b"", b"<html>", b'{"a"', b"{} {}", b"[" * 5000, b"[DONE]"])
def test_what_is_no_json(data: bytes) -> None:
    """What is no JSON in any form stays unreadable."""
    assert repair(data) is None
    with pytest.raises(ValueError, match="not JSON"):
        parse(data)


def test_the_charset_of_the_label() -> None:
    """A charset is used only for bytes that are no UTF-8, and only one that decodes text."""
    assert repair('{"a": "é"}'.encode("latin-1"), "iso-8859-1") == '{"a":"é"}'.encode()
    assert repair('{"a": "é"}'.encode(), "iso-8859-1") == '{"a":"é"}'.encode()
    assert repair(b'{"a": "\xe9"}', "hex") == '{"a":"\ufffd"}'.encode()
    assert repair(b'{"a": "\xe9"}', "no such charset") == '{"a":"\ufffd"}'.encode()


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    """Fault 61: any bytes are JSON in some form, which is then written strictly, or are not JSON; nothing else."""
    repaired = repair(data)
    if repaired is not None:
        orjson.loads(repaired)
