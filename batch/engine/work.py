"""A task in a worker pool, and the endpoint that it is sent to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batch.engine.limiter import EndpointLimiter
from batch.policy.rate_limiter import UNSENT, Ticket
from batch.records import ErrorInfo, Exchange, Request, Task
from batch.tally import Tally
from batch.transport.client import Client


@dataclass(slots=True, eq=False)
class PooledEndpoint:
    """One endpoint of a pool. `refusal` is why it refuses every request (a wrong key, an unknown model), until it serves one.

    `suspected_for` is the variant for whose sake it is tested, `failed_for` that of the last failure.
    """

    client: Client
    limiter: EndpointLimiter
    in_flight: int = 0
    sent: int = 0
    refusal: str | None = None
    suspected_for: str | None = None
    failed_for: str | None = None


@dataclass(slots=True)
class Work:
    """A task in a worker pool. `attempts` are those that count, `tries` all of them; `may_be_billed_twice` counts lost replies.

    `without_capacity` counts refusals of the flex tier, `fell_back`: its request is for the standard tier instead.
    `replaces` is the error code of this session's own failure that its outcome will replace; `is_recorded`: it has an outcome.
    `shard` is the piece of the input that the task belongs to, where workers share the rows.
    `endpoint` got its last attempt, `failed_at` is the same when it failed there; `shunned` are those that refused the row.
    `mended` replaces the task's own request after an answer that did not fit the schema, `repairs` times in all; `used` is the usage of
    the earlier answers.
    `was_retried`: the retry budget has counted it. `unusable` counts its answers that came whole in a form that cannot be used.
    `refused_at` is when it was last refused for the rate, `refused_alone` how often others were served after that; `forgiven_at` and
    `forgiven` are the same of the times that it got attempts back, since its endpoint was to blame. `sent_once_more`: it
    was sent again after a refusal that is not retried. `is_probe`: it was answered before, and is sent again only to test an endpoint;
    nothing of it is recorded.
    Of the last attempt: its `ticket` of the endpoint's limiter, and the US dollars that are `reserved` for it. `cost_usd` is the known
    cost of all attempts, `extra_usd` the most that the attempts without a known cost may have cost.
    """

    task: Task
    previous: str | None = None
    attempts: int = 0
    tries: int = 0
    may_be_billed_twice: int = 0
    first_sent: float | None = None
    charged_retry: bool = False
    ticket: Ticket = UNSENT
    was_retried: bool = False
    unusable: int = 0
    refused_at: float | None = None
    refused_alone: int = 0
    forgiven_at: float | None = None
    forgiven: int = 0
    is_probe: bool = False
    sent_once_more: bool = False
    endpoint: PooledEndpoint | None = None
    failed_at: PooledEndpoint | None = None
    shunned: tuple[PooledEndpoint, ...] = ()
    shard: int = 0
    reserved: float = 0.0
    cost_usd: float | None = None
    extra_usd: float = 0.0
    repairs: int = 0
    mended: Request | None = None
    used: Mapping[str, Any] | None = None
    without_capacity: int = 0
    fell_back: bool = False
    replaces: str | None = None
    is_recorded: bool = False

    @property
    def is_again(self) -> bool:
        """Whether the task has a record, which its outcome will replace."""
        return self.previous is not None or self.replaces is not None

    @property
    def request(self) -> Request:
        """The request to send."""
        return self.mended or self.task.request


@dataclass(slots=True, eq=False)
class Bundle(Work):
    """Several rows' work that is sent as one request; its task stands for the first of them, and has no record of its own.

    `weights` are the sizes of the members' texts, by which usage and cost are divided. `answers` are the members with their parts of the
    answer, as an exchange of their own each, once there is one.
    """

    members: tuple[Work, ...] = ()
    weights: tuple[int, ...] = ()
    answers: Sequence[tuple[Work, Exchange]] = ()


@dataclass(frozen=True, slots=True)
class Withheld:
    """A refused row that waits for evidence of what to blame.

    `due` is when it may be sent again if that stays unclear. `once_more`: it was refused for good, and is sent again when several were.
    `may_be_billed`: its attempt may have been billed, so that another one may be billed twice. `is_stop`: it was refused for the
    run's fault; `fails`: it is not sent again if it alone was. `beside_others`: several others failed at that time, and none was served.
    """

    work: Work
    error: ErrorInfo
    exchange: Exchange
    due: float | None = None
    once_more: bool = False
    may_be_billed: bool = False
    is_stop: bool = False
    fails: bool = False
    beside_others: bool = False


def rows_of(work: Work) -> int:
    """Return how many rows are sent with `work`."""
    return len(work.members) if isinstance(work, Bundle) else 1


def count_sent(tally: Tally, work: Work) -> None:
    """Count an attempt of `work` that leaves."""
    work.tries += 1
    tally.requests += 1
    tally.retries += work.tries > 1
    tally.probes += work.is_probe
    tally.in_flight += 1
