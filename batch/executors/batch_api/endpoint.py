"""One provider's side of a session: what waits to be submitted there, its batches that are open, and the submission itself.

A lost reply is never answered by repeating a call that creates something: the provider's lists are searched first.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import anyio

from batch.clock import Clock
from batch.engine.stop import Stop
from batch.executors.batch_api.builder import ShardBuilder
from batch.executors.batch_api.provider import BatchProvider, BatchReply
from batch.executors.batch_api.shard_files import ShardFiles
from batch.executors.batch_api.submissions import Submission, Submissions
from batch.policy.polling import MAX_POLL_S, Polling
from batch.policy.verdicts import Action
from batch.policy.waits import backoff
from batch.providers.batch_replies import BatchObject

# After a lost reply the provider's list is searched this often, since it may lag behind.
SEARCHES = 3
MOST_UPLOADS = 3
# Limits of some providers stay taken for a while after all batches have ended.
MOST_REFUSALS = 12
_LONGEST_SETTLE_S = 10.0


class RefusedError(Exception):
    """Nothing more can be submitted or collected in this session; `stop` says why."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        super().__init__(stop.reason)


def refused(text: str) -> RefusedError:
    """Make the error that ends the session with this sentence."""
    return RefusedError(Stop("refused", text))


@dataclass(slots=True)
class BatchTimes:
    """The times of a session, in seconds: between looks, for an endpoint that cannot be reached, and the settling of lists."""

    poll_s: float
    outage_s: float

    @property
    def settle_s(self) -> float:
        """How long a list of the provider may lag behind."""
        return min(self.poll_s, _LONGEST_SETTLE_S)


