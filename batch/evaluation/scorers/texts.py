"""Make texts comparable: Unicode forms, case, space, surrounding punctuation, articles, and thinking, which is not part of an answer."""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from batch.evaluation.scorers.sample import ExpectedError, Sample, unscored
from batch.evaluation.scorers.thinking import UnendedThinkingError, without_thinking
from batch.evaluation.table import ScoreValue

_QUOTES = str.maketrans(
    {
        "’": "'",
        "‘": "'",
        "‚": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "\u00ad": "",
        "\u200b": "",
        "\u200e": "",
        "\u200f": "",
        "\u2060": "",
        "\ufeff": "",
    }
)
# Only the look of a character may be folded: "10²" must not become "102", nor "½" become "1/2" with another slash.
_FOLDED = ("<wide>", "<narrow>", "<noBreak>", "<compat>")
# Not among them: - + % # $ & /, which change what is said (-5, 5%, C#, $5).
_AROUND = " \t\r\n.,;:!?\"'*_`~()[]{}<>«»‹›¿¡。、！？；：「」『』（）…"
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_SQUAD_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")


def answer_text(sample: Sample) -> str | ScoreValue:
    """Return the text to grade, without the thinking before it; or an unscored value that gives the reason."""
    if sample.text is None:
        return unscored("tool calls only, no text" if sample.tool_calls else "the answer has no text")
    try:
        return without_thinking(sample.text, sample.thinking)
    except UnendedThinkingError:
        return unscored("the answer ends within its thinking")


def expected_texts(expected: Any) -> list[str]:
    """Return the right values as texts: one, or one per list item. Raises ExpectedError when there is none."""
    values = expected if isinstance(expected, list | tuple) else [expected]
    texts = [as_text(value) for value in values if value is not None]
    if not texts:
        raise ExpectedError("the row has no expected value")
    return texts


def as_text(value: Any) -> str:
    """Format a column's value as an answer would: 3.0 as 3, True as true, tables as JSON."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case int() | float() | Decimal():
            return str(value)
        case Mapping() | list() | tuple():
            return json.dumps(value, ensure_ascii=False, default=str)
        case _:
            return str(value)


def normalised(text: str, *, case_sensitive: bool = False, punctuation: bool = False, articles: bool = True) -> str:
    """Bring `text` into one Unicode form with single spaces, and remove what is to be ignored.

    Ignored are case (unless `case_sensitive`), surrounding punctuation (unless `punctuation`) and English articles (unless `articles`).
    A text of nothing but punctuation or articles stays as it is.
    """
    text = folded(text)
    text = " ".join((text if case_sensitive else text.casefold()).split())
    if not punctuation:
        text = _without_punctuation_around(text)
    if not articles:
        text = " ".join(_ARTICLES.sub(" ", text).split()) or text
    return text


def folded(text: str) -> str:
    """Convert `text` to Unicode form C, with plain quotes, letters and signs for typographic, full-width, joined and invisible ones."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text).translate(_QUOTES)
    if text.isascii():
        return text
    return "".join(_plain(sign) for sign in text)


def _plain(sign: str) -> str:
    return unicodedata.normalize("NFKC", sign) if unicodedata.decomposition(sign).startswith(_FOLDED) else sign


def _without_punctuation_around(text: str) -> str:
    inner = text.rstrip(_AROUND)
    start = len(inner) - len(inner.lstrip(_AROUND))
    # The point of ".5" is part of the number.
    if start and inner[start - 1] == "." and inner[start : start + 1].isdigit():
        start -= 1
    return inner[start:] or text


def squad_tokens(text: str) -> list[str]:
    """Split into words as SQuAD's evaluation does: lower case, no ASCII punctuation, no articles (evaluate-v1.1.py, `normalize_answer`).

    Beyond SQuAD: typographic forms are folded, and signs of scripts without spaces are words of their own.
    """
    plain = _SQUAD_PUNCTUATION.sub("", folded(text).lower())
    return words_apart(_ARTICLES.sub(" ", plain)).split()


def words_apart(text: str) -> str:
    """Put spaces around each character of a script that writes none (Chinese, Japanese, Thai …)."""
    return text if text.isascii() else "".join(f" {sign} " if is_spaceless(sign) else sign for sign in text)


def is_spaceless(sign: str) -> bool:
    """Whether a sign belongs to a script that puts no spaces between words."""
    code = ord(sign)
    return 0x0E00 <= code <= 0x0EFF or 0x1000 <= code <= 0x109F or 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or code >= 0x20000
