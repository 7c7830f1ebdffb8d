"""Counts the failed rows of batches against run.max_failures, as a live session does."""

from __future__ import annotations

from collections.abc import Mapping

from batch.clock import Clock
from batch.engine.costs import Costs
from batch.engine.recorder import Recorder
from batch.engine.stop import Stop
from batch.engine.work import Work
from batch.journal.writer import JournalWriter
from batch.policy.failures import FailureLimit
from batch.records import Outcome
from batch.tally import Tally


class BatchRecorder(Recorder):
    """Records the outcomes of batches, and says when too many of them are failures; `max_failures` as in the job."""

    def __init__(
        self, journals: Mapping[str, JournalWriter], tallies: Mapping[str, Tally], clock: Clock, max_failures: int | str | None
    ) -> None:
        super().__init__(journals, tallies, clock, Costs({}, ()))
        self._limit = FailureLimit(max_failures)
        self._has_limit = max_failures is not None
        self._failed: dict[str, Outcome] = {}

    def exceeded(self, *, more: bool) -> Stop | None:
        """Say why no further batch is submitted, None where one may be. Call it with whole batches recorded: their lines have no order.

        `more`: something would be submitted. Without a limit of the job's own, a run whose rows all have failed alike is stopped only then,
        and only where it has no other model.
        """
        if not self._has_limit and (not more or len(self.tallies) > 1):
            return None
        for variant, outcome in self._failed.items():
            assert outcome.error is not None  # noqa: S101 - only failures are kept
            reason = self._limit.exceeded(self.tallies.values(), self.tallies[variant], outcome.error)
            if reason is not None:
                example = f"row {outcome.ordinal}, id {outcome.id}: {outcome.error.message}"
                return Stop("refused", f"{reason}; for example {example}")
        return None

    def _count(self, work: Work, outcome: Outcome) -> None:
        super()._count(work, outcome)
        if outcome.error is not None:
            self._failed[work.task.variant] = outcome
