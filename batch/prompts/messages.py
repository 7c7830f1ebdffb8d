"""The messages of a chat request: written in the job, or stored in a column as whole chats."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from batch.errors import RowError
from batch.prompts.columns import strings_in
from batch.prompts.parts import Part, PartApi, text_part
from batch.prompts.templates import Template, missing_column, row_place
from batch.records import Row
from batch.settings import PromptSettings

# From a row to a JSON value.
Maker = Callable[[Row], Any]

# How CSV files write that there is nothing.
_NULLS = frozenset({"", "null", "none", "nan", "na", "n/a"})
_SYSTEM_ROLES = ("system", "developer")


def messages_maker(prompt: PromptSettings, *, marks: bool = False) -> Maker:
    """What gives the messages of a row, as `prompt` says; `marks`: its cache mark is set, if it asks for one.

    Raises:
        ValueError: a template in `prompt` cannot be compiled, or there is neither `user` nor `messages`.
    """
    if marks and prompt.cache:
        return marked(messages_maker(prompt), prompt)
    if isinstance(prompt.messages, str):
        return _stored_messages(prompt.messages, Template(prompt.system) if prompt.system is not None else None)
    if prompt.messages is not None:
        return _made(list(prompt.messages))
    if prompt.user is None:
        raise ValueError("a chat needs user or messages")
    system = [] if prompt.system is None else [{"role": "system", "content": prompt.system}]
    return _made([*system, {"role": "user", "content": prompt.user}])


def tools_maker(column: str) -> Maker:
    """What gives the list of tools that stands in `column`, or None where the row has none."""

    def tools(row: Row) -> Any:
        value = row.columns.get(column)
        if value is None or (isinstance(value, str) and value.strip().lower() in _NULLS):
            return None
        stored = _stored_list(row, column)
        if not all(isinstance(tool, Mapping) for tool in stored):
            raise RowError("bad_messages", f"{row_place(row)}: the column {column!r} must hold a list of tools, each an object")
        return stored or None

    return tools


def with_parts(row: Row, messages: list[Any], parts: Sequence[Part], api: PartApi) -> list[Any]:
    """`messages` with `parts` at the end of the user's last one. Raises RowError where there is none."""
    if not parts:
        return messages
    last = next((at for at in reversed(range(len(messages))) if messages[at].get("role") == "user"), None)
    if last is None:
        raise RowError("bad_messages", f"{row_place(row)}: the chat has no message of the user that files could go with")
    content = messages[last].get("content")
    if not isinstance(content, list):
        # An empty text is refused by some APIs.
        content = [text_part(api, content)] if content else []
    # The chat may be the row's own value.
    return [*messages[:last], {**messages[last], "content": [*content, *parts]}, *messages[last + 1 :]]


def constant_messages(prompt: PromptSettings) -> int:
    """How many messages a chat begins with that are the same for all rows."""
    if isinstance(prompt.messages, str):
        return int(prompt.system is not None and Template(prompt.system).constant is not None)
    made = list(prompt.messages) if prompt.messages is not None else [{"content": prompt.system}, {"content": prompt.user}]
    count = 0
    for message in made:
        if any(Template(text).constant is None for _, text in strings_in(message, "")):
            break
        count += message.get("content") is not None
    return count


def marked(make: Maker, prompt: PromptSettings) -> Maker:
    """`make`, with a cache_control mark at the end of the constant beginning of its chats.

    The mark: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching, https://openrouter.ai/docs/features/prompt-caching
    """
    constant = constant_messages(prompt)
    if not constant:
        return make

    def with_mark(row: Row) -> Any:
        messages = make(row)
        # Of a stored chat: where it has a system message of its own, the prompt's is not there.
        if isinstance(prompt.messages, str) and messages[0].get("role") not in _SYSTEM_ROLES:
            return messages
        last = messages[constant - 1]
        content = last.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) and content else content
        if not isinstance(parts, list) or not parts or not isinstance(parts[-1], Mapping):
            return messages
        parts = [*parts[:-1], {**parts[-1], "cache_control": {"type": "ephemeral"}}]
        return [*messages[: constant - 1], {**last, "content": parts}, *messages[constant:]]

    return with_mark


def _made(value: Any) -> Maker:
    """What gives `value` for a row, every string in it rendered as a template, dictionary keys excepted."""
    match value:
        case str():
            template = Template(value)
            return template.render if template.constant is None else lambda _: template.constant
        case Mapping():
            makers = {key: _made(item) for key, item in value.items()}
            return lambda row: {key: make(row) for key, make in makers.items()}
        case list() | tuple():
            items = [_made(item) for item in value]
            return lambda row: [make(row) for make in items]
        case _:
            return lambda _: value


def _stored_messages(column: str, system: Template | None) -> Maker:
    def messages(row: Row) -> list[Any]:
        stored = _stored_list(row, column)
        if not stored:
            raise RowError("bad_messages", f"{row_place(row)}: the column {column!r} holds an empty chat")
        for number, message in enumerate(stored, 1):
            if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
                raise RowError("bad_messages", f"{row_place(row)}: message {number} in the column {column!r} is not an object with a role")
        if system is not None and not any(message["role"] in _SYSTEM_ROLES for message in stored):
            return [{"role": "system", "content": system.render(row)}, *stored]
        return stored

    return messages


def _stored_list(row: Row, column: str) -> list[Any]:
    """The list in `column`, which may also be the JSON text of one (CSV holds nothing else).

    It is passed on as it is, but for the nulls that Parquet puts where a struct's field is absent.
    """
    if column not in row.columns:
        raise missing_column(row, column)
    stored = row.columns[column]
    if isinstance(stored, str):
        try:
            stored = json.loads(stored, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            hint = "; it is written as Python writes a list: write it by json.dumps" if stored.lstrip().startswith("[{'") else ""
            raise RowError(
                "bad_messages", f"{row_place(row)}: the column {column!r} holds text that is not a JSON list: {error}{hint}"
            ) from error
    elif row.padded:
        if isinstance(stored, Mapping):
            stored = _transposed(stored)
        if isinstance(stored, list):
            stored = [_unpadded(item, keep=("content",)) for item in stored]
    if not isinstance(stored, list):
        raise RowError("bad_messages", f"{row_place(row)}: the column {column!r} must hold a list, not {type(stored).__name__}")
    return stored


def _transposed(stored: Mapping[str, Any]) -> Any:
    """A list of objects that is stored as one object of lists, as Hugging Face's `Sequence` of a dictionary is."""
    if not stored or not all(isinstance(items, list) for items in stored.values()) or len({len(items) for items in stored.values()}) > 1:
        return stored
    return [dict(zip(stored, items, strict=True)) for items in zip(*stored.values(), strict=True)]


def _unpadded(value: Any, keep: tuple[str, ...] = ()) -> Any:
    """`value` without the null fields of its objects; `keep` names those of the outermost that mean something as null."""
    if isinstance(value, dict):
        return {key: _unpadded(item) for key, item in value.items() if item is not None or key in keep}
    return [_unpadded(item) for item in value] if isinstance(value, list) else value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
