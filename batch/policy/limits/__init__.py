"""Limits of requests in flight: fixed, adaptive, or shared with other workers."""

from __future__ import annotations

from typing import Protocol


class ConcurrencyLimit(Protocol):
    """The number of requests that may be in flight at once. All times are monotonic seconds, given by the caller."""

    @property
    def limit(self) -> int:
        """Requests that may be in flight at once."""

    def sent(self, now: float) -> None:
        """Count a request that leaves."""

    def ended(self, now: float) -> None:
        """Count a request that ended, however. Called before `served`, `refused` or `faulted`."""

    def served(self, sent_at: float, now: float, tokens: float) -> None:
        """Learn from an answer of `tokens` completion tokens (1 where the endpoint reports none)."""

    def faulted(self) -> None:
        """Learn from a failure of the endpoint other than a refusal (5xx, a broken connection)."""

    def refused(self, sent_at: float, now: float) -> bool:
        """Learn from a refusal of a request sent at `sent_at`; True when that cut the limit."""
