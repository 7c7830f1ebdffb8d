"""Makes tasks final: their outcomes go to the recorder, and failures count against run.max_failures."""

from __future__ import annotations

from batch.engine.backlog import Backlog
from batch.engine.decisions import StopRun
from batch.engine.feed import Copied, Unsendable
from batch.engine.recorder import Recorder
from batch.engine.stop import Stop
from batch.engine.work import Work
from batch.errors import StorageError
from batch.policy.failures import FailureLimit
from batch.records import ErrorInfo, Exchange
from batch.settings import RunSettings


class Finisher:
    """Finishes the tasks of one worker pool. Each method returns why the whole run must stop, None if it need not."""

    def __init__(self, backlog: Backlog, recorder: Recorder, run: RunSettings) -> None:
        self._backlog = backlog
        self._recorder = recorder
        self._run = run
        self._limit = FailureLimit(run.max_failures)

    def fail(self, work: Work, error: ErrorInfo, exchange: Exchange | None) -> StopRun | None:
        """Record a failed row; `exchange` is None when nothing was sent."""
        try:
            self._recorder.failed(work, error, exchange)
        except StorageError as problem:
            return storage_stop(problem)
        return self._count_failure(work, error)

    def finish_unsent(self, item: Unsendable | Copied) -> StopRun | None:
        """Record work that needs no attempt, unless its variant is skipped."""
        if self._backlog.skips(item.work):
            return None
        if isinstance(item, Unsendable):
            return self.fail(item.work, item.error, None)
        try:
            self._recorder.copied(item.work, item.outcome)
        except StorageError as problem:
            return storage_stop(problem)
        return None if item.outcome.error is None else self._count_failure(item.work, item.outcome.error)

    async def flush(self, variant: str) -> StopRun | None:
        """Journal the completed answers, and sync if the durability setting or the disk's backlog requires it."""
        try:
            self._recorder.flush()
            if self._run.durability == "row" or self._recorder.is_behind(variant):
                await self._recorder.sync(variant)
        except StorageError as error:
            return storage_stop(error)
        return None

    def _count_failure(self, work: Work, error: ErrorInfo) -> StopRun | None:
        tallies = self._recorder.tallies
        reason = self._limit.exceeded(tallies.values(), tallies[work.task.variant], error)
        if reason is None:
            return None
        example = f"row {work.task.ordinal}, id {work.task.id}: {error.message}"
        # Without a limit of the job's own, the rows of one variant that all fail alike say nothing about the others.
        variant = work.task.variant if self._run.max_failures is None else None
        return StopRun(Stop("refused", f"{reason}; for example {example}"), self._run.grace_s, everywhere=variant is None, variant=variant)


def storage_stop(error: StorageError) -> StopRun:
    """Stop the run at once: nothing can be recorded any more, so no answer is waited for."""
    return StopRun(Stop("storage", str(error)), 0.0, everywhere=True)
