"""Count the outcomes of the calls while the results are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batch.records import ErrorInfo
from batch.results.join import Result

_LONGEST_MESSAGE = 300


@dataclass(slots=True)
class Calls:
    """One variant's tasks. `cut_off` of the answered ones ended with finish_reason length, `retried` took more than one attempt."""

    variant: str
    tasks: int = 0
    answered: int = 0
    failed: int = 0
    missing: int = 0
    cut_off: int = 0
    retried: int = 0


@dataclass(slots=True)
class Failure:
    """The failed tasks of one kind and code: a count per variant, and the message of one of them."""

    kind: str
    code: str
    counts: list[int]
    message: str
    row_id: str


class CallTally:
    """Counts results. `calls` are in the variants' order."""

    def __init__(self, variants: Sequence[str]) -> None:
        self.calls = [Calls(name) for name in variants]
        self._failures: dict[tuple[str, str], Failure] = {}

    @property
    def failures(self) -> list[Failure]:
        """The most frequent first."""
        return sorted(self._failures.values(), key=lambda failure: (-sum(failure.counts), failure.code))

    def add(self, variant: int, result: Result) -> None:
        """Count a result of the variant of this number."""
        calls, outcome = self.calls[variant], result.outcome
        calls.tasks += 1
        if outcome is None:
            calls.missing += 1
            return
        calls.retried += outcome.attempts > 1
        if outcome.error is not None:
            calls.failed += 1
            self._fail(variant, result, outcome.error)
            return
        calls.answered += 1
        calls.cut_off += outcome.finish_reason == "length"

    def _fail(self, variant: int, result: Result, error: ErrorInfo) -> None:
        key = (error.kind.value, error.code)
        failure = self._failures.get(key)
        if failure is None:
            failure = Failure(*key, [0] * len(self.calls), error.message[:_LONGEST_MESSAGE], result.row.id)
            self._failures[key] = failure
        failure.counts[variant] += 1
