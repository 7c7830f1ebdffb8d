"""Figures as the report shows them, and the letters that stand for its variants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from batch.evaluation.report.markup import Content, Markup, joined, tag
from batch.evaluation.words import NO_BREAK, letter, unbroken

UNKNOWN = "unknown"
SHORT_NAME = 24
# Before a number and after nothing that it could join: "[-0.6", " -3", never "gpt-4" or "2024-08".
_HYPHEN = re.compile(r"(?<![^\s\[(])-(?=\d)")
# A long name of a model has few spaces: it may go on in a new line after these.
_JOINTS = re.compile(r"(?<=[/:@])")


@dataclass(frozen=True, slots=True)
class VariantLetters:
    """A letter for each variant, in the job's order: short enough for charts and narrow screens."""

    variants: tuple[str, ...]

    def of(self, variant: str) -> str:
        """The variant's letter: A to Z, then AA to AZ, and so on."""
        return letter(self.variants.index(variant))

    def badge(self, variant: str) -> Markup:
        """The letter, with the name for those who point at it or hear the page."""
        return tag("abbr", self.of(variant), class_="key", title=variant)

    def named(self, variant: str, longest: int | None = None) -> Markup:
        """Letter and name. A name of more than `longest` characters has its middle left out, and is whole for those who point at it."""
        key = tag("span", self.of(variant), class_="key", aria_hidden="true")
        if longest is None or len(variant) <= longest:
            return tag("span", key, NO_BREAK, tag("span", breakable(variant), class_="name"), class_="named")
        ends = f"{variant[: longest // 2 - 1].rstrip()}…{variant[-(longest // 2) :].lstrip()}"
        return tag("span", key, NO_BREAK, tag("span", ends, class_="name", title=variant), class_="named")


def seconds(value: float | None) -> str:
    """A time span for people: 0.034 → "34 ms", 4.21 → "4.2 s", 250 → "250 s"."""
    if value is None:
        return UNKNOWN
    if value < 0.9995:
        return f"{1000 * value:z.0f} ms"
    return f"{value:z.1f} s" if value < 99.95 else f"{value:z,.0f} s"


def p_value(p: float) -> str:
    """A probability of chance: three digits, or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:z.3f}"


def typeset(text: str) -> str:
    """A text whose negative numbers have a true minus sign, as wide as the plus, and whose figures stay in one line with their signs."""
    return _HYPHEN.sub("\N{MINUS SIGN}", unbroken(text))


def breakable(name: str) -> Markup:
    """A name that may go on in a new line after its slashes and the like, when it is a long one."""
    if len(name) <= SHORT_NAME:
        return joined(name)
    return joined(*(joined(part, tag("wbr")) for part in _JOINTS.split(name)[:-1]), _JOINTS.split(name)[-1])


def table(caption: str, head: Sequence[Content], rows: Sequence[Sequence[Content]], *, class_: str | None = None) -> Markup:
    """A table that scrolls inside its own box. The first cell of each row is its heading."""
    heading = tag("thead", tag("tr", [tag("th", cell, scope="col") for cell in head]))
    body = tag("tbody", [tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in rest]) for first, *rest in rows])
    whole = tag("table", tag("caption", caption, class_="unseen"), heading, body, class_=class_)
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def known_columns(head: Sequence[Content], rows: Sequence[Sequence[Content]]) -> tuple[list[Content], list[list[Content]]]:
    """A table's head and rows without the columns of which nothing is known."""
    kept = [at for at in range(len(head)) if not rows or any(row[at] != UNKNOWN for row in rows)]
    return [head[at] for at in kept], [[row[at] for at in kept] for row in rows]


def with_help(text: str, explanation: str) -> Markup:
    """A column's name that explains itself to those who point at it."""
    return tag("abbr", text, title=explanation)
