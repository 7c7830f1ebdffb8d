"""What the refusals of one row say of the row itself."""

from __future__ import annotations

from dataclasses import replace

from batch.engine.work import Work
from batch.records import ErrorInfo
from batch.settings import RunSettings


def named_error(work: Work, error: ErrorInfo, largest_served: int) -> ErrorInfo:
    """Return the error with which a row fails: a row that no rate lets through is too large, if larger than all served ones, in bytes."""
    is_larger = len(work.request.body) > largest_served > 0
    return replace(error, code="too_large") if error.code == "rate_limit" and is_larger else error


def is_spent(work: Work, run: RunSettings, outage_since: float | None, now: float) -> bool:
    """Return whether a row's attempts or time are used up; an outage since `outage_since` (monotonic seconds) is no time of it."""
    served_until = now if outage_since is None else outage_since
    overdue = work.first_sent is not None and served_until - work.first_sent > run.task_timeout_s
    return overdue or work.attempts >= run.attempts
