"""Figures as the report shows them, and the letters that stand for its variants."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from batch.evaluation.report.markup import Content, Markup, joined, tag

UNKNOWN = "unknown"
# Before a number and after nothing that it could join: "[-0.6", " -3", never "gpt-4" or "2024-08".
_HYPHEN = re.compile(r"(?<![^\s\[(])-(?=\d)")


@dataclass(frozen=True, slots=True)
class Keys:
    """A letter for each variant, in the job's order: short enough for charts and narrow screens."""

    variants: tuple[str, ...]

    def of(self, variant: str) -> str:
        """The variant's letter: A to Z, then AA to AZ, and so on."""
        at = self.variants.index(variant)
        letters = string.ascii_uppercase
        return (letters[at // 26 - 1] if at >= 26 else "") + letters[at % 26]

    def badge(self, variant: str) -> Markup:
        """The letter, with the name for those who point at it or hear the page."""
        return tag("abbr", self.of(variant), class_="key", title=variant)

    def named(self, variant: str) -> Markup:
        """Letter and name."""
        return joined(tag("span", self.of(variant), class_="key", aria_hidden="true"), "\u00a0", tag("span", variant, class_="name"))


def seconds(value: float | None) -> str:
    """A time span for people: 0.034 → "34 ms", 4.21 → "4.2 s", 250 → "250 s"."""
    if value is None:
        return UNKNOWN
    if value < 0.9995:
        return f"{1000 * value:.0f} ms"
    return f"{value:.1f} s" if value < 99.95 else f"{value:,.0f} s"


def short(count: int) -> str:
    """A large count to three digits: 1391 → "1.39k", 25 → "25", 12_345_678 → "12.3M"."""
    for unit, name in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= unit * 0.9995:
            return f"{count / unit:.3g}{name}" if count < 999.5 * unit else f"{count / unit:,.0f}{name}"
    return str(count)


def p_value(p: float) -> str:
    """A probability of chance: three digits, or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def with_minus(text: str) -> str:
    """A text whose negative numbers have a true minus sign, as wide as the plus."""
    return _HYPHEN.sub("\N{MINUS SIGN}", text)


def table(caption: str, head: Sequence[Content], rows: Sequence[Sequence[Content]], *, class_: str | None = None) -> Markup:
    """A table that scrolls inside its own box. The first cell of each row is its heading."""
    heading = tag("thead", tag("tr", [tag("th", cell, scope="col") for cell in head]))
    body = tag("tbody", [tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in rest]) for first, *rest in rows])
    whole = tag("table", tag("caption", caption, class_="unseen"), heading, body, class_=class_)
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def with_help(text: str, explanation: str) -> Markup:
    """A column's name that explains itself to those who point at it."""
    return tag("abbr", text, title=explanation)
