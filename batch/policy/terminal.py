"""Makes foreign text safe for a terminal: what an endpoint, a file or a library wrote is shown, and never controls the terminal.

Used by the command line's single output (cli/console.py) and by the progress display (progress.py).
"""

from __future__ import annotations

import re

from batch.policy.redaction import MARK

# Control characters of C0 and C1 (ECMA-48: cursor, title, clipboard by OSC 52), marks that reorder text (Unicode 9, UAX #9), line and
# paragraph separators, and the noncharacters by which the console marks its own styles.
_CONTROLS = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)] if chr(code) not in "\n\t"}
_MARKS = [0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_STYLES = range(0xFDD0, 0xFDD8)
_VISIBLE = _CONTROLS | {code: f"\\u{code:04x}" for code in _MARKS}
_FOREIGN = _VISIBLE | {code: f"\\u{code:04x}" for code in _STYLES}
# Begins at a break, not at space before it: on a text of only spaces that would take quadratic time.
_BREAKS = re.compile(r"[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]\s*")

_URL = re.compile(
    r"(?P<origin>https?://)(?P<user>[^\s/@'\"<>]*@)?(?P<host>[^\s/?#'\"<>]+)(?P<path>[^\s?#'\"<>]*)(?P<query>\?[^\s#'\"<>]*)?"
)
SHORTEST_SECRET_SEGMENT = 12


def visible(text: str) -> str:
    """Replace control characters and marks that reorder text by hexadecimal escapes; line breaks and tabs stay."""
    return text.replace("\r\n", "\n").translate(_FOREIGN)


def visible_but_styles(text: str) -> str:
    """Do the same, but keep the marks of the console's own styles."""
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def one_line(text: str) -> str:
    """Make `text` visible on one line: a line break in it would begin a line that looks like the program's own."""
    return visible(_BREAKS.sub(" ", text))


def without_url_secrets(text: str) -> str:
    """Hide what may be a secret in the URLs in `text`: user and password, query values, path segments that look like tokens."""
    return _URL.sub(_hide, text) if "://" in text else text


def _hide(found: re.Match[str]) -> str:
    user = f"{MARK}@" if found["user"] else ""
    path = "/".join(MARK if _looks_secret(segment) else segment for segment in found["path"].split("/"))
    query = re.sub(r"=[^&]+", f"={MARK}", found["query"] or "")
    return f"{found['origin']}{user}{found['host']}{path}{query}"


def _looks_secret(segment: str) -> bool:
    """Return whether a segment mixes letters and digits, has 12 or more of them, and is no file name."""
    plain = segment.rstrip(".,;:)]}")
    if len(plain) < SHORTEST_SECRET_SEGMENT or re.search(r"\.[A-Za-z]{2,8}\d?$", plain):
        return False
    return any(map(str.isdigit, plain)) and any(map(str.isalpha, plain))
