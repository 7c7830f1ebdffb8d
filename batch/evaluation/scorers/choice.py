"""The choice scorer: find which lettered option an answer takes, also when it says so in prose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from batch.evaluation.scorers.choice_patterns import Patterns, patterns_of
from batch.evaluation.scorers.option_letters import Letters, letters_named, letters_of, other_readings
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer, scored, unscored
from batch.evaluation.scorers.texts import answer_text, as_text, expected_texts, normalised
from batch.evaluation.table import ScoreValue

_LABEL_GROUPS = ("closed", "plain", "joined", "article", "elsewhere")
_NONE = "no option is named"


def choice(*, labels: str | None = None, options: str | None = None, need: Literal["any", "all"] = "any") -> Scorer:
    """Score 1 when the answer takes the expected option: its letter or, with `options`, its text or its number from 0.

    `options` names the column with the options' texts: a list, or a table by label. Without `labels`, the options have the letters of
    that table, or of the alphabet that the right value is of; otherwise A to J. An answer that states several options without
    settling on one, or none, is unscored; of several clear statements ("the answer is …") the last counts.
    Of several right options, any one is right; with `need` "all", the answer must take all of them ("A and C", "AC") and no other one.
    """
    given = None if labels is None else letters_named(labels)

    def score(sample: Sample) -> ScoreValue:
        listed = sample.columns.get(options) if options else None
        letters = given or _letters(sample.expected, listed)
        texts = _options(listed, labels or letters.labels)
        if need == "all":
            wanted = _labels_of(sample.expected, letters, texts)
        else:
            wanted = [label for each in expected_texts(sample.expected) if (label := _label_of(each, letters, texts))]
        if not wanted:
            numbered = ' (for numbered options, write labels = "1234")' if given is None and str(sample.expected).isdecimal() else ""
            raise ExpectedError(f"the expected value is none of {', '.join(texts or letters.labels)}{numbered}")
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        if need == "all":
            taken = _all_taken(text, letters)
            return scored(taken == sorted(wanted), "".join(taken), "the letters that it states") if taken else unscored(_NONE)
        found, reason = _taken(text, letters, texts)
        if found is None:
            return unscored(reason)
        return scored(found in wanted, found, reason)

    return score


def _letters(expected: Any, listed: Any) -> Letters:
    """Return the letters of a row's options: those of the table of options, or of the alphabet of the right values."""
    if isinstance(listed, Mapping):
        return letters_of([str(label) for label in listed], digits=True)
    values = [as_text(value) for value in (expected if isinstance(expected, list | tuple) else [expected]) if value is not None]
    letters = letters_of(values)
    if len(values) == 1 and letters.label_of(values[0]) is None:
        # "А, В" and "ㄱㄷ": several right letters in one text.
        letters = letters_of([sign for sign in values[0] if sign.isalnum()])
    return letters


