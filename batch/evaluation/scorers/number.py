"""The number scorer: which number an answer gives, and whether it is the expected one."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, Literal

from batch.evaluation.scorers.number_syntax import Decimal, Number, numbers, one_number, plain_latex
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer, scored, unscored
from batch.evaluation.scorers.texts import answer_text, expected_texts
from batch.evaluation.table import ScoreValue

# What a decimal fraction may differ by when no tolerance is given: the noise of binary floats.
_FLOAT_NOISE = Fraction(1, 10**9)

# How many statements are looked through, from the last one: a text that only repeats "the answer is" must not take long.
_STATEMENTS = 20

_BOXED = re.compile(r"\\boxed\s*\{")
_DECLARED = re.compile(
    r"####|\b(?i:(?:final\s+)?(?:answer|result|total|solution))\b[^\n]{0,60}?(?::|=|\b(?i:is|are|was|equals|would\s+be|should\s+be|will\s+be)\b)"
)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s+[A-Z]|\s*$)")
_DENIED = re.compile(
    r"(?:\bnot|n't|n’t|\brather\s+than|\binstead\s+of|\bnever)\s+(?:exactly\s+|just\s+|only\s+)?[$€£*\"'(]*$", re.IGNORECASE
)


def number(
    *,
    tolerance: float = 0,
    relative: float = 0,
    percent: Literal["lenient", "strict"] = "lenient",
    decimal: Decimal = "auto",
    which: Literal["last", "first", "only"] = "last",
) -> Scorer:
    r"""1 when the answer's number is the expected one, within `tolerance` or `relative` × expected, whichever is more.

    The number is the one after "####", in \boxed{} or after "the answer is"; else the last, the first or the only one. Numbers that the
    answer denies ("not 5") are passed over. Units and currencies are not compared. Where percent is lenient, "60%" is 60 and 0.6, and
    "3 million" is 3 and 3,000,000; where it is strict, only the latter. Numbers in words are not read: such an answer is unscored.
    """
    limits = Fraction(str(tolerance)), Fraction(str(relative))

    def score(sample: Sample) -> ScoreValue:
        wanted = [
            _expected(value, decimal) for value in (sample.expected if isinstance(sample.expected, list | tuple) else [sample.expected])
        ]
        if not wanted or None in wanted:
            raise ExpectedError(f"the expected value is not a number: {', '.join(expected_texts(sample.expected))[:60]}")
        text = answer_text(sample)
        if isinstance(text, ScoreValue):
            return text
        plain = plain_latex(text)
        found, reason = _given(plain, decimal, which)
        if found is None:
            return unscored(reason)
        if sample.truncated and found.end >= len(plain.rstrip()):
            return unscored("the answer was cut off at its number", found.text)
        right = any(_equal(found, each, limits, lenient=percent == "lenient") for each in wanted if each is not None)
        return scored(right, found.text, reason if right else f"not {' or '.join(each.text for each in wanted if each)}")

    return score


def _expected(value: Any, decimal: Decimal) -> Number | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return Number(Fraction(str(value)), 0, 0, str(value))
        except ValueError:  # nan and infinities
            return None
    return one_number(str(value), decimal)


def _given(text: str, decimal: Decimal, which: str) -> tuple[Number | None, str]:
    """The number that the answer gives, and how it is known; or None, and why."""
    stated = _stated(text, decimal)
    if stated is not None:
        return stated, "stated"
    every = list(numbers(text, decimal))
    found = [each for each in every if not _DENIED.search(text[max(0, each.start - 30) : each.start])]
    if not found:
        return None, "only numbers that it denies" if every else "no number in the answer" if text.strip() else "empty answer"
    if len(found) == 1:
        return found[0], "the only number"
    if which == "only":
        return None, f"ambiguous: {len(found)} numbers"
    return (found[-1], "the last number") if which == "last" else (found[0], "the first number")


def _stated(text: str, decimal: Decimal) -> Number | None:
    r"""The number of the last statement such as "the answer is", "####" or \boxed{}."""
    statements = [*_BOXED.finditer(text)] or [*_DECLARED.finditer(text)]
    for match in statements[: -1 - _STATEMENTS : -1]:
        start = match.end()
        if match[0].startswith("\\boxed"):
            end = _closing(text, start)
        else:
            start += len(text[start:]) - len(text[start:].lstrip())
            stop = _SENTENCE_END.search(text, start)
            end = stop.start() if stop else len(text)
        said = text[start:end]
        # "The answer is 5 + 3 = 8": what follows the last sign of equality.
        found = [each for each in numbers(said, decimal) if not _DENIED.search(said[max(0, each.start - 30) : each.start])]
        after = said.rfind("=")
        chosen = next((each for each in found if each.start > after), found[0] if found else None)
        if chosen is not None:
            return Number(chosen.value, chosen.start + start, chosen.end + start, chosen.text, chosen.percent, chosen.scale)
    return None


def _closing(text: str, start: int) -> int:
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return place
    return len(text)


def _equal(found: Number, wanted: Number, limits: tuple[Fraction, Fraction], *, lenient: bool) -> bool:
    tolerance, relative = limits
    noise = Fraction(0) if found.whole and wanted.whole else _FLOAT_NOISE
    pairs = [(found.meant, wanted.meant)]
    if lenient and found.bare != wanted.bare:
        pairs.append((found.value, wanted.value))
    return any(a == b or abs(a - b) <= max(tolerance, relative * abs(b), noise * abs(b)) for a, b in pairs)
