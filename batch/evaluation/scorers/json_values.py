"""Read JSON from answers: the whole text, a fenced block in it, or an object within prose."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any, NoReturn

from batch.prompts.bounded import LONGEST_S, BoundedPattern, OutOfTimeError

_FENCE = r"(?ism)^[ \t]*(?P<mark>```+|~~~+)[ \t]*(?:json\w*)?[ \t]*\r?\n(?P<inside>.*?)^[ \t]*(?P=mark)[ \t]*$"
_MOST_STARTS = 10_000
"""Brackets in prose at which JSON may begin: each costs a try, which a text of nothing but brackets makes long."""


def read_json(text: str, *, embedded: bool = False, fences: bool = True, fits: Callable[[Any], bool] | None = None) -> Any:
    """Return the JSON in an answer, as RFC 8259 has it (no NaN): all of the text, else with `fences` its last block that is JSON.

    With `embedded`, objects and lists within prose are taken as well, the last first. Of several values the first that `fits` is
    returned, or the first one where none fits.

    Raises:
        ValueError: there is no JSON.
    """
    fault: ValueError = ValueError("no JSON")
    first: list[Any] = []
    blocks = list(_blocks(text)) if fences else []
    for candidate in (text, *reversed(blocks)):
        try:
            value = json.loads(candidate, parse_constant=_refuse)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        except ValueError as error:
            fault = error if candidate is text or not blocks else fault
            continue
        if fits is None or fits(value):
            return value
        first.append(value)
    for value in _values_in_prose(text) if embedded else ():
        if fits is None or fits(value):
            return value
        first.append(value)
    if first:
        return first[0]
    raise fault


def loads(text: str) -> Any:
    """Parse JSON without NaN and infinities. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _blocks(text: str) -> Iterator[str]:
    if "```" not in text and "~~~" not in text:
        return
    try:
        yield from [match["inside"] for match in _fence().matches(text)]
    except OutOfTimeError:  # thousands of fences, each of another length
        return


def _values_in_prose(text: str) -> list[Any]:
    """Return the objects and lists in a text that are inside no other one, the last first."""
    found: list[Any] = []
    end, until = 0, time.monotonic() + LONGEST_S
    for match in islice(re.finditer(r"[{\[]", text), _MOST_STARTS):
        if match.start() < end:
            continue
        if time.monotonic() > until:
            break
        try:
            value, end = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        found.append(value)
    # "Set [1]: {…}": what is asked for is an object more often than a list.
    return [*(value for value in reversed(found) if isinstance(value, dict)), *(v for v in reversed(found) if not isinstance(v, dict))]


@cache
def _fence() -> BoundedPattern:
    return BoundedPattern(_FENCE)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


# RFC 8259 has no NaN; Python's own decoder takes it.
_DECODER = json.JSONDecoder(parse_constant=_refuse)
