"""Decides whose fault a refusal is: the row's, the endpoint's, or the run's.

The evidence is what the endpoint did with other rows, and when:

- A row is to blame when the endpoint served a request that was sent after the row had been refused.
- The endpoint is to blame when several distinct rows fail and none is served between. That is a suspicion; a request that was
  answered before (the reference) is sent again to prove it. Served, the rows are to blame; refused, the endpoint is.
- The run is to blame when the endpoint says so: key, money, model, path (the table in `dialects.py`). Where it has answered before, it must
  say so of the reference too, or of several distinct rows with no other row served between: one row alone is to blame itself.

Evidence is kept for each endpoint and variant: an endpoint may serve one model while another is unloaded.
Pure: times are monotonic seconds, given by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from enum import Enum
from http import HTTPStatus

from batch.policy.verdicts import Action, Verdict
from batch.records import ErrorKind

DISTINCT_RETRIED = 3
"""This many distinct tasks that failed without using a word of their own, with none served between, raise a suspicion."""

DISTINCT_STOPS = 3
"""When this many distinct tasks were refused for the run's fault, and no row was served between, the run is to blame."""

DISTINCT_REFUSED = 5
"""The same for tasks that were refused for good, as by a 400."""

ALONE_REFUSALS = 4
"""A task that was refused for the rate this often, while others were served after each refusal, is to blame itself."""

MOST_PATIENCE = 64
"""The thresholds double with each suspicion that a reference refutes, up to this factor: a long block of bad rows costs few tests."""

# What an endpoint says about the one request; an endpoint that is out of order does not say it.
OF_THE_ROW = frozenset({"context_length", "content_filter", "too_large", "too_big"})
# Refusals that limit the rate. They say nothing about the row until others are served after each of them.
OF_THE_RATE = frozenset({"rate_limit", "overloaded"})
# What costs a row no attempt, since it passes: it is no reason to send one row for ever while others are served.
OF_THE_MOMENT = OF_THE_RATE | {"loading", "quota"}
# Statuses by which a proxy before the endpoint says that it reaches nothing there, or the endpoint that it serves nothing now (RFC 9110,
# 15.6.3 to 15.6.5; 52x and 530: https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/).
# Where nothing was ever served they say nothing about the row.
OF_THE_GATEWAY = frozenset({502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 530})
# What says nothing against the endpoint: this process stood still, or a cheaper tier has no capacity.
BLAMELESS = frozenset({"held", "no_capacity"})


class Blame(Enum):
    """What a refusal is blamed on. RETRY: on nothing yet, the row has attempts left. UNCLEAR: keep the row and test the endpoint."""

    ROW = "row"
    RUN = "run"
    RETRY = "retry"
    UNCLEAR = "unclear"


class Evidence:
    """What one endpoint did with the tasks of one variant."""

    def __init__(self) -> None:
        self.is_condemned = False
        self._failing: set[Hashable] = set()
        self._served_sent_at = self._row_sent_at = -math.inf
        # The last time in which several tasks failed and none was served: none that was sent between these two moments.
        self._outage = (math.inf, math.inf)
        self._patience = 1

    def served(self, sent_at: float, *, by_reference: bool = False) -> None:
        """Record an answer to a request sent at `sent_at`; `by_reference`: it was the test."""
        if len(self._failing) >= DISTINCT_RETRIED and sent_at > self._served_sent_at:
            self._outage = (self._served_sent_at, sent_at)
        self._served_sent_at = max(self._served_sent_at, sent_at)
        if not by_reference:
            self._row_sent_at = max(self._row_sent_at, sent_at)
        self._failing.clear()
        self.is_condemned = False
        # Only an ordinary row shows that a block of bad rows is over.
        self._patience = min(MOST_PATIENCE, 2 * self._patience) if by_reference else 1

    def failed(self, task: Hashable) -> None:
        """Record a task, or its row, that failed, or was refused, in a way that may be the endpoint's fault."""
        self._failing.add(task)

    def condemn(self) -> None:
        """Record that the reference was refused: the endpoint is to blame, until it serves."""
        self.is_condemned = True

    @property
    def has_served(self) -> bool:
        """Whether any task was served."""
        return self._served_sent_at > -math.inf

    def served_after(self, moment: float) -> bool:
        """Whether a request that was sent at `moment` or later was served."""
        return self._served_sent_at >= moment

    def served_row_after(self, moment: float) -> bool:
        """Whether a request that was sent at `moment` or later, and was not the test, was served."""
        return self._row_sent_at >= moment

    def failed_others(self, sent_at: float, *, others: bool) -> bool:
        """Whether several tasks failed, and none was served, about the time when a request was sent at `sent_at`.

        `others`: more are to come, so that a suspicion says something of the endpoint; else these rows may be the last, and bad.
        """
        return (others and self.suspects(DISTINCT_RETRIED)) or self.was_out(sent_at)

    def was_out(self, sent_at: float) -> bool:
        """Whether several tasks failed, and none was served, about the time when a request was sent at `sent_at`; one was served since."""
        since, until = self._outage
        return since < sent_at < until

    def recovered(self, sent_at: float) -> bool:
        """Whether it `was_out` then, and an ordinary row was served since: a served test leaves open whether all that failed are bad."""
        return self.was_out(sent_at) and self.served_row_after(self._outage[1])

    def suspects(self, distinct: int) -> bool:
        """Whether `distinct` tasks, or more after refuted suspicions, failed and none was served between."""
        return self.is_condemned or len(self._failing) >= distinct * self._patience


def blame(
    verdict: Verdict, evidence: Evidence, *, spent: bool, has_reference: bool, has_others: bool = False, is_open: bool = False
) -> Blame:
    """Return what the refusal `verdict` of a task is blamed on, at the moment when it comes.

    `spent`: the task has no attempt left. `has_reference`: an answered task is there to test the endpoint with; `has_others`: at least
    other rows are. `is_open`: the endpoint's breaker is open.
    A row that is UNCLEAR is to blame as soon as `evidence.served_after` its refusal.
    """
    code = verdict.error.code if verdict.error is not None else ""
    if verdict.action is Action.STOP:
        return Blame.UNCLEAR if has_reference else Blame.RUN
    if verdict.action is Action.RETRY and not spent:
        return Blame.RETRY
    if code in OF_THE_ROW:
        return Blame.ROW
    if has_reference:
        return Blame.UNCLEAR
    if verdict.action is Action.FAIL:
        return Blame.ROW
    # Nothing was answered yet: only other rows can show whether the endpoint serves, those to come or several that failed as well.
    # Where none are to come, odd replies and broken answers with a status of success are what these rows get, and may be billed.
    with_success = verdict.error is not None and (verdict.error.kind is ErrorKind.PROTOCOL or verdict.error.http_status == HTTPStatus.OK)
    is_suspect = ((has_others or not with_success) and evidence.suspects(DISTINCT_RETRIED)) or (
        has_others and (is_open or code in OF_THE_RATE)
    )
    return Blame.UNCLEAR if is_suspect else Blame.ROW
