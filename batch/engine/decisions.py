"""The decisions of the failure handler on attempts without an answer. The worker pool carries them out."""

from __future__ import annotations

from dataclasses import dataclass

from batch.engine.stop import Stop
from batch.engine.work import Work
from batch.events import UnexpectedError
from batch.policy.verdicts import Verdict
from batch.records import ErrorInfo, Exchange


@dataclass(frozen=True, slots=True)
class Retry:
    """Send `work` again, not before `due` (monotonic seconds). `error` is why its answer was refused, where it had one."""

    work: Work
    due: float
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The row has failed; `exchange` is None when nothing was sent."""

    work: Work
    error: ErrorInfo
    exchange: Exchange | None


@dataclass(frozen=True, slots=True)
class StopRun:
    """Send nothing more; requests in flight get `grace_s` to end. Of this pool only, or `everywhere`.

    With `variant` only of that one, as long as the pool has others.
    """

    stop: Stop
    grace_s: float
    everywhere: bool = False
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Warn:
    """Show the user a sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class ReportBug:
    """Report an exception that promptmill did not expect; the run continues."""

    event: UnexpectedError


Decision = ReportBug | Retry | Fail | StopRun | Warn


def code_of(found: Decision | Verdict) -> str:
    """Return the code of the error that a decision or verdict is about."""
    error = found.error if isinstance(found, Retry | Fail | Verdict) else None
    return "unexpected" if error is None else error.code
