"""Check foreign text within a time: patterns that may backtrack, and JSON Schemas whose keywords may take exponential time.

Python's `re` cannot be stopped, not even from another thread. The module `regex` reads the same syntax and takes a time-out, which it
looks at while it searches (github.com/mrabarnett/mrab-regex, README, "Timeout").
"""

from __future__ import annotations

import functools
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

LONGEST_S = 1.0
"""CPU seconds that the check of one answer may take. Checks of sound answers take a few milliseconds."""


# Keywords within keywords; a level of an answer that a schema describes by reference takes two of them and seven frames of Python's stack.
# At the end of that stack rpds, in which jsonschema keeps its resources, panics: that is no Exception, and would end the process.
DEEPEST = 180


class OutOfTimeError(Exception):
    """A check was stopped: it took longer than its time."""


class Deadline(threading.local):
    """The end of the check that this thread is at; none by default.

    Counts the thread's CPU time, as the time-out of `regex` counts that of the process.
    """

    def __init__(self) -> None:
        self._until: float | None = None
        self.depth = 0

    def start(self, seconds: float = LONGEST_S) -> None:
        """Begin a check that may take this long."""
        # On a busy or suspended machine a quick check may take long by the clock.
        self._until = time.thread_time() + seconds
        self.depth = 0

    def clear(self) -> None:
        """End the check."""
        self._until = None

    @property
    def left(self) -> float:
        """Seconds that are left, `LONGEST_S` without a check. Raises OutOfTimeError when there are none."""
        if self._until is None:
            return LONGEST_S
        left = self._until - time.thread_time()
        if left <= 0:
            raise OutOfTimeError
        return left


class BoundedPattern:
    """A pattern in the syntax of Python's `re` whose search can be stopped.

    Raises:
        ValueError: the pattern cannot be read.
    """

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        import regex

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sets within sets, which regex warns of and reads as re does
            try:
                self._compiled = regex.compile(pattern, regex.V0 | (regex.IGNORECASE if ignore_case else 0))
            except regex.error as error:
                raise ValueError(f"the pattern cannot be read: {error}") from error

    def matches(self, text: str, seconds: float = LONGEST_S) -> list[Any]:
        """All matches in `text`, in order, as those of `re.finditer`. Raises OutOfTimeError."""
        try:
            return list(self._compiled.finditer(text, timeout=seconds))
        except TimeoutError:
            raise OutOfTimeError from None

    def is_in(self, text: str, seconds: float = LONGEST_S) -> bool:
        """Whether it is found in `text`. Raises OutOfTimeError."""
        try:
            return self._compiled.search(text, timeout=seconds) is not None
        except TimeoutError:
            raise OutOfTimeError from None


def bounded_validator(maker: Any, deadline: Deadline) -> Any:
    """A class as `maker`, a validator class of jsonschema, that looks at `deadline` at each keyword.

    It raises OutOfTimeError, and RecursionError beyond `DEEPEST` keywords within each other.

    Patterns are searched in the time that is left. `uniqueItems` takes linear time, where jsonschema compares each object with each other.
    """
    from jsonschema.validators import extend

    own: Mapping[str, Callable[..., Iterator[Any]]] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional,
        "uniqueItems": _unique,
    }
    guarded = {}
    for name, keyword in maker.VALIDATORS.items():
        timed = functools.partial(own[name], deadline) if name in own else keyword
        guarded[name] = _guarded(timed, deadline)
    return extend(maker, guarded)


def _guarded(keyword: Callable[..., Any], deadline: Deadline) -> Callable[..., Iterator[Any]]:
    def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if deadline.depth >= DEEPEST:
            raise RecursionError
        deadline.depth += 1
        try:
            if deadline.left:
                yield from keyword(validator, value, instance, schema) or ()
        finally:
            deadline.depth -= 1

    return checked


@functools.lru_cache(maxsize=512)
def _compiled(pattern: str) -> BoundedPattern:
    return BoundedPattern(pattern)


def _pattern(deadline: Deadline, validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if validator.is_type(instance, "string") and not _compiled(pattern).is_in(instance, deadline.left):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(deadline: Deadline, validator: Any, patterns: Mapping[str, Any], instance: Any, _: Any) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if _compiled(pattern).is_in(name, deadline.left):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional(deadline: Deadline, validator: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not validator.is_type(instance, "object"):
        return
    patterns = [_compiled(pattern) for pattern in schema.get("patternProperties", {})]
    others = [name for name in instance if name not in schema.get("properties", {})]
    extra = [name for name in others if not any(pattern.is_in(name, deadline.left) for pattern in patterns)]
    if isinstance(allowed, Mapping):
        for name in extra:
            yield from validator.descend(instance[name], allowed, path=name)
    elif not allowed and extra:
        names = ", ".join(map(repr, sorted(extra)))
        if patterns:
            regexes = ", ".join(map(repr, sorted(schema["patternProperties"])))
            yield ValidationError(f"{names} {'does' if len(extra) == 1 else 'do'} not match any of the regexes: {regexes}")
        else:
            yield ValidationError(f"Additional properties are not allowed ({names} {'was' if len(extra) == 1 else 'were'} unexpected)")


def _unique(_: Deadline, validator: Any, wanted: Any, instance: Any, __: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if wanted and validator.is_type(instance, "array") and len({_key(item) for item in instance}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _key(value: Any) -> Any:
    """A hashable value that is equal for equal JSON values: 1 and 1.0 are, 1 and true are not."""
    match value:
        case bool():
            return (bool, value)
        case Mapping():
            return (dict, frozenset((name, _key(item)) for name, item in value.items()))
        case list():
            return (list, tuple(_key(item) for item in value))
        case _:
            return value
