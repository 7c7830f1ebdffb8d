"""Functions that read answers: `results.parsed(function)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, repr=False)
class Parsed:
    """What a parser made of one answer: its `value`, or the `error` that it raised. `row` counts from 0."""

    id: str
    row: int
    variant: str
    repeat: int
    value: Any
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether the parser has read the answer."""
        return self.error is None

    def __repr__(self) -> str:
        text = repr(self.value) if self.error is None else f"{type(self.error).__name__}: {self.error}"
        return f"<Parsed {self.id!r} {self.variant}: {text if len(text) <= 60 else text[:59] + '…'}>"


def parse_answers(records: Iterable[Mapping[str, Any]], parser: Callable[..., Any]) -> Iterator[Parsed]:
    """Yield what `parser` makes of each completion's text; with a second argument it gets the completion's row too. Raises TypeError."""
    with_record = _takes_record(parser)
    for record in records:
        value, raised = None, None
        try:
            value = parser(record["completion"], dict(record)) if with_record else parser(record["completion"])
        except Exception as error:  # noqa: BLE001 - one odd answer must not keep the others from being read
            raised = error
        yield Parsed(record["id"], record["row"], record["variant"], record["repeat"], value, raised)


def _takes_record(parser: Callable[..., Any]) -> bool:
    """Whether a parser needs a completion's row beside its text. Raises TypeError for what takes neither one nor two arguments."""
    if not callable(parser):
        raise TypeError(f"the parser is {type(parser).__name__}: it must be a function of an answer's text")
    try:
        signature = inspect.signature(parser)
    except ValueError:  # a function of C without a signature
        return False
    for arguments in (1, 2):
        try:
            signature.bind(*range(arguments))
        except TypeError:
            continue
        return arguments == 2
    raise TypeError(f"the parser {parser!r} must take an answer's text, or the text and its row of completions")
