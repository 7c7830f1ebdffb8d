"""Lay out tables for the terminal, fitted to its width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from batch.cli.console import styled
from batch.policy.terminal import one_line

_TEXT_WIDTH = 100
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. When the table is too wide, columns with a higher `spare` are dropped first; those with 0 stay.

    `drawn`: it only draws the values of another column.
    """

    head: str
    cells: tuple[str, ...]
    spare: int = 0
    left: bool = False
    drawn: bool = False

    @property
    def width(self) -> int:
        """Its width in characters."""
        return max(len(self.head), *map(len, self.cells)) if self.cells else len(self.head)


def table(label: str, names: Sequence[str], columns: Sequence[Column], width: int, letters: Mapping[str, str] | None = None) -> list[str]:
    """Format rows with letters and names in front. A table that is too wide drops spare columns, and names them.

    If it still is too wide, the names go below it and only letters stay in front.
    """
    shown = [one_line(name) for name in names]
    keys = [(letters or {}).get(name, "") for name in names]
    heads = [f"{key} {name}".lstrip() for key, name in zip(keys, shown, strict=True)]
    required = total_width([column for column in columns if not column.spare])
    beside = max(map(len, [label, *heads])) + required <= width
    first = heads if beside or not letters else keys
    # Without letters, names that are too long have lines of their own, and the others stay in front.
    indent = max((size for size in map(len, [label, *first]) if beside or size <= width - required), default=2)
    head = label if len(label) <= indent and (beside or not letters) else ""
    indent = indent if beside or not letters else max(map(len, first))
    kept = list(columns)
    # All columns of one rank go together: a lone half of a pair such as pass@k and pass^k would mislead.
    for spare in sorted({column.spare for column in columns if column.spare}, reverse=True):
        if indent + total_width(kept) > width:
            kept = [column for column in kept if column.spare != spare]
    lines = [styled(f"{head:{indent}}{_line(kept, None)}".rstrip(), "dim")]
    for at, name in enumerate(first):
        if len(name) > indent:
            lines.append(wrapped(name, width))
        lines.append(f"{name if len(name) <= indent else '':{indent}}{_line(kept, at)}".rstrip())
    if not beside and letters:
        lines += [wrapped(name, width) for name in heads]
    if dropped := [column.head.strip() for column in columns if column not in kept and not column.drawn]:
        lines.append(wrapped(f"not shown in {width} columns: {', '.join(dropped)}; a wider terminal or --json has them", width))
    return lines


def total_width(columns: Sequence[Column]) -> int:
    """Return the width of columns with the gaps before them."""
    return sum(len(_GAP) + column.width for column in columns)


def _line(columns: Sequence[Column], at: int | None) -> str:
    cells = [(column.head if at is None else column.cells[at], column) for column in columns]
    return "".join(_GAP + (cell.ljust(column.width) if column.left else cell.rjust(column.width)) for cell, column in cells)


def wrapped(text: str, width: int, bullet: str = "") -> str:
    """Wrap a text for the terminal; figures stay in one line with their signs."""
    from batch.evaluation.formatting import NO_BREAK, unbroken

    whole = unbroken(one_line(text))
    lines = click.wrap_text(whole, min(width, _TEXT_WIDTH), initial_indent=bullet, subsequent_indent=" " * len(bullet))
    return lines.replace(NO_BREAK, " ")
