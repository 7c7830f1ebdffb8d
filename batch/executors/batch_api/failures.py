"""Records rows that fail in batches, and holds them against run.max_failures, as the live engine does."""

from __future__ import annotations

from batch.engine.recorder import Recorder
from batch.engine.stop import Stop
from batch.engine.work import Work
from batch.policy.failures import FailureLimit
from batch.records import ErrorInfo, Exchange
from batch.settings import RunSettings


class BatchFailures:
    """The failures of one session. `stop` is set once the limit is exceeded: open batches stay where they are, and no more is submitted."""

    def __init__(self, recorder: Recorder, run: RunSettings) -> None:
        self.recorder = recorder
        self._limit = FailureLimit(run.max_failures)
        # Without a limit of the job's own, the rows of one variant that all fail alike say nothing about the others.
        self._counts = run.max_failures is not None or len(recorder.tallies) == 1
        self.stop: Stop | None = None

    def fail(self, work: Work, error: ErrorInfo, exchange: Exchange | None) -> None:
        """Record a failed row; `exchange` is None when nothing was sent. Raises StorageError."""
        self.recorder.failed(work, error, exchange)
        if self.stop is not None or not self._counts:
            return
        tallies = self.recorder.tallies
        reason = self._limit.exceeded(tallies.values(), tallies[work.task.variant], error)
        if reason is not None:
            example = f"for example row {work.task.ordinal}, id {work.task.id}: {error.message}"
            self.stop = Stop("refused", f"{reason}; {example}; batches that are open continue at their providers")
