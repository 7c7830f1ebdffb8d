"""Format figures for sentences.

Every number with a fixed number of decimals is formatted with `z` (PEP 682): the last bit of a sum differs between machines, and a
-1e-17 must not become "-0.00" on some of them.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.evaluation.statistics.intervals import Interval

NO_BREAK = "\N{NO-BREAK SPACE}"
# Spaces at which no line may end: "42.1 %", "+4.6 pt", "p < 0.001", "[-0.8, +9.9]".
_KEPT_TOGETHER = re.compile(r"(?<=\d) (?=%|pt\b)|(?<=\bp) (?=[<=])|(?<=\bp [<=]) (?=\d)|(?<=\d,) (?=[^\s\[\]]+\])|(?<=%,) (?=[^\[\]]+\])")


def percent(share: float) -> str:
    """Format a score or share: 0.8734 → "87.3 %"."""
    return f"{100 * share:z.1f} %"


def points(difference: float) -> str:
    """Format a difference of scores in percentage points, signed: 0.004 → "+0.4"; never "-0.0"."""
    return f"{100 * difference:+z.1f}"


def percent_limits(low: float, high: float) -> str:
    """The limits of a score or share: "[84.1, 90.2]"."""
    return f"[{100 * low:z.1f}, {100 * high:z.1f}]"


def percent_interval(interval: Interval) -> str:
    """A score or share with its limits: "87.3 % [84.1, 90.2]"."""
    return f"{percent(interval.estimate)} {percent_limits(interval.low, interval.high)}"


def points_limits(low: float, high: float) -> str:
    """The limits of a difference of scores: "[-0.6, +1.4]"."""
    return f"[{points(low)}, {points(high)}]"


def points_interval(estimate: float, low: float, high: float) -> str:
    """A difference of scores with its limits: "+0.4 pt [-0.6, +1.4]"."""
    return f"{points(estimate)} pt {points_limits(low, high)}"


def about(count: int) -> str:
    """Format an estimated count with two significant digits: 3874 → "about 3,900"."""
    digits = max(0, len(str(count)) - 2)
    return f"about {round(count, -digits):,}"


def dollars(amount: float | None) -> str:
    """Format US dollars with at least two significant digits; None becomes "unknown"."""
    if amount is None:
        return "unknown"
    return f"${amount:z,.2f}" if amount >= 0.995 or amount == 0 else f"${amount:z.{1 - math.floor(math.log10(amount))}f}"


def chance(p: float) -> str:
    """Format a p value: "p = 0.012" or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:z.3f}"


def corrected_chance(p: float, comparisons: int) -> str:
    """A probability of chance, and for how many comparisons it is corrected where there are several."""
    return f"{chance(p)}, corrected for {comparisons} comparisons" if comparisons > 1 else chance(p)


def listed(names: Sequence[str]) -> str:
    """Join names: "A, B and C"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def ranging(least: str, most: str, word: str = "to") -> str:
    """Format a range, or its only value: "1 to 5", "3"."""
    return least if least == most else f"{least} {word} {most}"


def letter(at: int) -> str:
    """Return the letter of a variant by its place in the job: A to Z, then AA to AZ, and so on."""
    letters = string.ascii_uppercase
    return (letters[at // 26 - 1] if at >= 26 else "") + letters[at % 26]


def unbroken(text: str) -> str:
    """Put no-break spaces inside figures, so that a sign or unit stays on the line of its number."""
    return _KEPT_TOGETHER.sub(NO_BREAK, text)


def with_letters(text: str, letters: Mapping[str, str]) -> str:
    """Replace these names in a text by their letters."""
    names = "|".join(map(re.escape, sorted(letters, key=len, reverse=True)))
    return re.sub(rf"(?<!\w)(?:{names})(?!\w)", lambda found: letters[found[0]], text) if letters else text
