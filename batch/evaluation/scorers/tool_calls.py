"""The tool_call scorer: check that an answer calls the right functions with the right arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from batch.evaluation.scorers.json_values import read_json
from batch.evaluation.scorers.sample import ExpectedError, Sample, Scorer, scored, shown, unscored
from batch.evaluation.scorers.structured import same_value
from batch.evaluation.scorers.texts import answer_text
from batch.evaluation.table import ScoreValue

_TAGGED = re.compile(r"<(tool_call|function_call)>(.*?)(?:</\1>|\Z)", re.DOTALL)
"""Calls as text: the form of Hermes and Qwen, where a server does not read them."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One call. `arguments` is None where they are no JSON object."""

    name: str
    arguments: Mapping[str, Any] | None


def tool_call(
    *,
    arguments: Literal["equal", "contain", "ignore"] = "equal",
    order: bool = False,
    more: bool = False,
    text: bool = False,
    case_sensitive: bool = False,
) -> Scorer:
    """Score 1 when the answer makes the expected calls, each with its name and arguments, and no others.

    The expected value is a call {"name", "arguments"}, a list of them, OpenAI's form of either, or the JSON text of one; with an empty
    list nothing may be called. Names must be equal; in the arguments, texts are compared as `exact` does and numbers by value.
    `arguments` "contain" allows further arguments, "ignore" compares names alone. With `order`, calls must come in the expected order;
    with `more`, further calls are allowed. With `text`, calls that an answer writes as JSON are read too. An answer without any call, and
    one whose arguments are no JSON object, is wrong where calls are expected.
    """
    same_arguments = _comparison(arguments, case_sensitive=case_sensitive)

    def same(given: _Call, wanted: _Call) -> bool:
        return given.name == wanted.name and same_arguments(given, wanted)

    def score(sample: Sample) -> ScoreValue:
        wanted = _expected(sample.expected)
        given = _given(sample, text=text)
        if isinstance(given, ScoreValue):
            return given
        if not given:
            return scored(not wanted, None, "no call" if wanted else "no call, as expected")
        missing, surplus = _unmatched(given, wanted, same, order=order)
        right = not missing and (more or not surplus)
        return scored(
            right, "; ".join(map(_written, given)), "all calls are right" if right else _complaint(missing, surplus, given, wanted)
        )

    return score


def _comparison(arguments: str, *, case_sensitive: bool) -> Callable[[_Call, _Call], bool]:
    def same(given: _Call, wanted: _Call) -> bool:
        if arguments == "ignore":
            return True
        if given.arguments is None or wanted.arguments is None:
            return False
        names = wanted.arguments if arguments == "contain" else {**given.arguments, **wanted.arguments}
        return all(
            name in given.arguments
            and name in wanted.arguments
            and same_value(given.arguments[name], wanted.arguments[name], case_sensitive=case_sensitive)
            for name in names
        )

    return same


def _expected(value: Any) -> list[_Call]:
    """Read the expected calls. Raises ExpectedError for a value that is not a call."""
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError as error:
            raise ExpectedError(f"the expected value is no JSON: {shown(value, 60)}") from error
    calls = _calls(value)
    if calls is None or any(call.arguments is None for call in calls):
        raise ExpectedError('the expected value is no call such as {"name": "search", "arguments": {"city": "Rome"}}')
    return calls


def _given(sample: Sample, *, text: bool) -> list[_Call] | ScoreValue:
    if sample.tool_calls:
        return _calls(list(sample.tool_calls)) or []
    said = answer_text(sample)
    if isinstance(said, ScoreValue):
        return said
    return _calls_in_text(said) if text else []


def _calls_in_text(text: str) -> list[_Call] | ScoreValue:
    tagged = [match[2] for match in _TAGGED.finditer(text)]
    if not tagged:
        try:
            return _calls(read_json(text, embedded=True)) or []
        except ValueError:
            return []
    found: list[_Call] = []
    for inside in tagged:
        try:
            calls = _calls(read_json(inside))
        except ValueError as error:
            return unscored(f"a call that cannot be read: {error}", text)
        found += calls or []
    return found


def _calls(value: Any) -> list[_Call] | None:
    """Read calls in OpenAI's form, or objects with a name; None when the list has anything else."""
    items = value if isinstance(value, list | tuple) else [value]
    found = [_call(item) for item in items]
    return None if None in found else [call for call in found if call is not None]


def _call(item: Any) -> _Call | None:
    inner = item.get("function", item) if isinstance(item, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        return None
    arguments: Any = next((inner[key] for key in ("arguments", "parameters", "input") if inner.get(key) is not None), {})
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments) if arguments.strip() else {}
        except ValueError:
            arguments = None
    return _Call(inner["name"], arguments if isinstance(arguments, Mapping) else None)


def _unmatched(
    given: Sequence[_Call], wanted: Sequence[_Call], same: Callable[[_Call, _Call], bool], *, order: bool
) -> tuple[list[_Call], list[_Call]]:
    """Return the expected calls that were not made, and the calls that were not expected."""
    if order:
        return _unmatched_in_order(given, wanted, same)
    of_given: dict[int, int] = {}
    missing = [call for at, call in enumerate(wanted) if not _match(at, given, wanted, same, of_given, set())]
    return missing, [call for at, call in enumerate(given) if at not in of_given]


def _match(
    at: int, given: Sequence[_Call], wanted: Sequence[_Call], same: Callable[[_Call, _Call], bool], of_given: dict[int, int], seen: set[int]
) -> bool:
    """Give the expected call `at` one of the made ones; others move where they can (Kuhn's bipartite matching)."""
    # Taking the first that fits is not enough: it may be the only one that fits another expected call.
    for place, call in enumerate(given):
        if place in seen or not same(call, wanted[at]):
            continue
        seen.add(place)
        if place not in of_given or _match(of_given[place], given, wanted, same, of_given, seen):
            of_given[place] = at
            return True
    return False


def _unmatched_in_order(
    given: Sequence[_Call], wanted: Sequence[_Call], same: Callable[[_Call, _Call], bool]
) -> tuple[list[_Call], list[_Call]]:
    rest, surplus = list(wanted), []
    for call in given:
        if rest and same(call, rest[0]):
            rest.pop(0)
        else:
            surplus.append(call)
    return rest, surplus


def _complaint(missing: Sequence[_Call], surplus: Sequence[_Call], given: Sequence[_Call], wanted: Sequence[_Call]) -> str:
    unread = [call.name for call in given if call.arguments is None]
    if unread:
        return f"the arguments of {unread[0]} are no JSON object"
    if not missing:
        return f"not expected: {shown('; '.join(map(_written, surplus)), 120)}"
    if sorted(call.name for call in given) == sorted(call.name for call in wanted) and {call.name for call in missing} == {
        call.name for call in surplus
    }:
        return f"other arguments or another order; expected {shown('; '.join(map(_written, missing)), 120)}"
    return f"missing: {shown('; '.join(map(_written, missing)), 120)}"


def _written(call: _Call) -> str:
    return f"{call.name}({'…' if call.arguments is None else json.dumps(call.arguments, ensure_ascii=False, default=str)})"
