"""Build HTML and SVG as strings. All but `Markup` is escaped, so that no text of a model, a row or an endpoint becomes markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = frozenset(("br", "col", "hr", "input", "meta", "wbr"))


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content: TypeAlias = "str | int | float | Iterable[Content] | None"
Attribute: TypeAlias = "str | int | float | bool | None"


def tag(name: str, *content: Content, **attributes: Attribute) -> Markup:
    """Make an element. In attribute names a trailing underscore is dropped and others become hyphens; None and False omit one."""
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{joined(*content)}</{name}>")


def joined(*content: Content) -> Markup:
    """Join contents, escaping texts; None is skipped."""
    return Markup("".join(map(_escaped, content)))


def _escaped(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int | float):
        return escape(str(content))
    return joined(*content)


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