@dataclass(slots=True, eq=False)
class BatchEndpoint:
    """A provider with its queue. `looked_at` has the looks at its open batches; `holds` until its own batches have drained."""

    name: str
    provider: BatchProvider
    builder: ShardBuilder
    submissions: Submissions
    files: ShardFiles
    clock: Clock
    times: BatchTimes
    window: str | None
    report: Callable[[str], None]
    waiting: deque[Submission] = field(default_factory=deque)
    polls: dict[int, Polling] = field(default_factory=dict)
    holds: bool = False
    blocked_until: float = 0.0
    refusals: int = 0
    _beside: set[int] = field(default_factory=set)

    def open(self) -> Iterator[Submission]:
        """Iterate over its batches that the provider has named and that are not collected."""
        return (each for each in self.submissions.open() if each.endpoint == self.name and each.is_named)

    @property
    def can_submit(self) -> bool:
        """Whether something waits that may be submitted now."""
        if self.holds and next(self.open(), None) is None:
            self.holds = False
        return bool(self.waiting) and not self.holds and self.clock.monotonic() >= self.blocked_until

    async def submit(self, submission: Submission) -> BatchObject | None:
        """Submit what waits; None where the provider takes no more for now, or not this. Raises RefusedError, StorageError."""
        record = self.submissions.record
        if submission.intent_at is None:
            await record("intent", submission, intent_at=self.clock.wall())
        if self.provider.api.family != "inline" and submission.file_id is None:
            await record("uploaded", submission, file_id=await self._upload(submission))
        answer, batch = await self.provider.create(submission, self.files.requests(submission.number), self.window)
        if batch is not None:
            await self.created(submission, batch)
            return batch
        if not answer.was_refused:
            return await self.resolve(submission, answer)
        if answer.is_over_limit or answer.verdict.action is Action.RETRY:
            self._postpone(submission, answer)
            return None
        await self.release(submission, answer.message)
        raise refused(f"{self.name} does not take batches of {submission.variant}: {answer.message}")

    async def created(self, submission: Submission, batch: BatchObject) -> None:
        """Record the batch that the provider has made."""
        self.refusals = 0
        if next(self.open(), None) is not None:
            self._beside.add(submission.number)
        created_at = batch.created_at or self.clock.wall()
        await self.submissions.record("created", submission, batch_id=batch.id, created_at=created_at, word=batch.word)
        # Some are done before the first look could be: a server of one's own need not be waited for.
        self.polls[submission.number] = Polling(self.times.poll_s)

    async def resolve(self, submission: Submission, answer: BatchReply | None = None) -> BatchObject | None:
        """Find out whether a batch was created whose reply was lost; None where it was not, and its rows are free again.

        Raises RefusedError where that cannot be found out for certain.
        """
        why = f": {answer.message}" if answer is not None else ""
        self.report(
            f"batch {submission.number} of {submission.variant}: no reply to its creation was seen{why}; searching {self.name} for it"
        )
        if not self.provider.api.matches:
            raise refused(await self._undecided(submission))
        batch = await self._search(submission, SEARCHES)
        if batch is None and submission.file_id is not None:
            # A creation that still waits somewhere between here and there fails from now on: its file is gone.
            await self._remove_file(submission.file_id)
            await anyio.sleep(self.times.settle_s)
            batch = await self._search(submission, 1)
        if batch is not None:
            await self.created(submission, batch)
            return batch
        await self.submissions.record("released", submission, why="it was never created")
        return None

    async def recover(self, submission: Submission) -> None:
        """Settle a submission of an earlier session that has no batch yet."""
        if submission.file_id is None and self.provider.api.family != "inline":
            await self._remove_orphans(submission)
            await self.submissions.record("released", submission, why="the session ended before its upload")
        else:
            await self.resolve(submission)

    async def release(self, submission: Submission, why: str) -> None:
        """Give up a submission that was surely not created: its upload is removed, its rows are free again."""
        if submission.file_id is not None:
            await self._remove_file(submission.file_id)
        await self.submissions.record("released", submission, why=why)

    async def patiently(self, call: Callable[[], Awaitable[BatchReply]], what: str) -> BatchReply:
        """Repeat a call that changes nothing until it is answered or refused. Raises RefusedError after an outage."""
        began, tries = self.clock.monotonic(), 0
        while True:
            answer = await call()
            if answer.ok or answer.verdict.action is not Action.RETRY:
                return answer
            tries += 1
            if self.clock.monotonic() - began > self.times.outage_s:
                raise refused(f"{self.name}: {what}: {answer.message}")
            await anyio.sleep(max(answer.verdict.wait or 0.0, backoff(tries, random.random())))  # noqa: S311 - jitter is no secret

    def _postpone(self, submission: Submission, answer: BatchReply) -> None:
        """Keep a submission that the provider refuses for now: until its own batches have drained, or the wait it asks for."""
        self.waiting.appendleft(submission)
        if answer.is_over_limit:
            self.over_limit(submission, alone=next(self.open(), None) is None)
            return
        self.refusals += 1
        wait = max(answer.verdict.wait or 0.0, self._wait())
        self.blocked_until = self.clock.monotonic() + wait
        self.report(f"{self.name} takes no further batch for now: {answer.message}; trying again in {wait:,.0f} s")

    def _wait(self) -> float:
        return min(max(MAX_POLL_S, self.times.poll_s), self.times.poll_s * float(2 ** min(self.refusals - 1, 6)))

    def was_alone(self, submission: Submission) -> bool:
        """Whether no other batch of the run was open when this one was created."""
        return submission.number not in self._beside

    def over_limit(self, submission: Submission, *, alone: bool) -> None:
        """Take note that more tokens would be enqueued than the provider allows: wait for the own batches, or else submit halves."""
        self.holds = not alone
        if alone:
            largest = submission.requests
            self.builder.max_requests = max(1, largest // 2)
            self.refusals += 1
            self.blocked_until = self.clock.monotonic() + self._wait()
            if largest == 1 and self.refusals > MOST_REFUSALS:
                raise refused(f"{self.name} allows not even one more request to be enqueued; other batches of this account may be open")
        self.report(
            f"{self.name} allows no more enqueued tokens: "
            + (
                f"batches have at most {self.builder.max_requests:,} requests from now on"
                if alone
                else "waiting until open batches are done"
            )
        )

    async def _upload(self, submission: Submission) -> str:
        for _ in range(MOST_UPLOADS):
            path = self.files.requests(submission.number)
            answer, file_id = await self.provider.upload(submission, path)
            if file_id is not None:
                return file_id
            if not answer.was_refused:
                await self._remove_orphans(submission)
            if answer.verdict.action in (Action.FAIL, Action.STOP):
                break
            await anyio.sleep(max(answer.verdict.wait or 0.0, self.times.settle_s))
        await self.release(submission, answer.message)
        raise refused(f"{self.name} does not take the file of a batch: {answer.message or 'the reply names no file'}")

    async def _remove_orphans(self, submission: Submission) -> None:
        for _ in range(SEARCHES):
            orphans = await self._uploads(submission)
            for file_id in dict.fromkeys(orphans or ()):
                await self._remove_file(file_id)
            if orphans is None or orphans:
                return
            await anyio.sleep(self.times.settle_s / SEARCHES)

    async def _uploads(self, submission: Submission) -> list[str] | None:
        """Return the uploads that have the name of a batch; None where the provider does not list its files, which is reported."""
        found: list[str] = []

        async def call() -> BatchReply:
            answer, files = await self.provider.uploads(submission)
            found.extend(files)
            return answer

        answer = await self.patiently(call, "its list of files cannot be read")
        if answer.ok:
            return found
        name = self.provider.file_name(submission)
        self.report(f"{self.name} does not list its files: an upload named {name} may be left there ({answer.message})")
        return None

    async def _remove_file(self, file_id: str) -> None:
        answer = await self.patiently(partial(self.provider.remove_file, file_id), "a file cannot be removed")
        if not answer.ok and answer.exchange.status != 404:
            self.report(f"{self.name}: the uploaded file {file_id} could not be removed: {answer.message}")

    async def _search(self, submission: Submission, times: int) -> BatchObject | None:
        for turn in range(times):
            if turn:
                await anyio.sleep(self.times.settle_s)
            found = await self._matches(submission)
            if len(found) > 1:
                names = ", ".join(batch.id for batch in found)
                raise refused(f"{self.name}: batches {names} are of the same requests; keep one: promptmill resume --batch N=ID")
            if found:
                return found[0]
        return None

    async def _matches(self, submission: Submission) -> list[BatchObject]:
        since, began = submission.intent_at or 0.0, self.clock.monotonic()
        while True:
            found: list[BatchObject] = []
            last = None
            async for answer, batches in self.provider.batches(since):
                found += [batch for batch in batches if self.provider.is_of(batch, submission)]
                last = answer
            if last is not None and last.ok:
                return found
            if last is None or last.verdict.action is not Action.RETRY or self.clock.monotonic() - began > self.times.outage_s:
                raise refused(await self._undecided(submission, last))
            await anyio.sleep(max(last.verdict.wait or 0.0, self.times.settle_s))

    async def _undecided(self, submission: Submission, answer: BatchReply | None = None) -> str:
        """Say what to look at where it cannot be found out whether a batch was created, and how to decide."""
        since = submission.intent_at or 0.0
        known = {each.batch_id for each in self.submissions.all.values()}
        candidates: list[BatchObject] = []
        if answer is None:
            async for page, batches in self.provider.batches(since):
                if not page.ok:
                    break
                candidates += [
                    batch
                    for batch in batches
                    if batch.id not in known
                    and (batch.created_at is None or batch.created_at >= since - 60.0)
                    and batch.total in (None, submission.requests)
                ]
        named = ", ".join(f"{batch.id} ({batch.word})" for batch in candidates[:5])
        seen = f"it lists {named}, made since then" if named else "it lists none with as many requests made since then"
        return (
            f"{self.name} was asked to create batch {submission.number} of {submission.variant} with {submission.requests:,} requests, and"
            f" its reply was lost. Whether the batch exists cannot be found out for certain: {seen if answer is None else answer.message}."
            f" Look at the provider's page of batches, then decide: promptmill resume RUN_DIR --batch {submission.number}=ID takes that"
            f" batch as the one that was created, --batch {submission.number}=none says that there is none, and its rows are sent again"
        )
