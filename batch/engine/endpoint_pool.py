"""The endpoints of one lane: one, or several equal ones that serve the same models.

Each has a pace of its own: its limits, its breaker, its pauses. Work goes to the least loaded one that may be sent to; one that is out of
order rests and is probed, and what failed there goes elsewhere. Only when none serves is that an outage of the lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batch.engine.limiter import EndpointLimiter, Work
from batch.policy.cut_prompts import cut_prompt
from batch.policy.verdicts import Verdict
from batch.records import ErrorInfo, Exchange
from batch.transport.client import Client

NAMED = 3


@dataclass(slots=True, eq=False)
class PooledEndpoint:
    """One endpoint. `refusal` is why it refuses every request (a wrong key, a model that it does not serve), until it serves one."""

    client: Client
    pace: EndpointLimiter
    in_flight: int = 0
    sent: int = 0
    refusal: str | None = None


class EndpointPool:
    """What a pool of workers sends to. With one member it adds nothing to that member's pace.

    `cuts_prompts` tells that these cut prompts that are too long and say nothing: the first that shows it is told.
    """

    def __init__(self, name: str, members: Sequence[PooledEndpoint], *, cuts_prompts: bool = False) -> None:
        self.name = name
        self._watches_prompts = cuts_prompts
        self.members = tuple(members)
        self._only = self.members[0] if len(self.members) == 1 else None

    def __len__(self) -> int:
        return len(self.members)

    @property
    def limit(self) -> int:
        """Requests that may be in flight at once, on all of them."""
        if self._only is not None:
            return self._only.pace.concurrency.limit
        return sum(member.pace.concurrency.limit for member in self.members)

    @property
    def outage_since(self) -> float | None:
        """When the first attempt failed after the last answer of any; None while one serves."""
        since = [member.pace.outage_since for member in self.members]
        return None if None in since else max(time for time in since if time is not None)

    @property
    def outage_deadline(self) -> float | None:
        """When they are given up; None while one serves."""
        deadlines = [member.pace.outage_deadline for member in self.members]
        return None if None in deadlines else max(time for time in deadlines if time is not None)

    @property
    def is_probing(self) -> bool:
        """Whether all are out of order, so that nothing but probes is sent."""
        return not any(member.pace.breaker.closed for member in self.members)

    def asks_too_much(self, now: float) -> bool:
        """Whether all ask to wait for longer than they are waited for."""
        return all(member.pace.asks_too_much(now) for member in self.members)

    def hold(self, now: float) -> float:
        """Seconds until one of them may be sent to; infinity when that takes more than time."""
        if self._only is not None:
            return self._only.pace.hold(now)
        self._spare_late(now)
        return min(member.pace.hold(now) for member in self.members)

    def may_retry(self, work: Work) -> bool:
        """Whether the retry budget of any allows to try `work` again."""
        return not work.charged_retry or any(m.pace.budget.allows_retry or not m.pace.breaker.closed for m in self.members)

    def pick(self, work: Work, now: float) -> PooledEndpoint | None:
        """The endpoint that `work` may be sent to now: the least loaded one, at best not where it failed; None when there is none."""
        member = self._only
        if member is not None:
            return member if member.in_flight < member.pace.concurrency.limit and member.pace.hold(now) <= 0 else None
        self._spare_late(now)
        # One that forbade the row would do so again, at once and for as long as the others are busy.
        members = (self._untried(work) if work.shunned else None) or self.members
        free = [m for m in members if m.in_flight < m.pace.concurrency.limit and m.pace.hold(now) <= 0]
        return min(free, key=lambda m: (m is work.failed_at, m.in_flight / m.pace.concurrency.limit, m.sent), default=None)

    def sent(self, member: PooledEndpoint, work: Work, now: float) -> bool:
        """`work` leaves for `member`; True when it failed elsewhere before."""
        moved = work.failed_at is not None and work.failed_at is not member
        work.member, work.failed_at = member, None
        member.in_flight += 1
        member.sent += 1
        member.pace.sent(work, now)
        return moved

    def served(self, work: Work, exchange: Exchange) -> str | None:
        """An answer came; what a person should know: that an outage is over, or that prompts are cut."""
        member = self._of(work)
        again = member.pace.served(exchange)
        member.refusal = None
        self._spare_others(member, exchange.done_at)
        if self._watches_prompts and (cut := cut_prompt(work.request.body, exchange.reply.usage if exchange.reply else None)):
            self._watches_prompts = False
            return f"{member.pace.name} {_cut(work, *cut)}"
        return f"{member.pace.name} serves again" if again else None

    def answered(self, work: Work, now: float) -> str | None:
        """A row was refused for its own fault; what a person should know when that ended an outage."""
        member = self._of(work)
        again = member.pace.answered()
        self._spare_others(member, now)
        return f"{member.pace.name} serves again" if again else None

    def postpone(self, work: Work, verdict: Verdict, sent_at: float, now: float) -> tuple[float, str | None]:
        """When `work` may be tried again, here or elsewhere, after a fault that is not its own, and what a person should know about it."""
        member = self._of(work)
        own, notice = member.pace.postpone(work, verdict, sent_at, now)
        work.failed_at = member
        return max(own, now + min(other.pace.paused(now) for other in self.members)), notice

    def refused(self, work: Work, error: ErrorInfo, sent_at: float, now: float) -> str | None:
        """An endpoint refuses every request: it rests. What a person should know about it, "" when that was said; None when all do so."""
        member = self._of(work)
        known, member.refusal = member.refusal is not None, error.message
        if all(other.refusal is not None for other in self.members):
            return None
        work.failed_at = member
        member.pace.refused_all(work, error, sent_at, now)
        return "" if known else f"{member.pace.name} is left out for now: {error.message}"

    def forbids(self, work: Work) -> bool:
        """A row was forbidden; False when another endpoint, which serves, may still take it."""
        member = self._of(work)
        work.shunned = (*work.shunned, member)
        work.failed_at = member if self._untried(work) else None
        return work.failed_at is None

    def suspects_endpoint(self, work: Work) -> bool:
        """Whether it is the fault of the endpoint that `work` failed, and not its own."""
        return self._of(work).pace.breaker.suspects_endpoint

    def put_off(self, seconds: float) -> None:
        """The process itself stood still for so long."""
        for member in self.members:
            member.pace.put_off(seconds)

    def outage(self, now: float) -> str:
        """In one sentence, why they are given up."""
        if self._only is not None:
            return self._only.pace.outage(now)
        reasons = [member.refusal or member.pace.outage(now) for member in self.members]
        more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
        return f"none of the {len(reasons)} endpoints of {self.name} serves: {'; '.join(reasons[:NAMED])}{more}"

    def _spare_late(self, now: float) -> None:
        """One that failed for longer than it is waited for is probed on, as long as another may serve."""
        late = [member for member in self.members if member.pace.failed_late]
        if late and self.outage_since is None:
            for member in late:
                member.pace.spare(now)

    def _untried(self, work: Work) -> list[PooledEndpoint]:
        """Those that serve and have not forbidden the row."""
        return [m for m in self.members if m not in work.shunned and m.refusal is None and m.pace.breaker.closed]

    def _spare_others(self, member: PooledEndpoint, now: float) -> None:
        """While one serves the others may take their time: none is given up."""
        if self._only is None:
            for other in self.members:
                if other is not member:
                    other.pace.spare(now)

    def _of(self, work: Work) -> PooledEndpoint:
        if work.member is None:
            raise AssertionError("work that was never sent has no endpoint")
        return work.member


def _cut(work: Work, characters: int, tokens: int) -> str:
    seen = f"row {work.task.ordinal} (id {work.task.id}) has {characters:,} characters, and only {tokens:,} tokens were read"
    return f"seems to cut prompts: {seen}; its answer is to a part. Give the server a longer context, or send less"
