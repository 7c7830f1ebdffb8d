"""One outcome as one checksummed JSON line, and back.

A line begins with a head of fixed width, so that an index can be built by slicing:

    {"sum":"<crc32, 8 hex>","task":"<16 hex>","key":"<32 hex>","ok":1,"row":…,"repeat":…,"cost_usd":…,…,"response":{…}}

Row, repeat and cost stand right behind the head, in this order, for the summaries of segments (summary.py).
`sum` is the CRC-32 (zlib's) of all bytes after its own closing quote, without the newline. `response`, if any, stands last and
is the endpoint's body byte for byte (raw line breaks between its tokens become spaces). A body that is not JSON is kept as a JSON string.
A line never holds a NUL byte or a raw newline, and is always valid JSON: text with lone surrogates is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NoReturn
from zlib import crc32

import orjson

from batch.records import ErrorInfo, ErrorKind, Outcome

# Offsets of the head's fields. They never change: the index cuts them out of a line without parsing it.
SUM_AT = 8
SUMMED_FROM = 17
TASK_AT = 26
KEY_AT = 51
OK_AT = 90
HEAD_BYTES = 91
ROW_AT = 98
KEY_BYTES = 16
_NOTHING: dict[str, float] = {}

RESPONSE = b',"response":'
# A raw line break can only stand between two tokens: within a string, JSON escapes it.
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")
_STRINGS, _BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"'), re.compile(rb"[\[\]{}]")
# Python's json takes 990 in 3.11, 1,990 in 3.12 and some 10,000 in 3.13, orjson 1,024: a line must be JSON to each.
_MOST_LEVELS = 900


def task_hash(id: str | None, ordinal: int, repeat: int) -> int:  # noqa: A002 - the word of the design
    """Hash a task to its 64-bit name in the variant's journal: by `id` if the job has ids (else None), by `ordinal` if it has not.

    An id that is an ordinal as text hashes like the ordinal, so that a record alone (whose id is one or the other) gives its task.
    """
    name = str(ordinal) if id is None else id
    return int.from_bytes(_task_digest(name, repeat))


def task_hashes(names: Sequence[str], repeat: int) -> bytes:
    """Hash many tasks: 8 bytes each, most significant first. `names` are their ids, or ordinals as text."""
    prefix = f"{repeat}:"
    try:
        return b"".join([blake2b((prefix + name).encode(), digest_size=8).digest() for name in names])
    except UnicodeEncodeError:
        return b"".join([_task_digest(name, repeat) for name in names])


def encode(outcome: Outcome, *, is_json: bool = False) -> bytes:
    """Encode `outcome` as a journal line, newline included. `is_json`: its response was parsed before, so it is JSON.

    Raises ValueError for a key that does not have 16 bytes.
    """
    if len(outcome.key) != KEY_BYTES:
        raise ValueError(f"a request key has {KEY_BYTES} bytes, not {len(outcome.key)}")
    error = outcome.error
    fields: dict[str, Any] = {
        "row": outcome.ordinal,
        "repeat": outcome.repeat,
        "cost_usd": outcome.cost_usd,
        **({"extra_usd": outcome.extra_usd} if outcome.extra_usd else _NOTHING),
        "id": outcome.id,
        "status": "ok" if error is None else "failed",
        "finish_reason": outcome.finish_reason,
        "attempts": outcome.attempts,
        "sent": outcome.sent,
        "first_token": outcome.first_token,
        "done": outcome.done,
        "http_status": outcome.http_status,
        "api": outcome.api,
        "usage": outcome.usage,
    }
    if outcome.doubled:
        fields["doubled"] = outcome.doubled
    if outcome.answer is not None:
        fields["answer"] = outcome.answer
    if outcome.tier is not None:
        fields["tier"] = outcome.tier
    if outcome.copy_of is not None:
        fields["copy_of"] = outcome.copy_of
    if error is not None:
        fields["error"] = {"kind": error.kind, "code": error.code, "message": error.message, "http_status": error.http_status}
    task = _task_digest(outcome.id, outcome.repeat).hex()
    summed = f',"task":"{task}","key":"{outcome.key.hex()}","ok":{1 if error is None else 0},'.encode() + _json(fields)[1:-1]
    summed = b"%s%s%s}" % (summed, RESPONSE, _one_line(outcome.response, is_json)) if outcome.response else summed + b"}"
    return b'{"sum":"%08x"%s\n' % (crc32(summed), summed)


def is_whole(line: bytes) -> bool:
    """Whether `line` (without its newline) is an intact record: it has a head, and the checksum matches."""
    if len(line) < HEAD_BYTES:
        return False
    return line.startswith(b'{"sum":"') and line[SUM_AT:SUMMED_FROM] == b'%08x"' % crc32(memoryview(line)[SUMMED_FROM:])


def decode(line: bytes) -> Outcome:
    """Decode a journal line, with or without its newline.

    Raises:
        ValueError: the line differs from what was written.
    """
    line = line.removesuffix(b"\n")
    if not is_whole(line):
        raise ValueError("the checksum does not match")
    fields, response = split(line)
    error = fields.get("error")
    return Outcome(
        fields["row"],
        fields["id"],
        fields["repeat"],
        bytes.fromhex(fields["key"]),
        fields["attempts"],
        None if error is None else ErrorInfo(ErrorKind(error["kind"]), error["code"], error["message"], error["http_status"]),
        fields["api"],
        fields["finish_reason"],
        fields["http_status"],
        fields["sent"],
        fields["first_token"],
        fields["done"],
        fields["usage"],
        fields["cost_usd"],
        response,
        fields.get("doubled", 0),
        fields.get("extra_usd", 0.0),
        fields.get("copy_of"),
        None if (answer := fields.get("answer")) is None else (answer[0], answer[1]),
        fields.get("tier"),
    )


def _task_digest(name: str, repeat: int) -> bytes:
    try:
        text = f"{repeat}:{name}".encode()
    except UnicodeEncodeError:
        text = f"{repeat}:{name}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8).digest()


def split(line: bytes) -> tuple[Any, bytes | None]:
    """Split a line, whole or not, into its fields, an object in a whole one, and the untouched response. Raises ValueError for no JSON."""
    # A cut inside `usage` leaves braces open, so only the true cut parses.
    place = line.find(RESPONSE, HEAD_BYTES)
    while place >= 0:
        try:
            return _parsed(line[:place] + b"}"), line[place + len(RESPONSE) : -1]
        except ValueError:
            place = line.find(RESPONSE, place + 1)
    return _parsed(line), None


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)  # takes lone surrogates


def _json(fields: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(fields)
    except TypeError:
        # Lone surrogates and integers beyond 64 bits: the standard library escapes the ones and writes the others out.
        # NaN and infinity become null, since JSON has no word for them.
        plain = json.loads(json.dumps(fields), parse_constant=lambda _: None)
        return json.dumps(plain, separators=(",", ":")).encode()


def _one_line(body: bytes, is_json: bool) -> bytes:
    if not is_json and not _is_json(body):
        return orjson.dumps(body.decode("utf-8", "replace"))
    if b"\n" in body or b"\r" in body:
        return body.translate(_LINE_BREAKS)
    return body


def _is_json(body: bytes) -> bool:
    """Whether `body` is JSON, including what orjson refuses: lone surrogates, numbers beyond a double."""
    with suppress(orjson.JSONDecodeError):
        orjson.loads(body)
        return True

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    try:
        # len instead of a number: int() refuses more than 4,300 digits, and only the syntax matters here.
        json.loads(body.decode(), parse_constant=refuse, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        return False
    return _depth(body) <= _MOST_LEVELS


def _depth(body: bytes) -> int:
    """Return how many levels deep JSON is nested."""
    depth = deepest = 0
    for sign in _BRACKETS.findall(_STRINGS.sub(b"", body)):
        depth += 1 if sign in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
