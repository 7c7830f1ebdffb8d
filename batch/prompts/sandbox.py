"""Jinja's sandbox for prompts: prints data only, looks up keys before attributes, bounds memory and steps before they are used.

Jinja's own sandbox keeps templates from Python's internals, but not from memory or time: `'%099999999d'`, `ljust`, `indent`,
`batch` and string doubling in a loop all take a number from the row. https://jinja.palletsprojects.com/en/stable/sandbox/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from string import Formatter
from typing import Any

import jinja2
from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter

from batch.prompts.bounds import check_method, check_operands, check_widths, percent
from batch.prompts.filters import FILTERS
from batch.prompts.printing import bounded_join, printed

ROW = "row"
MAX_STEPS = 5_000_000


class _Context(Context):
    """A render's context; counts the steps of all its loops."""

    steps = 0


class _Formatter(SandboxedFormatter):
    """`str.format` with data only, and with bounded widths."""

    def format_field(self, value: Any, format_spec: str) -> str:
        check_widths(format_spec)
        return str(super().format_field(printed(value) if value is None or not format_spec else value, format_spec))


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates; operators that can grow a value are intercepted, also those of constants."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})
    context_class = _Context

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = _guarded(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up a key before an attribute: `order.items` is the field of that name where there is one."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """As Jinja's, with a formatter that bounds widths and refuses what is no data."""
        if super().wrap_str_format(value) is None:
            return None
        text, is_map = value.__self__, value.__name__ == "format_map"
        formatter: Formatter = _Formatter(self)

        def wrapper(*args: Any, **kwargs: Any) -> str:
            return formatter.vformat(text, () if is_map else args, args[0] if is_map else kwargs)

        return wrapper

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function or method; methods of strings are bounded first."""
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str | bytes):
            if function.__name__ == "join" and isinstance(owner, str) and len(args) == 1:
                return bounded_join(owner, args[0])
            check_method(owner, function.__name__, args, kwargs)
        return super().call(context, function, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Apply an operator whose result is not too large. Raises SecurityError."""
        if operator == "%" and isinstance(left, str):
            return percent(left, right)
        check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)


def _guarded(tree: nodes.Template) -> nodes.Template:
    """`tree` with `~` bounded, loops counted, and `self` and `row["…"]` looked up among the columns first."""
    for concat in list(tree.find_all(nodes.Concat)):
        concat.nodes = [_filter("_concat", nodes.List(concat.nodes, lineno=concat.lineno))]
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _filter("_counted", loop.iter)
    has_blocks = tree.find(nodes.Block) is not None
    for holder in list(tree.find_all(nodes.Node)):
        for field, value in list(holder.iter_fields()):
            if isinstance(value, list):
                setattr(holder, field, [_column_first(item, has_blocks) for item in value])
            elif isinstance(value, nodes.Node):
                setattr(holder, field, _column_first(value, has_blocks))
    return tree


def _column_first(node: Any, has_blocks: bool) -> Any:
    match node:
        case (
            nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str() as key))
            | nodes.Getattr(node=nodes.Name(name="row"), attr=str() as key)
        ):
            return _filter("_of_row", nodes.Const(key, lineno=node.lineno))
        case nodes.Name(name="self", ctx="load") if not has_blocks:
            return _filter("_column", nodes.Const("self", lineno=node.lineno))
        case _:
            return node


def _filter(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@pass_context
def _column(context: Context, name: str) -> Any:
    return context.resolve(name)


@pass_context
def _of_row(context: Context, key: str) -> Any:
    """`row["key"]`: of a column named row, where that has the key, else the row's column."""
    own = context.resolve(ROW)
    if isinstance(own, Mapping) and key in own:
        return own[key]
    return context.parent[key] if key in context.parent else context.environment.getattr(own, key)


@pass_context
def _counted(context: _Context, items: Any) -> Any:
    """Count the steps of a loop. Raises SecurityError above MAX_STEPS in all loops of a render together."""
    if isinstance(items, jinja2.Undefined):
        return items

    def counted(found: Iterable[Any]) -> Iterator[Any]:
        for item in found:
            context.steps += 1
            if context.steps > MAX_STEPS:
                raise SecurityError(f"more than {MAX_STEPS:,} steps of loops")
            yield item

    return counted(items)


def _concat(parts: Iterable[Any]) -> str:
    return bounded_join("", parts)


def _environment() -> Sandbox:
    environment = Sandbox(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=printed)
    environment.filters.update(FILTERS, _column=_column, _of_row=_of_row, _counted=_counted, _concat=_concat)
    # Random text: a request would have another key each time.
    del environment.globals["lipsum"]
    return environment


ENVIRONMENT = _environment()
