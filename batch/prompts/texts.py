"""The texts of requests that are no chats: templates, or columns that hold a text or a list of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from batch.errors import RowError
from batch.prompts.column_settings import is_template
from batch.prompts.messages import Maker
from batch.prompts.printing import has_no_value
from batch.prompts.templates import Template, missing_column, row_place
from batch.providers.text_apis import TEXT_APIS, TextMember
from batch.records import Row
from batch.settings import PromptSettings


def text_makers(prompt: PromptSettings) -> list[tuple[str, Maker]]:
    """Return what makes each member of a request from a row, in their order.

    Raises:
        ValueError: a template cannot be compiled, or the prompt lacks a text.
    """
    return [(member.name, _maker(member, getattr(prompt, member.setting))) for member in TEXT_APIS[prompt.api]]


def _maker(member: TextMember, value: Any) -> Maker:
    if value is None:
        raise ValueError(f"the request needs {member.setting}")
    if not isinstance(value, str):
        templates = [Template(text) for text in value]
        return lambda row: [template.render(row) for template in templates]
    if member.columns and not is_template(value):
        return _column_maker(value, member)
    template = Template(value)
    return (lambda row: [template.render(row)]) if member.is_list else template.render


def _column_maker(column: str, member: TextMember) -> Maker:
    def texts(row: Row) -> Any:
        if column not in row.columns or has_no_value(row.columns[column]):
            raise missing_column(row, column)
        value = row.columns[column]
        if isinstance(value, str):
            value = _list_in(value) if member.is_list else value
        elif not isinstance(value, list | tuple):
            raise _unfit(row, column)
        if not isinstance(value, str) and (not value or not all(isinstance(each, str | Mapping) for each in value)):
            raise _unfit(row, column)
        return value

    return texts


def _list_in(text: str) -> list[Any]:
    """The list that a column of text holds as JSON, as CSV files write it, or the text as the only one."""
    if text.lstrip().startswith("["):
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            return [text]
        return found if isinstance(found, list) else [text]
    return [text]


def _unfit(row: Row, column: str) -> RowError:
    return RowError("bad_messages", f"{row_place(row)}: the column {column!r} must hold a text or a list of texts, not an empty one")
