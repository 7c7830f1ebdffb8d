"""The text of a value that a template prints: data only, and never more than MAX_TEXT_CHARACTERS."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from jinja2 import Undefined
from jinja2.exceptions import SecurityError

MAX_TEXT_CHARACTERS = 64 << 20
# Text made from little by a filter or an operator: padding, repetition. No prompt needs more; a column's wrong number does.
MAX_GROWN_CHARACTERS = 8 << 20
_PLAIN = (bool, int, Decimal, dt.date, dt.time, dt.timedelta, UUID)
# Each level takes frames of Python's stack, of which there are 1,000.
_DEEPEST = 200


class NotDataError(ValueError):
    """A value that cannot be put into a prompt: no data, or without a value."""


class NoValueError(NotDataError):
    """A null or NaN that is printed."""


def printed(value: Any) -> Any:
    """Return `value` as the text that a template prints for it; Jinja's `finalize`.

    Strings, numbers, dates, decimals and UUIDs are as str() writes them, bytes that are UTF-8 are text, lists and objects as Python
    writes them.

    Raises:
        NotDataError: null, NaN, bytes that are not UTF-8, or no data at all: a method, a module, a template's own object.
        SecurityError: a list or object whose text is too long.
    """
    # First and by identity: almost every value is one, and this runs for each of them.
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str(value)
    if has_no_value(value):
        raise NoValueError(
            f"a value is {'null' if value is None else 'NaN'}; write {{{{ column | default('-') }}}} for such rows, or use if"
        )
    if isinstance(value, float):
        return str(value)
    if isinstance(value, _PLAIN):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return text_of_bytes(bytes(value))
    if isinstance(value, Undefined):
        return str(value)  # raises UndefinedError, which names it
    if isinstance(value, list | tuple | Mapping | set | frozenset):
        return str(_checked(value))
    raise NotDataError(f"{_kind(value)} is no data and cannot be printed{_hint(value)}")


def has_no_value(value: Any) -> bool:
    """Whether `value` is null or NaN, which pandas writes for null."""
    return value is None or (isinstance(value, float | Decimal) and value != value)


def text_of_bytes(value: bytes) -> str:
    """Decode UTF-8. Raises NotDataError, which names the filters for other bytes."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise NotDataError(
            f"{len(value):,} bytes are not UTF-8 text; use the filter base64, or data_url for an image, as in {{{{ photo | data_url }}}}"
        ) from None


def json_value(value: Any) -> Any:
    """Return `value` as what json.dumps writes as JSON: NaN becomes null, as pandas writes it; UTF-8 bytes become text.

    Raises:
        NotDataError: infinity, other bytes, or no data.
        SecurityError: it is too large.
    """
    characters = 0

    def walk(item: Any, depth: int) -> Any:
        nonlocal characters
        characters += len(item) + 2 if isinstance(item, str) else 4
        check_characters(characters)
        match item:
            case None | str() | bool() | int():
                return item
            case float():
                if math.isinf(item):
                    raise NotDataError("JSON has no infinity")
                return None if math.isnan(item) else item
            case Mapping():
                return {_json_key(key): walk(inner, _deeper(depth)) for key, inner in item.items()}
            case list() | tuple() | set() | frozenset() | Iterator():
                return [walk(inner, _deeper(depth)) for inner in item]
            case _:
                return walk(printed(item), depth)

    return walk(value, 0)


def bounded_join(separator: str, parts: Iterable[Any]) -> str:
    """Join the texts of `parts`. Raises SecurityError before more than MAX_TEXT_CHARACTERS are made."""
    texts: list[str] = []
    characters = 0
    for part in parts:
        text = printed(part)
        characters += len(text) + len(separator)
        check_characters(characters)
        texts.append(text)
    return separator.join(texts)


def check_size(size: Any) -> None:
    """Refuse to make a text or list of more than MAX_GROWN_CHARACTERS items. Raises SecurityError."""
    if isinstance(size, int | float) and size > MAX_GROWN_CHARACTERS:
        raise SecurityError(f"a text or list of more than {MAX_GROWN_CHARACTERS:,} characters or items")


def check_characters(characters: int) -> None:
    """Refuse a text of more than MAX_TEXT_CHARACTERS. Raises SecurityError."""
    if characters > MAX_TEXT_CHARACTERS:
        raise SecurityError(f"the text has more than {MAX_TEXT_CHARACTERS:,} characters")


def _json_key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return {True: "true", False: "false"}[key] if isinstance(key, bool) else "null" if key is None else str(printed(key))


def _checked(value: Any) -> Any:
    """`value` with all within it checked, and UTF-8 bytes as text. Its characters are counted before its text is made."""
    characters = 0

    def walk(item: Any, depth: int) -> Any:
        nonlocal characters
        characters += len(item) + 2 if isinstance(item, str) else 4
        check_characters(characters)
        if item is None or isinstance(item, (str, float, *_PLAIN)):
            return item
        if isinstance(item, Mapping):
            return {key: walk(inner, _deeper(depth)) for key, inner in item.items()}
        if isinstance(item, list | tuple | set | frozenset):
            walked = [walk(inner, _deeper(depth)) for inner in item]
            return walked if isinstance(item, list) else type(item)(walked)
        return printed(item)

    return walk(value, 0)


def _deeper(depth: int) -> int:
    if depth >= _DEEPEST:
        raise NotDataError("a value is nested too deep")
    return depth + 1


def _kind(value: Any) -> str:
    name = getattr(value, "__name__", None)
    if callable(value) and isinstance(name, str):
        return f"the method or function {name!r}"
    return f"a value of type {type(value).__name__}"


def _hint(value: Any) -> str:
    if not callable(value):
        return ""
    return f"; call it, as in {value.__name__}(), or name a column or a field" if hasattr(value, "__name__") else ""
