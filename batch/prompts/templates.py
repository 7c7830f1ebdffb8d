"""Jinja2 templates over a row's columns: sandboxed, strict about missing columns, compiled once.

Row data is never a template: its text is inserted literally. A template sees each column under its name, and all of them as `row`, for
names that are no identifiers: `{{ row["ticket id"] }}`. A column named `row` or `self` has that name; in a `for`, `loop` is Jinja's.
What is printed is data (printing.py). Lists and objects are best written with `tojson`, which is plain JSON here, not escaped for HTML.

A template is written by the owner of the job, so the bounds (sandbox.py) are against accidents, also those that a column's value causes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, cast

import jinja2
from jinja2 import meta, nodes

from batch.errors import RowError
from batch.prompts.printing import NoValueError, check_characters, has_no_value
from batch.prompts.sandbox import ENVIRONMENT, ROW
from batch.records import Row, place

_MAX_ID_SHOWN = 80
_MAX_COLUMNS_SHOWN = 30


def check_template(source: str) -> None:
    """See that `source` is a template that can be compiled.

    Raises:
        ValueError: the mistake and its line within `source`, as "line 2: …".
    """
    try:
        loading = next(ENVIRONMENT.parse(source).find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None)
        ENVIRONMENT.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {(error.message or '').rstrip('.')}{_way_on(error.message or '')}") from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        # Python's own compiler has bounds, too: 20 loops within each other.
        raise ValueError("line 1: it is nested too deep for Python's compiler") from error
    except Exception as error:  # constants are computed as it is compiled: 10 ** 5000 is no number that can be written
        raise ValueError(f"line 1: a constant in it cannot be computed: {str(error).partition(';')[0]}") from error
    if loading is not None:
        raise ValueError(f"line {loading.lineno}: a prompt cannot load other templates")


def _way_on(message: str) -> str:
    """Say how a mistake of a template is mended, by the library's words for it."""
    name = re.match(r"No (filter|test) named '([^']*)'", message)
    if name is not None:
        kinds = ENVIRONMENT.filters if name[1] == "filter" else ENVIRONMENT.tests
        near = difflib.get_close_matches(name[2], [each for each in kinds if not each.startswith("_")], n=1)
        return f"; did you mean {near[0]}?" if near else f"; columns need none: {{{{ column }}}} without |{name[2]}"
    if message.startswith("unexpected '}'") or "end of print statement" in message:
        return "; a column stands in two braces each: {{ column }}; text with braces of its own in {% raw %}…{% endraw %}"
    return ""


class Template:
    """A compiled template. `constant` is its text when it holds nothing to fill in, else None.

    Raises:
        ValueError: as `check_template`.
    """

    def __init__(self, source: str) -> None:
        check_template(source)
        self._template = ENVIRONMENT.from_string(source)
        tree = ENVIRONMENT.parse(source)
        self._needs = meta.find_undeclared_variables(tree)
        # Without a global's name in the template, the row's own mapping serves as the context, uncopied.
        self._uses_globals = not {node.name for node in tree.find_all(nodes.Name)}.isdisjoint({ROW, *ENVIRONMENT.globals})
        is_constant = all(isinstance(node, nodes.TemplateData) for output in tree.body for node in output.iter_child_nodes())
        self.constant = self._template.render() if is_constant else None
        self._parts = None if self._uses_globals else _plain_parts(tree)

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
        except NoValueError as error:
            empty = next((name for name in sorted(self._needs) if name in row.columns and has_no_value(row.columns[name])), None)
            which = "" if empty is None else f"the column {empty!r}: "
            raise RowError("missing_column", f"{row_place(row)}: the prompt cannot be rendered: {which}{error}") from error
        except RowError:
            # A file that a filter was to read.
            raise
        except Exception as error:  # a template is a program over foreign data: it may raise anything
            raise self._failed(row, error) from error

    def _text(self, columns: Mapping[str, Any]) -> str:
        if self._parts is not None and (text := _filled(self._parts, columns)) is not None:
            return text
        template = self._template
        if self._uses_globals:
            context = template.new_context({ROW: columns, **columns})
        else:
            context = template.new_context(cast("dict[str, Any]", columns), shared=True)
        parts: list[str] = []
        characters = 0
        for part in template.root_render_func(context):
            parts.append(part)
            characters += len(part)
            check_characters(characters)
        return "".join(parts)

    def _failed(self, row: Row, error: Exception) -> RowError:
        return RowError("bad_template", f"{row_place(row)}: the prompt cannot be rendered: {str(error) or type(error).__name__}")


def _plain_parts(tree: nodes.Template) -> list[tuple[str, str]] | None:
    """Return the pieces of a template of text and names alone, each as (text, "") or ("", name); None for any other."""
    parts = []
    for statement in tree.body:
        for node in statement.nodes if isinstance(statement, nodes.Output) else (statement,):
            match node:
                case nodes.TemplateData(data=text):
                    parts.append((text, ""))
                case nodes.Name(name=name):
                    parts.append(("", name))
                case _:
                    return None
    return parts


def _filled(parts: list[tuple[str, str]], columns: Mapping[str, Any]) -> str | None:
    """Return the text of a plain template; None where a column is no text: Jinja writes other values, and says what is missing."""
    # Three quarters of what Jinja takes for the same text goes into the context that it makes for each row.
    texts = [text if not name else columns.get(name) for text, name in parts]
    if set(map(type, texts)) != {str}:
        return None
    check_characters(sum(map(len, cast("list[str]", texts))))
    return "".join(cast("list[str]", texts))


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
