"""Secrets taken out of texts and bytes."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.policy.redaction import RedactedStream, Redactor, sample

SECRET = 'sk-"canary"/é+1234='


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        quote(SECRET, safe="").replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d").replace("%C3%A9", "%c3%a9"),
        html.escape(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps(SECRET).replace("/", "\\/"),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"u:{SECRET}x".encode()).decode(),
        base64.urlsafe_b64encode(f"Bearer {SECRET}".encode()).decode(),
    ],
)
def test_every_form_is_taken_out(shown: str) -> None:
    """Fault 29: the key is found plain, URL-encoded, JSON-escaped and within base64, in texts and in bytes."""
    redactor = Redactor([SECRET])
    assert "[redacted]" in redactor.text(f"key {shown} was wrong")
    assert b"[redacted]" in redactor.bytes(f"key {shown} was wrong".encode())
    assert "canary" not in redactor.text(f"key {shown} was wrong")


def test_the_beginning_of_a_key_where_a_sample_was_cut() -> None:
    """Fault 29: a sample that ends within the key does not show its beginning either."""
    text = Redactor([SECRET]).text(sample(("x" * 480 + SECRET + "y" * 100).encode()))
    assert text == "x" * 480 + "[redacted]…"


@pytest.mark.parametrize("size", range(1, 25))
def test_a_key_in_pieces(size: int) -> None:
    """Fault 29: a key that a stream spreads over its chunks is not shown, all else is, and nothing is held back in the end."""
    text = f"one {SECRET} two {SECRET[:5]} three sk"
    stream = RedactedStream(Redactor([SECRET]))
    shown = "".join(stream.feed(text[start : start + size]) for start in range(0, len(text), size)) + stream.close()
    assert shown == f"one [redacted] two {SECRET[:5]} three sk"


def test_placeholders_and_clean_bodies_stay() -> None:
    """A placeholder such as "EMPTY" is no secret, and a body without secrets is not even copied."""
    body = b"an EMPTY answer"
    assert Redactor(["EMPTY", "", SECRET]).bytes(body) is body


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=8), st.text(), st.text())
def test_no_secret_is_left(secret: str, before: str, after: str) -> None:
    """Promise 12: after redaction the secret is nowhere, but where the mark itself makes it up."""
    text = Redactor([secret]).text(before + secret + after)
    assert secret not in text or secret in "[redacted]" or "[redacted]" in text.replace(secret, "")


@pytest.mark.parametrize(
    ("body", "shown"),
    [(b"", ""), (b"<html>\r\n\x00\x1b[31m</html>", "an HTML page: [31m"), (b"\xff\xfe", "��"), (b"a" * 600, "a" * 499 + "…")],
)
def test_sample(body: bytes, shown: str) -> None:
    """Fault 9: a sample is one short printable line, whatever the bytes were."""
    assert sample(body) == shown


@pytest.mark.parametrize("body", ['"\\u0073k-canary+/1234567"', '"sk-canary\\u002B/1234567"', '"sk\\u002dcanary\\u002b\\/1234567"'])
def test_a_needless_escape_hides_nothing(body: str) -> None:
    """Promise 12: JSON may spell any character as an escape; .NET does so for a plus sign."""
    secret = "sk-canary+/1234567"
    assert json.loads(body) == secret
    assert Redactor([secret]).bytes(body.encode()) == b'"[redacted]"'
