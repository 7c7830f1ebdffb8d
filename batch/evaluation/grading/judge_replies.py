"""Read a judge's reply. It should be JSON, but other forms are read too. A reply without a clear verdict is unscored, never 0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from batch.evaluation.grading.judge_chats import DEFAULT_SCALE
from batch.evaluation.scorers.sample import Sample, scored, shown, unscored
from batch.evaluation.scorers.texts import answer_text
from batch.evaluation.table import ScoreValue

Preference = Literal["first", "second", "tie"]

LONGEST_REASON = 1000
# A verdict stands at the end; more than this is not searched for one.
_SEARCHED = 20_000
_DECODER = json.JSONDecoder()
_NUMBER = r"(?P<value>-?\d+(?:\.\d+)?)(?:\s*(?:/|out\s+of)\s*(?P<of>\d+))?"
_RATING = re.compile(rf"\brating\b[^\w-]{{0,6}}{_NUMBER}(?P<rest>[^\n]*)", re.IGNORECASE)
_BARE = re.compile(rf"[^\w-]*{_NUMBER}(?P<rest>)\W*", re.IGNORECASE)
_SECOND_VALUE = re.compile(r"^\W*(?:or|to|and|[-–/])\W*\d", re.IGNORECASE)
_VERDICT = re.compile(r"\bverdict\b\W{0,6}(?P<verdict>A|B|tie|equal|both|neither)\b(?P<rest>[^\n]*)", re.IGNORECASE)
_BARE_VERDICT = re.compile(r"\W*(?:answer\s+)?(?P<verdict>A|B|tie)(?P<rest>)\W*", re.IGNORECASE)
_SECOND_VERDICT = re.compile(r"^\W*(?:or|and|/)\W*(?:A|B|tie)\b", re.IGNORECASE)


def read_rating(text: str | None, scale: Mapping[int, str] | None = None) -> ScoreValue:
    """Read a rating as a score from 0 (lowest step) to 1 (highest), with the judge's reasons; unscored when no rating is clear."""
    said = answer_text(Sample(text))
    if isinstance(said, ScoreValue):
        return unscored("the judge gave no rating", text)
    found = _object_with("rating", said)
    stated, reasons = (str(found["rating"]), _text(found.get("reasons"))) if found else (said, None)
    match = _last(_RATING, _BARE, stated)
    if match is None:
        return unscored("the judge gave no rating", said)
    steps = scale or DEFAULT_SCALE
    low, high = min(steps), max(steps)
    value = float(match["value"])
    if _SECOND_VALUE.match(match["rest"]) or (match["of"] is not None and int(match["of"]) != high):
        return unscored("the judge's rating is not clear", match[0].strip())
    if not low <= value <= high:
        return unscored(f"the judge's rating is not from {low} to {high}", match[0].strip())
    shown_as = f"{value:g}" if found else match[0].strip()
    return scored((value - low) / (high - low), shown_as, _shortened(reasons or _before(stated, match)) or "rated without reasons")


def read_ratings(text: str | None, criteria: Iterable[str], scale: Mapping[int, str] | None = None) -> tuple[ScoreValue, dict[str, float]]:
    """Read the mean of all ratings, and each criterion's, as scores from 0 to 1; unscored when one is missing or unclear."""
    said = answer_text(Sample(text))
    found = None if isinstance(said, ScoreValue) else _object_with("ratings", said)
    given = found["ratings"] if found else None
    if found is None or not isinstance(given, dict):
        return unscored("the judge gave no ratings", text), {}
    each = {name: read_rating(str(given.get(name)), scale) for name in criteria}
    unclear = [name for name, score in each.items() if score.value is None]
    if unclear:
        return unscored(f"the judge gave no clear rating of {', '.join(unclear)}", json.dumps(given)), {}
    scores = {name: score.value for name, score in each.items() if score.value is not None}
    shown_as = ", ".join(f"{name} {score.extracted}" for name, score in each.items())
    reasons = _shortened(_text(found.get("reasons")) or "") or "rated without reasons"
    return scored(sum(scores.values()) / len(scores), shown_as, reasons), scores


def read_preference(text: str | None) -> tuple[Preference | None, str]:
    """Read which of two answers the judge prefers, in the order in which it saw them, with its reasons; None when that is unclear."""
    said = answer_text(Sample(text))
    if isinstance(said, ScoreValue):
        return None, ""
    found = _object_with("verdict", said)
    stated, reasons = (str(found["verdict"]), _text(found.get("reasons"))) if found else (said, None)
    match = _last(_VERDICT, _BARE_VERDICT, stated)
    if match is None or _SECOND_VERDICT.match(match["rest"]):
        return None, _shortened(reasons or "")
    known: Mapping[str, Preference] = {"a": "first", "b": "second"}
    return known.get(match["verdict"].lower(), "tie"), _shortened(reasons or _before(stated, match))


def nearest_step(value: float, scale: Mapping[int, str] | None = None) -> int:
    """Return the step of the scale nearest to a score from 0 to 1."""
    steps = sorted(scale or DEFAULT_SCALE)
    rating = steps[0] + value * (steps[-1] - steps[0])
    return min(steps, key=lambda step: round(abs(step - rating), 9))


def _object_with(key: str, text: str) -> dict[str, Any] | None:
    """Return the last JSON object in `text` that has `key`."""
    searched = text[-_SEARCHED:]
    for brace in reversed(list(re.finditer(r"\{", searched))):
        try:
            value, _ = _DECODER.raw_decode(searched, brace.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and key in value:
            return value
    return None


def _last(stated: re.Pattern[str], alone: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Return the last verdict stated in words, or the whole text when it is a bare value."""
    return max(stated.finditer(text), key=re.Match.start, default=None) or alone.fullmatch(text)


def _before(text: str, match: re.Match[str]) -> str:
    return " ".join(text[: match.start()].split()).rstrip("*# ")


def _text(value: Any) -> str | None:
    return " ".join(value.split()) if isinstance(value, str) else None


def _shortened(text: str) -> str:
    return shown(text, LONGEST_REASON) or ""
