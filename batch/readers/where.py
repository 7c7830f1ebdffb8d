"""`where` of [input]: a condition over a row's columns, such as `label == "x" and score > 3`, the same for every format.

The grammar is a part of Python's: `and or not`, `== != < <= > >=`, `in` and `not in` (a list of values, a text within a text, an item
of a list column), `len(…)`, `null true false`, brackets. A column stands under its name, as `row["odd name"]` where that is no identifier,
and what is nested in it behind a dot or in brackets. It is parsed, never evaluated: nothing else can be called or reached.

Two values that cannot be compared (also: an absent or null one) are not equal, and neither is the greater; `x == null` asks for null.
A text beside a number is read as a number, since CSV holds nothing but text; beside a date or time as ISO 8601, beside a duration as
seconds, beside a UUID as one, beside bytes as UTF-8.
"""

from __future__ import annotations

import ast
import datetime as dt
import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

Value = Callable[[Mapping[str, Any]], Any]

# Python's parser takes memory and stack for nesting: long sources are refused before it sees them.
MAX_CHARACTERS = 10_000
_ROW = "row"
_CONSTANTS = {"null": None, "true": True, "false": False}
_ORDERINGS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MEANT = {"&&": "and", "||": "or", "<>": "!=", " AND ": "and", " OR ": "or", " IS ": "==", "=": "=="}


class Condition:
    """A compiled `where`. `columns` are the columns that it names.

    Raises:
        ValueError: what is wrong with `source`, and where in it.
    """

    def __init__(self, source: str) -> None:
        self.columns: set[str] = set()
        self._value = self._compiled(_parsed(source))

    def holds(self, columns: Mapping[str, Any]) -> bool:
        """Whether the row with these columns is taken."""
        return bool(self._value(columns))

    def _compiled(self, node: ast.expr) -> Value:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                every = [self._compiled(value) for value in values]
                return lambda row: all(value(row) for value in every)
            case ast.BoolOp(values=values):
                some = [self._compiled(value) for value in values]
                return lambda row: any(value(row) for value in some)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                negated = self._compiled(operand)
                return lambda row: not negated(row)
            case ast.Compare():
                return self._comparison(node)
            case ast.Call(func=ast.Name(id="len"), args=[argument], keywords=[]):
                measured = self._compiled(argument)
                return lambda row: _length(measured(row))
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                made = [self._compiled(item) for item in items]
                return lambda row: [item(row) for item in made]
            case _:
                return self._operand(node)

    def _operand(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=str() | int() | float() | None as constant):
                return lambda _: constant
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return lambda _: -number
            case ast.Name(id=name) if name in _CONSTANTS:
                return lambda _: _CONSTANTS[name]
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as column)) if name == _ROW:
                return self._column(column)
            case ast.Name(id=name):
                return self._column(name)
            case ast.Attribute(value=inner, attr=key) | ast.Subscript(value=inner, slice=ast.Constant(value=str() | int() as key)):
                return self._nested(inner, key)
            case ast.Subscript(value=inner, slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as place))):
                return self._nested(inner, -place)
            case _:
                raise ValueError(f"{ast.unparse(node)[:80]!r} cannot stand in a condition; {_GRAMMAR}")

    def _nested(self, inner: ast.expr, key: str | int) -> Value:
        holder = self._compiled(inner)
        return lambda row: _member(holder(row), key)

    def _column(self, name: str) -> Value:
        self.columns.add(name)
        return lambda row: row.get(name)

    def _comparison(self, node: ast.Compare) -> Value:
        operands = [self._compiled(operand) for operand in (node.left, *node.comparators)]
        tests = [_TESTS[type(op)] for op in node.ops if type(op) in _TESTS]
        if len(tests) < len(node.ops):
            raise ValueError("'is' cannot stand in a condition; write == null, or != null")
        if len(tests) == 1:
            (test,), (left, right) = tests, operands
            return lambda row: test(left(row), right(row))
        pairs = list(zip(tests, operands, operands[1:], strict=False))
        return lambda row: all(test(left(row), right(row)) for test, left, right in pairs)


_GRAMMAR = 'it is made of columns, values, and, or, not, == != < <= > >=, in, len() and null, as in label == "x" and score > 3'


def _parsed(source: str) -> ast.expr:
    if len(source) > MAX_CHARACTERS:
        raise ValueError(f"is longer than {MAX_CHARACTERS:,} characters")
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        meant = next((f"; write {right} for {wrong.strip()}" for wrong, right in _MEANT.items() if wrong in source), "")
        raise ValueError(f"cannot be read at character {error.offset or 1}: {error.msg}{meant}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ValueError("cannot be read: it holds a NUL, or is nested too deep") from None
    if not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Name | ast.Attribute | ast.Subscript):
        raise ValueError(f"is no condition; {_GRAMMAR}")  # noqa: TRY004 - it is about a text
    return tree


def _member(holder: Any, key: str | int) -> Any:
    if isinstance(holder, Mapping):
        return holder.get(key)
    if isinstance(key, int) and isinstance(holder, Sequence) and not isinstance(holder, str) and -len(holder) <= key < len(holder):
        return holder[key]
    return None


def _length(value: Any) -> int | None:
    return len(value) if hasattr(value, "__len__") else None


def _equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    left, right = _alike(left, right)
    return bool(left == right)


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        try:
            return bool(compare(*_alike(left, right)))
        except TypeError:
            return False

    return test


def _within(item: Any, holder: Any) -> bool:
    if isinstance(holder, bytes):
        item = item.encode() if isinstance(item, str) else item
        return isinstance(item, bytes) and item in holder
    if isinstance(holder, str):
        return isinstance(item, str) and item in holder
    if isinstance(holder, Mapping):
        return item in holder
    return isinstance(holder, Sequence) and any(_equal(item, each) for each in holder)


_TESTS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: _equal,
    ast.NotEq: lambda left, right: not _equal(left, right),
    ast.In: _within,
    ast.NotIn: lambda item, holder: not _within(item, holder),
    **{kind: _ordering(compare) for kind, compare in _ORDERINGS.items()},
}


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Both values, a text among them read as what the other one is."""
    if isinstance(left, str) and not isinstance(right, str):
        left = _read_as(right, left)
    elif isinstance(right, str) and not isinstance(left, str):
        right = _read_as(left, right)
    # A day beside a moment is its midnight, in the moment's zone.
    if isinstance(left, dt.datetime) and type(right) is dt.date:
        right = dt.datetime.combine(right, dt.time(), left.tzinfo)
    elif isinstance(right, dt.datetime) and type(left) is dt.date:
        left = dt.datetime.combine(left, dt.time(), right.tzinfo)
    return left, right


def _read_as(model: Any, text: str) -> Any:
    """`text` as a value of `model`'s kind; the text itself, which equals nothing, where it is none."""
    try:
        match model:
            # Before int(), which bool is a subclass of.
            case bool():
                return {"true": True, "false": False}.get(text.strip().lower(), text)
            case int() | float():
                return float(text) if any(mark in text for mark in ".eEnN") else int(text)
            case Decimal():
                return Decimal(text)
            # Before date(), which datetime is a subclass of.
            case dt.datetime():
                moment = dt.datetime.fromisoformat(text)
                return moment.replace(tzinfo=model.tzinfo) if (moment.tzinfo is None) != (model.tzinfo is None) else moment
            case UUID():
                return UUID(text)
            case bytes():
                return text.encode()
            case dt.timedelta():
                return dt.timedelta(seconds=float(text))
            case dt.date() | dt.time():
                return type(model).fromisoformat(text)
            case _:
                return text
    except (ValueError, ArithmeticError):
        return text
