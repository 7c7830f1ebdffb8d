"""Filters of templates: Jinja's own with data only and with bounds, `default` for nulls, plain `tojson`, and those of files."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jinja2.filters
from jinja2 import Environment, pass_environment
from jinja2.exceptions import SecurityError
from jinja2.filters import make_attrgetter

from batch.prompts.bounds import check_replaced, percent
from batch.prompts.current_files import current_files
from batch.prompts.kinds import kind_of
from batch.prompts.parts import FileData, FileUrl, data_url
from batch.prompts.printing import NotDataError, bounded_join, check_size, json_value, printed, text_of_bytes

_MAX_INDENT = 16
# Their first argument becomes text, by str() in Jinja: null would be "None", and a method its address.
_TEXT_FILTERS = (
    *("capitalize", "center", "e", "escape", "forceescape", "format", "indent", "lower", "replace", "string", "striptags"),
    *("title", "trim", "truncate", "upper", "urlencode", "urlize", "wordcount", "wordwrap"),
)


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """Jinja's `default`, which also stands in for null and NaN: rows have these where other formats lack the column."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return default_value
    return default_value if isinstance(value, jinja2.Undefined) or (boolean and not value) else value


def _tojson(value: Any, indent: int | None = None) -> str:
    if indent is not None and indent > _MAX_INDENT:
        raise SecurityError(f"an indent of more than {_MAX_INDENT}")
    return json.dumps(json_value(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _base64(value: Any, text: bool = False) -> str:
    """A file's bytes in base64: one that a row names or holds; with `text` the UTF-8 bytes of the value's text."""
    if text:
        return base64.b64encode(str(printed(value)).encode()).decode()
    file = _file(value)
    if isinstance(file, FileUrl):
        raise NotDataError("a URL is not fetched, so there is nothing to encode; a picture's URL is passed on by data_url")
    return base64.b64encode(file.raw).decode()


def _data_url(value: Any, mime_type: str | None = None) -> str:
    """A file as a data: URL (RFC 2397), its type found from its bytes or given; a web address as it is."""
    file = _file(value)
    return file.url if isinstance(file, FileUrl) else data_url(file.raw, mime_type or file.kind.mime)


def _file_text(value: Any) -> str:
    """The text of a file that a row names or holds."""
    files = current_files()
    if files is not None:
        return files.text(value)
    return text_of_bytes(_bytes_in(value))


def _file(value: Any) -> FileData | FileUrl:
    files = current_files()
    if files is not None:
        return files.embedded(value)
    raw = _bytes_in(value)
    return FileData(raw, kind_of(raw))


def _bytes_in(value: Any) -> bytes:
    """The bytes that a value holds. In templates that make no request, such as a judge's, no file is opened."""
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):
        # Hugging Face's Image and Audio columns: {bytes, path}.
        value = value["bytes"]
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise NotDataError("files are read for the prompt alone, not in this template; only bytes can be put in here")


def _of_text(made: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose first argument is printed first."""
    if getattr(made, "jinja_pass_arg", None) is None:
        return lambda value, *args, **kwargs: made(printed(value), *args, **kwargs)

    def with_context(context: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        return made(context, printed(value), *args, **kwargs)

    with_context.jinja_pass_arg = made.jinja_pass_arg  # type: ignore[attr-defined]
    return with_context


@pass_environment
def _join(environment: Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    items = value if attribute is None else map(make_attrgetter(environment, attribute), value)
    return bounded_join(str(printed(d)), items)


def _indent(value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    check_size((width if isinstance(width, int) else len(width)) * (value.count("\n") + 1))
    return jinja2.filters.do_indent(value, width, first, blank)


def _center(value: str, width: int = 80) -> str:
    check_size(width)
    return value.center(width)


def _replace(value: str, old: Any, new: Any, count: int | None = None) -> str:
    old, new = str(printed(old)), str(printed(new))
    check_replaced(value, old, new)
    return value.replace(old, new, -1 if count is None else count)


def _wordwrap(
    environment: Environment,
    value: str,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    break_on_hyphens: bool = True,
) -> str:
    check_size(len(value) // max(1, width) * len(wrapstring or ""))
    return jinja2.filters.do_wordwrap(environment, value, width, break_long_words, wrapstring, break_on_hyphens)


_wordwrap.jinja_pass_arg = jinja2.filters.do_wordwrap.jinja_pass_arg  # type: ignore[attr-defined]


def _format(value: str, *args: Any, **kwargs: Any) -> str:
    if args and kwargs:
        raise TypeError("format takes values by place or by name, not both")
    return percent(value, kwargs or args)


def _batch(value: Iterable[Any], linecount: int, fill_with: Any = None) -> Any:
    check_size(linecount)
    return jinja2.filters.do_batch(value, linecount, fill_with)


def _slice(value: Any, slices: int, fill_with: Any = None) -> Any:
    check_size(slices)
    return jinja2.filters.sync_do_slice(list(value), slices, fill_with)


def _pprint(value: Any) -> str:
    printed(value)  # checks what is within, and its size
    return jinja2.filters.do_pprint(value)


def _filters() -> dict[str, Callable[..., Any]]:
    bounded: dict[str, Callable[..., Any]] = {
        "center": _center,
        "format": _format,
        "indent": _indent,
        "replace": _replace,
        "wordwrap": _wordwrap,
    }
    texts = {name: _of_text(bounded.get(name) or jinja2.filters.FILTERS[name]) for name in _TEXT_FILTERS}
    own: dict[str, Callable[..., Any]] = {"default": _default, "d": _default, "tojson": _tojson, "base64": _base64, "data_url": _data_url}
    own["file_text"] = _file_text
    return {**texts, **own, "join": _join, "batch": _batch, "slice": _slice, "pprint": _pprint}


FILE_FILTERS = frozenset({"base64", "data_url", "file_text"})
"""The filters that may open a file."""

FILTERS = _filters()
