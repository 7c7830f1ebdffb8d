"""The number scorer: find the number that an answer gives, and compare it with the expected one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from batch.errors import SetupError
from batch.evaluation.scorers.number_statements import Given, given_number
from batch.evaluation.scorers.number_syntax import Decimal, Number, one_number, plain_signs
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer, scored, unscored
from batch.evaluation.scorers.texts import answer_text, expected_texts
from batch.evaluation.table import ScoreValue
from batch.prompts.bounded import LONGEST_S, BoundedPattern, OutOfTimeError

# What a decimal fraction may differ by when no tolerance is given: the noise of binary floats.
_FLOAT_NOISE = Fraction(1, 10**9)


def number(
    *,
    tolerance: float = 0,
    relative: float = 0,
    percent: Literal["lenient", "strict"] = "lenient",
    decimal: Decimal = "auto",
    which: Literal["last", "first", "only"] = "last",
    pattern: str | None = None,
) -> Scorer:
    r"""Score 1 when the answer's number is within `tolerance` or `relative` × expected of the expected one, whichever is larger.

    The number is the one in \boxed{}, after "####" or after "the answer is"; else the last, the first or the only one. Numbers that the
    answer denies ("not 5") are skipped. With `pattern`, only the text of its last match is read. Units and currencies are not compared.
    Where percent is lenient, "60%" is 60 and 0.6, and "3 million" is 3 and 3,000,000; where it is strict, only the latter. Numbers in words
    are not read: such an answer is unscored, as is a \boxed{} that is no plain number.

    Raises:
        SetupError: the pattern cannot be read.
    """
    limits = Fraction(str(tolerance)), Fraction(str(relative))
    cut_out = None if pattern is None else _cutter(pattern)

    def score(sample: Sample) -> ScoreValue:
        values = sample.expected if isinstance(sample.expected, list | tuple) else [sample.expected]
        wanted = [_expected(value, decimal) for value in values]
        if not wanted or None in wanted:
            raise ExpectedError(f"the expected value is not a number: {', '.join(expected_texts(sample.expected))[:60]}")
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        given = given_number(text, decimal, which) if cut_out is None else _given_in(text, cut_out, decimal, which)
        found = given.number
        if found is None:
            return unscored(given.reason, given.shown)
        if sample.truncated and given.at_end:
            return unscored("the answer was cut off at its number", found.text)
        right = any(_equal(found, each, limits, lenient=percent == "lenient") for each in wanted if each is not None)
        return scored(right, found.text, given.reason if right else f"not {' or '.join(each.text for each in wanted if each)}")

    return score


def _cutter(pattern: str) -> BoundedPattern:
    try:
        return BoundedPattern(pattern)
    except ValueError as error:
        raise SetupError(f"a number scorer: {error}") from error


def _given_in(text: str, pattern: BoundedPattern, decimal: Decimal, which: str) -> Given:
    """Return the number in the last match of a pattern."""
    try:
        matches = pattern.matches(text)
    except OutOfTimeError:
        return Given(None, f"the pattern took longer than {LONGEST_S:g} s on this answer")
    if not matches:
        return Given(None, "the pattern is not found")
    last = matches[-1]
    caught = next((group for group in last.groups() or (last[0],) if group is not None), None)
    if caught is None:
        return Given(None, "the pattern caught nothing")
    found = given_number(caught, decimal, which)
    return Given(found.number, found.reason, found.shown or caught, at_end=found.at_end and last.end() >= len(text.rstrip()))


def _expected(value: Any, decimal: Decimal) -> Number | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return Number(Fraction(str(value)), 0, 0, str(value))
        except ValueError:  # nan and infinities
            return None
    # GSM8K's right values are worked solutions, whose answer stands after "####".
    return one_number(plain_signs(str(value)).rpartition("####")[2], decimal)


def _equal(found: Number, wanted: Number, limits: tuple[Fraction, Fraction], *, lenient: bool) -> bool:
    tolerance, relative = limits
    noise = Fraction(0) if found.whole and wanted.whole else _FLOAT_NOISE
    pairs = [(found.meant, wanted.meant)]
    if lenient and found.bare != wanted.bare:
        pairs.append((found.value, wanted.value))
    return any(a == b or abs(a - b) <= max(tolerance, relative * abs(b), noise * abs(b)) for a, b in pairs)
