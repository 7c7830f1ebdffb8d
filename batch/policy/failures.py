"""Decides when failed rows end a run: all first rows fail for one reason, or more rows fail than `run.max_failures` allows."""

from __future__ import annotations

from collections.abc import Iterable

from batch.records import ErrorInfo, ErrorKind
from batch.tally import Tally

ALL_ALIKE = 20
"""This many rows of a variant that fail for the same reason, with none answered ever, end a run: the job is wrong, not the rows."""

FEWEST_FOR_A_SHARE = 20
"""The share of failed rows is judged from this many outcomes on: the first failed row would be 100 %."""

# Errors that the next row is not expected to change. Content filters depend on the row.
_SAME_FOR_ALL = frozenset(
    {"bad_request", "context_length", "too_large", "not_found", "too_big", "answer_not_json", "schema_violation"}
    | {"not_json", "no_choices", "truncated_body", "truncated_stream", "queued", "unexpected"}
)


class FailureLimit:
    """The limit that `run.max_failures` sets: a number of rows ("more than 100"), a share of the outcomes ("10%"), or None.

    Counts are of one session. Without a limit only a run is ended whose first outcomes are all failures of one deterministic code;
    "100%" ends none.
    """

    def __init__(self, limit: int | str | None) -> None:
        self._number = limit if isinstance(limit, int) else None
        self._share = float(limit.removesuffix("%")) / 100 if isinstance(limit, str) else None

    def exceeded(self, tallies: Iterable[Tally], own: Tally, error: ErrorInfo) -> str | None:
        """Return why the failure `error`, already counted in `own` (its variant's tally), ends the run; None if it does not."""
        if self._number is None and self._share is None:
            return self._all_alike(own, error)
        failed = ok = 0
        for tally in tallies:
            failed, ok = failed + tally.failed, ok + tally.ok
        if self._number is not None:
            return f"more than {self._number:,} rows failed (run.max_failures)" if failed > self._number else None
        if self._share is not None and failed >= FEWEST_FOR_A_SHARE and failed > self._share * (failed + ok):
            return f"{failed:,} of {failed + ok:,} rows failed, more than {100 * self._share:g}% (run.max_failures)"
        return None

    def _all_alike(self, own: Tally, error: ErrorInfo) -> str | None:
        if own.ok or own.kept_ok or own.failed < ALL_ALIKE or len(own.failures) > 1:
            return None
        if error.kind is not ErrorKind.INPUT and error.code not in _SAME_FOR_ALL:
            return None
        return f'the first {own.failed:,} rows all failed with {error.code} (run.max_failures = "100%" continues regardless)'
