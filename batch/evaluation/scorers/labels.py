"""The label scorer: which class an answer names. Its figures (F1, MCC, confusion matrix) are made by figures/classification.py."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from batch.errors import SetupError
from batch.evaluation.scorers.answer_words import DENIALS, LINKS, NOUNS, words
from batch.evaluation.scorers.json_values import read_json
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer, scored, unscored
from batch.evaluation.scorers.texts import answer_text, as_text, expected_texts, folded, is_spaceless, normalised
from batch.evaluation.table import ScoreValue
from batch.prompts.bounded import LONGEST_S, BoundedPattern, OutOfTimeError

Labels = Sequence[str] | Mapping[str, Sequence[str]]

LONGEST = 80
"""Characters of a label, where none are listed: a longer answer is no label."""

_CUES = (
    "label|class|category|classification|sentiment|intent|topic|verdict|prediction|emotion|tag|type|Kategorie|Klasse|catégorie|categoría"
)
_LINKS = "|".join(map(re.escape, words(LINKS)))
_CUE = re.compile(
    rf"(?<!\w)(?i:{_CUES}|{'|'.join(map(re.escape, words(NOUNS)))})[^\n:：]{{0,40}}?(?:[:：=]|(?<!\w)(?i:{_LINKS})(?!\w))[\s*_\"'`(\[]*"
)
_NOT = rf"\bnot|n't|\bnever|\bneither|\bnor|\brather than|(?<!\w)(?:{'|'.join(words(DENIALS))})"
_DENIED = re.compile(rf"(?:\bnon-|(?:{_NOT})\s+)(?:(?:a|an|the)\s+)?[\"'*`]*$", re.IGNORECASE)


def label(*, labels: Labels = (), field: str | None = None, pattern: str | None = None, case_sensitive: bool = False) -> Scorer:
    """Score 1 when the answer names the expected label, or one of several.

    `labels` lists the labels, or is a table of each with its other names. An answer is its label alone, states it ("Category: spam"), or
    names one of them and no other; with `field`, it is JSON with the label under this name ("result.label"); with `pattern`, the label is
    what the last match captured. Without `labels`, the whole answer is the label, or what it states. An answer that names none, or several,
    is unscored.

    Raises:
        SetupError: the pattern cannot be read, or two labels have one name.
    """
    reader = LabelReader(labels=labels, field=field, pattern=pattern, case_sensitive=case_sensitive)

    def score(sample: Sample) -> ScoreValue:
        wanted = reader.expected(sample.expected)
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        found, reason = reader.read(text)
        if found is None:
            return unscored(reason)
        return scored(found in wanted, found, reason)

    return score


def reader_of(options: Mapping[str, Any]) -> LabelReader:
    """Make the reader of a score with these options. Raises SetupError."""
    return LabelReader(**{key: options[key] for key in ("labels", "field", "pattern", "case_sensitive") if key in options})


class LabelReader:
    """Reads labels from answers and right values in a common form: as listed, or normalised as `exact` does."""

    def __init__(self, *, labels: Labels = (), field: str | None = None, pattern: str | None = None, case_sensitive: bool = False) -> None:
        self._case_sensitive = case_sensitive
        self._field = field
        self._pattern = None if pattern is None else _compiled(pattern)
        others = labels if isinstance(labels, Mapping) else dict.fromkeys(labels, ())
        self._names: dict[str, str] = {}
        for name, synonyms in others.items():
            for each in (name, *synonyms):
                if self._names.setdefault(self._form(each), name) != name:
                    raise SetupError(f"a label scorer: {each!r} names two labels, {self._names[self._form(each)]} and {name}")
        # The longest first: of "not spam" and "spam", the alternation takes the first that matches.
        named = sorted((re.escape(name) for name in self._names), key=len, reverse=True)
        self._named = re.compile("|".join(map(_bounded, named))) if named else None

    def _form(self, text: str) -> str:
        return normalised(text, case_sensitive=self._case_sensitive)

    def expected(self, expected: Any) -> list[str]:
        """Return the right labels. Raises ExpectedError for one that is not listed."""
        found = [self._form(text) for text in expected_texts(expected)]
        if not self._names:
            return found
        unknown = [text for text in found if text not in self._names]
        if unknown:
            raise ExpectedError(f"the expected value {unknown[0][:60]!r} is none of the labels")
        return [self._names[text] for text in found]

    def read(self, text: str) -> tuple[str | None, str]:
        """Return the label that an answer names, and where it was found; or None and the reason."""
        if self._field is not None:
            return self._in_field(text, self._field)
        if self._pattern is not None:
            return self._caught(text, self._pattern)
        if not text.strip():
            return None, "empty answer"
        if (whole := self._known(text)) is not None:
            return whole, "the label alone"
        if not self._names:
            return self._stated_unlisted(text)
        plain = self._plain(text)
        stated = [found for cue in _CUE.finditer(plain) if (found := self._at(plain, cue.end())) is not None]
        if stated:
            return stated[-1], "stated"
        named = list(dict.fromkeys(self._named_in(plain)))
        if len(named) == 1:
            return named[0], "the only label"
        return None, f"ambiguous: {', '.join(named)}" if named else "no label is named"

    def _known(self, text: str) -> str | None:
        form = self._form(text)
        if self._names:
            return self._names.get(form)
        return form if form and len(form) <= LONGEST and "\n" not in text.strip() and not _CUE.match(folded(text).lstrip(" *_#")) else None

    def _plain(self, text: str) -> str:
        return folded(text) if self._case_sensitive else folded(text).casefold()

    def _at(self, text: str, start: int) -> str | None:
        match = self._named.match(text, start) if self._named is not None else None
        return None if match is None else self._names[self._form(match[0])]

    def _named_in(self, text: str) -> list[str]:
        matches = self._named.finditer(text) if self._named is not None else ()
        return [
            self._names[self._form(match[0])] for match in matches if not _DENIED.search(text[max(0, match.start() - 30) : match.start()])
        ]

    def _stated_unlisted(self, text: str) -> tuple[str | None, str]:
        plain = folded(text)
        stated = [plain[cue.end() :].partition("\n")[0] for cue in _CUE.finditer(plain)]
        found = self._form(stated[-1]) if stated else ""
        return (found, "stated") if 0 < len(found) <= LONGEST else (None, "no label is named; list them with labels")

    def _in_field(self, text: str, field: str) -> tuple[str | None, str]:
        try:
            value = read_json(text, embedded=True, fits=lambda found: _inside(found, field) is not None)
        except ValueError as error:
            return None, f"not JSON: {error}"
        found = _inside(value, field)
        if found is None or isinstance(found, dict | list):
            return None, f"the answer has no label under {field}"
        known = self._known(as_text(found))
        return (known, f"under {field}") if known is not None else (None, f"not a label: {as_text(found)[:60]}")

    def _caught(self, text: str, pattern: BoundedPattern) -> tuple[str | None, str]:
        try:
            matches = pattern.matches(text)
        except OutOfTimeError:
            return None, f"the pattern took longer than {LONGEST_S:g} s on this answer"
        if not matches:
            return None, "the pattern is not found"
        last = matches[-1]
        caught = next((group for group in last.groups() or (last[0],) if group is not None), "")
        known = self._known(caught)
        return (known, "by the pattern") if known is not None else (None, f"not a label: {caught[:60]}")


def _compiled(pattern: str) -> BoundedPattern:
    try:
        return BoundedPattern(pattern)
    except ValueError as error:
        raise SetupError(f"a label scorer: {error}") from error


def _bounded(name: str) -> str:
    """Make a pattern for a name that is not part of a longer word; scripts without spaces have no word ends to check."""
    before = "" if is_spaceless(name[:1]) else r"(?<!\w)"
    after = "" if is_spaceless(name[-1:]) else r"(?!\w)"
    return f"{before}{name}{after}"


def _inside(value: Any, field: str) -> Any:
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
