"""Jinja2 templates over a row's columns: sandboxed, strict about missing columns, compiled once.

Row data is never a template: what it holds is put in literally. A template sees each column under its name, and all of
them as `row`, for names that are no identifiers: `{{ row["ticket id"] }}`. Numbers, dates and decimals come as str() writes
them; lists and objects are best written with the filter `tojson`, which is plain JSON here, not escaped for HTML.

A template is written by the owner of the job, so the bounds are against accidents, also those that a column's value
brings about: `range` is limited by Jinja's sandbox (100,000), a repetition (`*`) and the rendered text to
MAX_TEXT_CHARACTERS, a power (`**`) to as many bits. Work that gives no text (empty nested loops) is not bounded.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, cast

import jinja2
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batch.errors import RowError
from batch.records import Row, place

MAX_TEXT_CHARACTERS = 64 << 20
_MAX_ID_SHOWN = 80
_MAX_COLUMNS_SHOWN = 30
_ROW = "row"


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which also bounds `*` and `**`; Jinja evaluates intercepted operators of constants at run time only."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for sequence, times in ((left, right), (right, left)):
                if isinstance(times, int) and hasattr(sequence, "__len__") and len(sequence) * times > MAX_TEXT_CHARACTERS:
                    raise SecurityError(f"a repetition of more than {MAX_TEXT_CHARACTERS:,} items")
        elif isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > MAX_TEXT_CHARACTERS:
            raise SecurityError(f"a power of more than {MAX_TEXT_CHARACTERS:,} bits")
        return super().call_binop(context, operator, left, right)


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


_ENVIRONMENT = _Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)
_ENVIRONMENT.filters["tojson"] = _tojson


def check_template(source: str) -> None:
    """See that `source` is a template that can be compiled.

    Raises:
        ValueError: the mistake and its line within `source`, as "line 2: …".
    """
    try:
        for node in _ENVIRONMENT.parse(source).find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            raise ValueError(f"line {node.lineno}: a prompt cannot load other templates")
        _ENVIRONMENT.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.message}") from error


class Template:
    """A compiled template. `constant` is its text when it holds nothing to fill in, else None.

    Raises:
        ValueError: as `check_template`.
    """

    def __init__(self, source: str) -> None:
        check_template(source)
        self._template = _ENVIRONMENT.from_string(source)
        tree = _ENVIRONMENT.parse(source)
        self._needs = meta.find_undeclared_variables(tree)
        # Without a global's name in the template, the row's own mapping serves as the context, uncopied.
        self._uses_globals = not {node.name for node in tree.find_all(nodes.Name)}.isdisjoint({_ROW, *_ENVIRONMENT.globals})
        is_constant = all(isinstance(node, nodes.TemplateData) for output in tree.body for node in output.iter_child_nodes())
        self.constant = self._template.render() if is_constant else None

    def render(self, row: Row) -> str:
        """The text for `row`.

        Raises:
            RowError: missing_column, or bad_template when the template fails on this row.
        """
        if self.constant is not None:
            return self.constant
        try:
            return self._text(row.columns)
        except jinja2.UndefinedError as error:
            missing = next((name for name in sorted(self._needs) if str(error) == f"{name!r} is undefined"), None)
            if missing is None:
                raise self._failed(row, error) from error
            raise missing_column(row, missing) from error
        except Exception as error:  # a template is a program over foreign data: it may raise anything
            raise self._failed(row, error) from error

    def _text(self, columns: Mapping[str, Any]) -> str:
        template = self._template
        if self._uses_globals:
            context = template.new_context({_ROW: columns, **columns})
        else:
            context = template.new_context(cast("dict[str, Any]", columns), shared=True)
        parts: list[str] = []
        characters = 0
        for part in template.root_render_func(context):
            parts.append(part)
            characters += len(part)
            if characters > MAX_TEXT_CHARACTERS:
                raise SecurityError(f"the text has more than {MAX_TEXT_CHARACTERS:,} characters")
        return "".join(parts)

    def _failed(self, row: Row, error: Exception) -> RowError:
        return RowError("bad_template", f"{row_place(row)}: the prompt cannot be rendered: {str(error) or type(error).__name__}")


def missing_column(row: Row, name: str) -> RowError:
    """The error for a column that the prompt needs and `row` has not: says which columns there are, and the likely one."""
    names = list(row.columns)
    shown = ", ".join(names[:_MAX_COLUMNS_SHOWN]) + (
        f" and {len(names) - _MAX_COLUMNS_SHOWN} more" if len(names) > _MAX_COLUMNS_SHOWN else ""
    )
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return RowError("missing_column", f"{row_place(row)}: the prompt needs the column {name!r}{hint}; the row has: {shown or 'no columns'}")


def row_place(row: Row) -> str:
    """Where `row` stands and, where it has one, its id: `countries.jsonl:17 (id FR)`."""
    where = place(row.file, row.line)
    if row.id == str(row.ordinal):
        return where
    return f"{where} (id {row.id if len(row.id) <= _MAX_ID_SHOWN else row.id[:_MAX_ID_SHOWN] + '…'})"
