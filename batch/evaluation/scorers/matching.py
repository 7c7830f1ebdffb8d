"""Scorers that look for a text: exact, contains, regex."""

from __future__ import annotations

from typing import Literal

from batch.errors import SetupError
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer, scored, shown, unscored
from batch.evaluation.scorers.texts import answer_text, expected_texts, is_spaceless, normalised, squad_tokens
from batch.evaluation.table import ScoreValue
from batch.prompts.bounded import LONGEST_S, BoundedPattern, OutOfTimeError


def exact(*, case_sensitive: bool = False, punctuation: bool = False, articles: bool = True, squad: bool = False) -> Scorer:
    """Score 1 when the whole answer is the expected text, or one of them.

    Unicode forms and spaces never count. Case, punctuation around the text and, with `articles` false, English articles are ignored.
    With `squad`, texts are compared as SQuAD's exact match does: without case, articles and any ASCII punctuation (evaluate-v1.1.py).
    """

    def form(text: str) -> str:
        if squad:
            return " ".join(squad_tokens(text))
        return normalised(text, case_sensitive=case_sensitive, punctuation=punctuation, articles=articles)

    def score(sample: Sample) -> ScoreValue:
        wanted = expected_texts(sample.expected)
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        found = form(text)
        if any(found == form(each) for each in wanted):
            return scored(1, found, "equal")
        return scored(0, found, "empty answer" if not text.strip() else f"not {_listed(wanted)}")

    return score


def contains(*, case_sensitive: bool = False, whole_words: bool = True, need: Literal["any", "all"] = "any") -> Scorer:
    """Score 1 when the answer contains the expected text; of several, any or all of them.

    With `whole_words`, "art" is not in "party" and "5" is neither in "15" nor in "5.2". What is said about the text ("not Paris")
    is not understood.
    """

    def score(sample: Sample) -> ScoreValue:
        wanted = [each for each in expected_texts(sample.expected) if each.strip()]
        if not wanted:
            raise ExpectedError("the expected value is empty")
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        hay = normalised(text, case_sensitive=case_sensitive, punctuation=True)
        found = [each for each in wanted if _stands_in(normalised(each, case_sensitive=case_sensitive), hay, whole_words=whole_words)]
        missing = [each for each in wanted if each not in found]
        if found and (need == "any" or not missing):
            return scored(1, ", ".join(found), "found")
        return scored(0, ", ".join(found) or None, f"without {_listed(missing)}")

    return score


def regex(*, pattern: str, ignore_case: bool = False, which: Literal["first", "last"] = "last") -> Scorer:
    """Score 1 when `pattern` (the syntax of Python's `re`) matches; with an expected value, when the captured text is that value.

    The captured text is the first group that took part in the match, or all of it without groups; it is compared as `exact` does. With
    an expected value, an answer without a match is unscored. So is one whose search takes longer than `LONGEST_S`.

    Raises:
        SetupError: the pattern cannot be read.
    """
    try:
        compiled = BoundedPattern(pattern, ignore_case=ignore_case)
    except ValueError as error:
        raise SetupError(f"a regex scorer: {error}") from error

    def score(sample: Sample) -> ScoreValue:
        wanted = None if sample.expected is None else expected_texts(sample.expected)
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        try:
            matches = compiled.matches(text)
        except OutOfTimeError:
            return unscored(f"the pattern took longer than {LONGEST_S:g} s on this answer")
        chosen = matches[0 if which == "first" else -1] if matches else None
        groups = () if chosen is None else chosen.groups() or (chosen[0],)
        found = next((group for group in groups if group is not None), None)
        if wanted is None:
            return scored(1, found, "found") if chosen else scored(0, None, "the pattern is not found")
        if found is None:
            return unscored("the pattern is not found")
        right = normalised(found) in map(normalised, wanted)
        return scored(right, found, "equal" if right else f"not {_listed(wanted)}")

    return score


def _stands_in(needle: str, hay: str, *, whole_words: bool) -> bool:
    start = hay.find(needle)
    while start >= 0:
        end = start + len(needle)
        # Two characters on each side: a point or comma joins numbers only where a digit follows it.
        before, after = hay[max(0, start - 2) : start][::-1], hay[end : end + 2]
        if not whole_words or not (_continues(before, needle[:1]) or _continues(after, needle[-1:])):
            return True
        start = hay.find(needle, start + 1)
    return False


def _continues(beside: str, edge: str) -> bool:
    """Whether the word or number that has `edge` at its end continues in `beside` (its nearest character first)."""
    if not beside or not edge.isalnum() or is_spaceless(edge):
        return False
    if edge.isdigit() and beside[0] in ".," and beside[1:2].isdigit():
        return True
    return beside[0].isalnum() and not is_spaceless(beside[0])


def _listed(texts: list[str]) -> str:
    return " or ".join(repr(shown(text, 40)) for text in texts[:3]) + (" …" if len(texts) > 3 else "")
