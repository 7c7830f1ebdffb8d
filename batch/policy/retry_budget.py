"""The retry budget of a run: an endpoint that fails most requests must not get them several times over.

It counts tasks, not attempts: each task is bounded by run.attempts anyway, and few rows that fail each time must not end a run.
After Finagle and gRPC (https://github.com/grpc/proposal/blob/master/A6-client-retries.md, "Throttling Retry Attempts"), which allow
retries of about 20 % of the requests: an endpoint that fails a quarter of them by chance would end a run whose rows all succeed.
"""

from __future__ import annotations


class RetryBudget:
    """Counts the tasks of one endpoint in one run, and those of them that were retried after an attempt that counts.

    The `share` of the tasks may be retried, beyond a `floor` for short runs. A run below it makes progress and continues.
    """

    def __init__(self, floor: int, share: float) -> None:
        self._floor = floor
        self._share = share
        self._tasks = 0
        self._retried = 0

    @property
    def allows_retry(self) -> bool:
        """Whether one more task may be retried."""
        return self._retried < self._floor + self._share * self._tasks

    def sent(self, *, first: bool, retried: bool) -> None:
        """Count a request: the `first` of its task, or the first that repeats an attempt that counts (`retried`)."""
        self._tasks += first
        self._retried += retried
