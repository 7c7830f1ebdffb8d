"""Journal lines: one outcome as one checksummed line, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from zlib import crc32

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.journal.lines import HEAD_BYTES, KEY_AT, OK_AT, TASK_AT, decode, encode, task_hash
from batch.records import ErrorInfo, ErrorKind, Outcome
from tests.support.stores import outcome

any_text = st.text(st.characters())  # lone surrogates and NUL included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
times = st.none() | st.floats(0, 4e9)
errors = st.none() | st.builds(ErrorInfo, st.sampled_from(ErrorKind), any_text, any_text, st.none() | st.integers(100, 599))
outcomes = st.builds(
    Outcome,
    ordinal=st.integers(0, 2**40),
    id=any_text,
    repeat=st.integers(0, 99),
    key=st.binary(min_size=16, max_size=16),
    attempts=st.integers(0, 99),
    error=errors,
    api=st.sampled_from([None, "chat/completions", "completions", "embeddings"]),
    finish_reason=st.none() | any_text,
    http_status=st.none() | st.integers(100, 599),
    sent=times,
    first_token=times,
    done=times,
    usage=st.none() | st.dictionaries(any_text | st.just("response"), json_values, max_size=4),
    cost_usd=times,
    response=st.none()
    | st.builds(lambda value, indent: json.dumps(value, indent=indent).encode(), json_values, st.sampled_from([None, 1])),
)


def strict(line: bytes) -> dict[str, object]:
    """The line as a parser reads it that takes nothing but JSON."""

    def refuse(constant: str) -> object:
        raise AssertionError(f"{constant} is not JSON")

    parsed = json.loads(line.decode("utf-8"), parse_constant=refuse)
    assert isinstance(parsed, dict)
    return parsed


@given(outcomes)
def test_round_trip(before: Outcome) -> None:
    """Any outcome comes back as it was, with its response byte for byte but for raw line breaks."""
    after = decode(encode(before))

    response = before.response and before.response.replace(b"\n", b" ")
    assert after == replace(before, response=response)


@given(outcomes)
def test_one_line_of_json(before: Outcome) -> None:
    """Every line is valid JSON on one line without NUL, its head at fixed places, the sum over all that follows it (fault 51)."""
    line = encode(before)

    fields = strict(line)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert b"\0" not in line
    assert line[8:16] == b"%08x" % crc32(line[17:-1])
    assert fields["task"] == line[TASK_AT : TASK_AT + 16].decode() == f"{task_hash(before.id, before.ordinal, before.repeat):016x}"
    assert fields["key"] == line[KEY_AT : KEY_AT + 32].decode() == before.key.hex()
    assert fields["ok"] == int(line[OK_AT:HEAD_BYTES]) == before.ok
    assert fields["status"] == ("ok" if before.ok else "failed")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>504</html>",
        b'{"logprob": NaN}',
        b'{"n": -Infinity}',
        b'{"cut": ',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'"raw\ncontrol"',
        b"{} {}",
        b"[" * 5000 + b"]" * 5000,
        "{}".encode("utf-16"),
    ],
)
def test_what_is_not_json_is_kept_as_a_string(body: bytes) -> None:
    """A body that is not JSON becomes a JSON string, so that the line stays valid (fault 51)."""
    line = encode(replace(outcome(1, error="server_error"), response=body))

    assert strict(line)["response"] == body.decode("utf-8", "replace")
    assert decode(line).response == orjson.dumps(body.decode("utf-8", "replace"))


@pytest.mark.parametrize("body", [rb'{"text": "\ud800"}', b"1" * 5000, b"1e999", b'{"a": 1, "a": 2}', b" {} "])
def test_odd_json_is_kept_verbatim(body: bytes) -> None:
    """JSON that some parsers refuse is JSON all the same (fault 51)."""
    line = encode(replace(outcome(1), response=body))

    assert decode(line).response == body


def test_not_a_number_becomes_null() -> None:
    """Numbers that JSON does not have never reach the journal, also beside text that needs the slow way (fault 51)."""
    before = replace(outcome(1, id_="\ud800"), cost_usd=float("nan"), usage={"x": float("inf")})

    fields = strict(encode(before))

    assert (fields["cost_usd"], fields["usage"]) == (None, {"x": None})


def test_every_flipped_bit_is_seen() -> None:
    """No bit of a line can change without the checksum failing (promise 3)."""
    line = encode(outcome(7, error="server_error"))

    for place in range(len(line) - 1):
        for bit in range(8):
            flipped = bytearray(line)
            flipped[place] ^= 1 << bit
            with pytest.raises(ValueError, match="checksum"):
                decode(bytes(flipped))


def test_response_is_found_behind_a_usage_that_has_one() -> None:
    """A usage object with a `response` of its own does not confuse the reader."""
    before = replace(outcome(1), usage={"n": 1, "response": {"x": ',"response":'}}, response=b'{"n":1,"response":{"n":2,"response":3}}')

    assert decode(encode(before)) == before


def test_key_of_another_size_is_refused() -> None:
    """The head has a fixed width, so the key must have its size."""
    with pytest.raises(ValueError, match="16 bytes"):
        encode(replace(outcome(1), key=b"short"))


def test_task_hash() -> None:
    """A task's name depends on id (or ordinal) and repeat, is the same in every process, and takes any text."""
    assert task_hash("a", 0, 0) == task_hash("a", 9, 0)
    assert len({task_hash("a", 0, 0), task_hash("a", 0, 1), task_hash("b", 0, 0), task_hash("1:a", 0, 0), task_hash("\ud800", 0, 0)}) == 5
    assert task_hash(None, 12, 0) == task_hash("12", 12, 0)
    assert task_hash("ticket-1", 0, 0) == 0x67C4DAE5E27222FB  # as in every journal that was ever written