def _taken(text: str, letters: Letters, texts: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the label that an answer takes and the words that say so; or None and the reason.

    Where it has none of the letters, a letter of another alphabet counts for that of the same place, as when an Arabic answer says ب
    for B.
    """
    found, reason = _chosen(letters.plain(text), letters, texts)
    if found is not None or reason != _NONE:
        return found, reason
    for other in other_readings(letters, text):
        plain = other.plain(text)
        said, how = _chosen(plain, other, {})
        place = None if said is None else other.labels.index(said)
        if said is None or place is None or place >= len(letters.labels):
            continue
        if (
            said in other.alphabet.twofold
            and said in text
            and not any(other.label(sign) in other.alphabet.clear for sign in _stand_ins(plain, other))
        ):
            return None, f"ambiguous: {said} looks like a letter of two alphabets"
        return letters.labels[place], f"{how}, in another alphabet"
    return found, reason


def _stand_ins(plain: str, letters: Letters) -> list[str]:
    return patterns_of(letters).bare.findall(plain)


def _chosen(text: str, letters: Letters, texts: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the label that an answer, with stand-ins in it, takes and the words that say so; or None and the reason."""
    patterns = patterns_of(letters)
    if only := patterns.only.fullmatch(text):
        return letters.label(only[1]), "the letter alone"
    if (declared := _declared(text, patterns)) is not None:
        return _labelled(*declared, letters)
    whole = normalised(text)
    if texts and (same := [label for label, each in texts.items() if normalised(each) == whole]):
        return (same[0], "the option's text") if len(same) == 1 else (None, "several options have this text")
    for pattern, reason in (
        (patterns.line, "the letter before the text"),
        (patterns.marked, "a marked letter"),
        (patterns.bare, "the only letter"),
        (patterns.small_line, "the letter before the text"),
        (patterns.small_marked, "a marked letter"),
    ):
        if found := _found(pattern, text, patterns):
            return _labelled(found, reason, letters)
    named = [label for label, each in texts.items() if each and re.search(rf"(?<!\w){re.escape(normalised(each))}(?!\w)", whole)]
    if len(named) == 1:
        return named[0], "the option's text"
    return None, f"ambiguous: the texts of {', '.join(named)}" if named else _NONE if text.strip() else "empty answer"


def _labelled(found: Sequence[str], reason: str, letters: Letters) -> tuple[str | None, str]:
    """Return the label of the only stand-in, or None and that there are several."""
    labels = [letters.label(sign) for sign in found]
    return (labels[0], reason) if len(labels) == 1 else (None, f"ambiguous: {', '.join(labels)}")


def _declared(text: str, patterns: Patterns) -> tuple[list[str], str] | None:
    """Return the stand-in of the last clear statement; two when it names two labels; None when there is no statement."""
    last: tuple[list[str], str] | None = None
    found = [*patterns.declared.finditer(text), *patterns.confirmed.finditer(text)]
    for match in sorted(found, key=re.Match.end):
        groups = match.groupdict()
        sign = next(caught for name in _LABEL_GROUPS if (caught := groups.get(name))).upper()
        start, end = next(match.span(name) for name in _LABEL_GROUPS if groups.get(name))
        before = text[max(0, match.start() - 40) : match.start()]
        denied = patterns.denied_before.search(before) or re.search(r"\b(?:can)?not\b|n't", groups.get("between") or "")
        if denied or _denied(start, end, text, patterns):
            continue
        other = patterns.listed.match(text, end)
        last = ([sign, other[1]], "") if other and other[1] != sign else ([sign], "stated")
    return last


def _found(pattern: re.Pattern[str], text: str, patterns: Patterns) -> list[str]:
    """Return the stand-ins that `pattern` finds, each once, except articles, pronouns, and labels that the answer denies."""
    found: dict[str, None] = {}
    for match in pattern.finditer(text):
        if match[1].upper() in found:
            continue
        start, end = match.span(1)
        is_word = match[1] in patterns.words and patterns.word_follows.match(text, end) and not patterns.joint.match(text, end)
        if pattern is patterns.bare and is_word and not re.search(r"(?i:option|choice|answer|вариант)\s$", text[max(0, start - 9) : start]):
            continue
        if not _denied(start, end, text, patterns):
            found[match[1].upper()] = None
    return list(found)


def _denied(start: int, end: int, text: str, patterns: Patterns) -> bool:
    before = text[max(0, start - 40) : start]
    before = before[: found.start()] if (found := patterns.list_before.search(before)) else before
    rest = patterns.rest_of_list.match(text, end)
    ends = {end, rest.end() if rest else end}
    return patterns.denied_before.search(before) is not None or any(patterns.denied_after.match(text, each) for each in ends)


def _options(value: Any, labels: str) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(label).strip().upper(): as_text(text) for label, text in value.items() if text is not None}
    items: Iterable[Any] = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return {label.upper(): as_text(text) for label, text in zip(labels, items, strict=False)}


def _labels_of(expected: Any, letters: Letters, texts: Mapping[str, str]) -> list[str]:
    """Return the labels that an expected value means, each once: of a list, of "A, C" or of "AC"."""
    values = expected_texts(expected)
    if len(values) == 1 and _label_of(values[0], letters, texts) is None:
        signs = [sign for sign in values[0] if sign.isalnum()]
        values = signs if all(letters.label_of(sign) for sign in signs) else values
    found = [_label_of(each, letters, texts) for each in values]
    return [] if None in found else list(dict.fromkeys(label for label in found if label))


def _all_taken(text: str, letters: Letters) -> list[str]:
    """Return the labels that an answer takes, sorted; letters of another alphabet count for those of the same place."""
    if taken := _all_chosen(letters.plain(text, runs=True), letters):
        return taken
    for other in other_readings(letters, text):
        said = _all_chosen(other.plain(text, runs=True), other)
        places = [other.labels.index(label) for label in said]
        if places and max(places) < len(letters.labels) and not any(label in other.alphabet.twofold for label in said):
            return sorted(letters.labels[place] for place in places)
    return []


def _all_chosen(text: str, letters: Letters) -> list[str]:
    """Return the labels that an answer takes, sorted: those of its last statement, or of the whole answer without one."""
    patterns = patterns_of(letters)
    denied = patterns.denied_before
    runs = [match["run"] for match in patterns.declared_all.finditer(text) if not denied.search(text[: match.start()][-40:])]
    bare = text.strip(" \t\r\n.*_()[]")
    if runs or patterns.several.fullmatch(bare):
        return sorted({letters.label(sign) for sign in (runs[-1] if runs else bare) if sign in patterns.labels})
    confirmed = {match["closed"] or match["elsewhere"] for match in patterns.confirmed.finditer(text)}
    return sorted({letters.label(sign) for sign in confirmed or _found(patterns.bare, text, patterns)})


def _label_of(expected: str, letters: Letters, texts: Mapping[str, str]) -> str | None:
    """Return the label that an expected value means: it may be a label, an option's number from 0, or an option's text."""
    known = list(texts) or list(letters.labels)
    if (label := letters.label_of(expected)) in known:
        return label
    bare = normalised(expected).upper()
    if bare in known:
        return bare
    same = [label for label, text in texts.items() if normalised(text) == normalised(expected)]
    if len(same) == 1:
        return same[0]
    return known[int(bare)] if texts and bare.isdecimal() and int(bare) < len(known) else None
