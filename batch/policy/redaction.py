"""Removes secrets from texts and bytes before they reach a file, a log or a terminal."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from urllib.parse import quote, quote_plus

from batch.policy.pages import without_pages

MARK = "[redacted]"
CUT = "…"

SHORTEST_SECRET = 8
"""Shorter "keys" ("EMPTY", "none", "ollama") are placeholders; taking such words out of answers would spoil these."""

_SECRET_NAME = re.compile(r"key|token|secret|passw|pwd|auth|credential|signature|^(sig|pass|code)$", re.IGNORECASE)
# How keys of known providers begin, and JSON Web Tokens (RFC 7519) and HTTP credentials (RFC 9110, 11.4).
_SECRET_VALUE = re.compile(r"(sk-|rk-|gsk_|xai-|hf_|nvapi-|r8_|ghp_|github_pat_|pplx-|AIza|AKIA|eyJ)[\w.-]{8}|(Bearer|Basic) \S{8}")
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9]{12,}")
# Names of models and dates have fewer: gpt4omini20240806.
_FEWEST_CHANGES = 4

_ESCAPE = b"\\u00"
_PERCENT = re.compile("%[0-9A-F]{2}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def is_secret(name: str, value: str) -> bool:
    """Whether the member `name` of a query or of headers holds a secret: by its name, or by the beginning of its value."""
    return len(value) >= SHORTEST_SECRET and bool(_SECRET_NAME.search(name) or _SECRET_VALUE.match(value))


def is_token(segment: str) -> bool:
    """Whether a path's segment is a token: a known kind of key, a UUID, or 12 or more letters and digits that change places often."""
    if _SECRET_VALUE.match(segment) or _UUID.fullmatch(segment):
        return True
    runs = (run for run in _RUN.findall(segment) if not run.isdecimal())
    return any(sum(a.isdecimal() != b.isdecimal() for a, b in pairwise(run)) >= _FEWEST_CHANGES for run in runs)


class ApiKeys(Mapping[str, str]):
    """API keys by the name of their environment variable. Its repr shows the names only."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = dict(keys)

    def __getitem__(self, name: str) -> str:
        return self._keys[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._keys)})"


class Secrets:
    """The secrets that a process has used, to remove from texts that may contain any of them, such as a traceback."""

    def __init__(self) -> None:
        self._met: set[str] = set()

    def add(self, secrets: Iterable[str]) -> None:
        """Remember secrets."""
        self._met.update(secrets)

    def redact(self, text: str) -> str:
        """`text` without the secrets."""
        return Redactor(self._met, remember=None).text(text)


SECRETS = Secrets()
"""Those of this process."""


class Redactor:
    """Replaces each secret by `[redacted]`, also where it is URL-encoded, escaped for JSON or HTML, or in base64.

    `remember` is where the secrets are kept for the last texts of the process.
    """

    def __init__(self, secrets: Iterable[str], remember: Secrets | None = SECRETS) -> None:
        real = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        if remember is not None:
            remember.add(real)
        forms = {form for secret in real for form in _forms(secret)}
        # The longest first: one form of a secret may contain another.
        self._texts = sorted(forms, key=len, reverse=True)
        self._bytes = [form.encode() for form in self._texts]
        # JSON may write any character as \\u00xx: a body that holds such escapes is searched for each character in either spelling.
        self._spelled = re.compile(b"|".join(map(_either_spelling, sorted(real, key=len, reverse=True)))) if real else None

    def text(self, text: str) -> str:
        """`text` without the secrets, nor the beginning of one where a sample was cut off."""
        for form in self._texts:
            if form in text:
                text = text.replace(form, MARK)
        if text.endswith(CUT):
            begun = self.begun(text[: -len(CUT)])
            if begun >= SHORTEST_SECRET:
                return text[: -begun - len(CUT)] + MARK + CUT
        return text

    def begun(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a secret."""
        longest = min(len(text), max(map(len, self._texts), default=1) - 1)
        return next((size for size in range(longest, 0, -1) if any(form.startswith(text[-size:]) for form in self._texts)), 0)

    def bytes(self, data: bytes) -> bytes:
        """`data` without the secrets; it stays as it was, and the same object, when there are none."""
        for form in self._bytes:
            if form in data:
                data = data.replace(form, MARK.encode())
        if self._spelled is not None and _ESCAPE in data:
            data = self._spelled.sub(MARK.encode(), data)
        return data


class RedactedStream:
    """A text that comes in pieces, without the secrets: what may be the beginning of one is kept back until the next piece."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pending = ""

    def feed(self, piece: str) -> str:
        """What can be shown after this piece."""
        text = self._redactor.text(self._pending + piece)
        shown = len(text) - self._redactor.begun(text)
        self._pending = text[shown:]
        return text[:shown]

    def close(self) -> str:
        """The rest."""
        rest, self._pending = self._pending, ""
        return rest


def sample(body: bytes, limit: int = 500) -> str:
    """The beginning of a body as one printable line of at most `limit` characters; of a page of HTML what it is, and its title."""
    text = without_pages(body[: 4 * limit + 4].decode("utf-8", "replace"))
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + CUT


def _either_spelling(secret: str) -> bytes:
    """A pattern for `secret` in JSON, each of its characters in any of the spellings that JSON has for it."""
    return b"".join(b"(?:" + b"|".join(_spellings(character)) + b")" for character in secret)


def _spellings(character: str) -> Iterator[bytes]:
    units = character.encode("utf-16-be")
    yield re.escape(character.encode())
    yield b"".join(rb"\\u(?i:%04x)" % int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    if character in '/"\\':
        yield re.escape(f"\\{character}".encode())


def _forms(secret: str) -> Iterator[str]:
    yield secret
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield encoded
        yield _PERCENT.sub(lambda match: match[0].lower(), encoded)
    yield html.escape(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield json.dumps(secret)[1:-1].replace("/", "\\/")
    yield from _base64_forms(secret.encode())


def _base64_forms(secret: bytes) -> Iterator[str]:
    # Base64 of a longer text that holds the secret (as in "Basic user:secret") shows it in one of three alignments;
    # the characters that also depend on its neighbours are excluded.
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret).rstrip(b"=")
        whole = encoded[(0, 2, 3)[offset] : (len(secret) + offset) * 8 // 6]
        yield whole.decode()
        yield whole.translate(bytes.maketrans(b"+/", b"-_")).decode()
