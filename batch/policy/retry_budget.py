"""The retry budget of a run: an outage must not multiply the load.

As in Finagle and gRPC (https://github.com/grpc/proposal/blob/master/A6-client-retries.md, "Throttling Retry Attempts"), retries may be
a share of the requests, plus a floor for short runs.
"""

from __future__ import annotations

RETRY_SHARE = 0.2


class RetryBudget:
    """Counts requests and charged retries of one endpoint in one run."""

    def __init__(self, floor: int) -> None:
        self._floor = floor
        self._requests = 0
        self._retries = 0

    @property
    def allows_retry(self) -> bool:
        """Whether one more retry stays within the budget."""
        return self._retries < self._floor + RETRY_SHARE * self._requests

    def sent(self, *, retry: bool) -> None:
        """A request leaves; `retry` when it repeats one that was charged."""
        self._requests += 1
        self._retries += retry
