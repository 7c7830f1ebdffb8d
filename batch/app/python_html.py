"""Tables in HTML for notebooks: what `_repr_html_` of the Python interface returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

# A notebook keeps what it shows: long tables are for `to_pandas()`.
MOST_ROWS = 50


def html_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table of at most 50 rows, with a sentence above it; every text is escaped."""
    body = list(rows)
    rest = len(body) - MOST_ROWS
    lines = ["".join(_cell(value) for value in row) for row in body[:MOST_ROWS]]
    below = f"<p>and {rest:,} more</p>" if rest > 0 else ""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    inside = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<p>{escape(caption)}</p><table><thead><tr>{titles}</tr></thead><tbody>{inside}</tbody></table>{below}"


def html_of_records(caption: str, columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """Return a table of these keys of each record."""
    return html_table(caption, columns, ([record.get(column) for column in columns] for record in records))


def _cell(value: Any) -> str:
    match value:
        case None:
            return "<td></td>"
        case bool():
            return f"<td>{'yes' if value else 'no'}</td>"
        case int():
            return f'<td style="text-align:right">{value:,}</td>'
        case float():
            return f'<td style="text-align:right">{value:,.4g}</td>'
        case _:
            return f'<td style="text-align:left">{escape(str(value))}</td>'
