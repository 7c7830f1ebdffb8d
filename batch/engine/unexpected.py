"""Fails a row whose reply met a bug of promptmill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from batch.engine.costs import Costs
from batch.engine.decisions import Decision, Fail, ReportBug
from batch.engine.work import Work
from batch.errors import describe_bug
from batch.events import UnexpectedError
from batch.policy.verdicts import Action, Verdict
from batch.records import ErrorInfo, ErrorKind, Exchange


def fail_unexpected(work: Work, exchange: Exchange, error: Exception, costs: Costs) -> Iterator[Decision]:
    """Report `error` as a bug, count the attempt as possibly billed, and fail the row unless it is a probe."""
    message = f"{type(error).__name__} while the reply was judged: this is a bug in promptmill"
    yield ReportBug(UnexpectedError(message, describe_bug(error)))
    empty = replace(exchange, body=b"", reply=None, headers={})
    if work.reserved:
        costs.ended(work, empty, Verdict(Action.FAIL, may_be_billed_twice=True))
    if not work.is_probe:
        yield Fail(work, ErrorInfo(ErrorKind.PROTOCOL, "unexpected", message, exchange.status), empty)
