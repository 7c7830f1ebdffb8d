"""Looks at batches, cancels those that take too long, and takes in those that have ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio.to_thread

from batch.clock import Clock
from batch.executors.batch_api.collector import Collected, Collector, read_lines
from batch.executors.batch_api.endpoint import BatchEndpoint, RefusedError, refused
from batch.executors.batch_api.failures import BatchFailures
from batch.executors.batch_api.known import KnownTasks
from batch.executors.batch_api.money import BatchMoney
from batch.executors.batch_api.provider import BatchReply
from batch.executors.batch_api.shard_files import RequestBodies, ShardFiles, TaskEntry
from batch.executors.batch_api.submissions import Submission, Submissions
from batch.executors.batch_api.wall import wall_now
from batch.executors.batch_times import longest_s
from batch.journal.disk import storage_errors
from batch.policy.polling import Polling
from batch.policy.verdicts import Action
from batch.providers.batch_replies import BatchObject
from batch.settings import Variant
from batch.settings.batch_api import BatchSettings

# A provider that has forgotten a batch says so more than once.
_MOST_MISSES = 3


@dataclass(slots=True)
class Watcher:
    """The open batches of a session. `by_name` are the endpoints by name."""

    by_name: Mapping[str, BatchEndpoint]
    variants: Mapping[str, Variant]
    submissions: Submissions
    files: ShardFiles
    known: KnownTasks
    money: BatchMoney
    collector: Collector
    failures: BatchFailures
    settings: BatchSettings
    clock: Clock
    _misses: dict[int, int] = field(default_factory=dict)

    def endpoint_of(self, submission: Submission) -> BatchEndpoint:
        """Return the endpoint of a batch. Raises RefusedError where the job has it no longer."""
        endpoint = self.by_name.get(submission.endpoint)
        if endpoint is None or submission.variant not in self.variants:
            raise refused(
                f"batch {submission.number} ({submission.batch_id or 'not yet named'}) of {submission.variant} at {submission.endpoint} is"
                " open, and the job has that model no longer: put it back until the batch is collected, or cancel it"
            )
        return endpoint

    async def decide(self, submission: Submission, batch_id: str | None) -> None:
        """Record what the user has found out: the batch of a submission, or that there is none."""
        if batch_id is None:
            await self.submissions.record("released", submission, why="there is no such batch, by the user's word")
        else:
            await self.endpoint_of(submission).created(submission, BatchObject(batch_id, "open", ""))

    async def submit(self, endpoint: BatchEndpoint, submission: Submission) -> None:
        """Submit a batch, in halves where the provider's limit was met. Raises RefusedError."""
        if submission.requests > endpoint.builder.max_requests:
            if submission.intent_at is not None:
                await endpoint.release(submission, "divided: the provider allows no more enqueued tokens")
            await self.again(submission)
            return
        await endpoint.submit(submission)
        if submission.ended is not None:
            # It was surely not created: the same requests wait again, in a batch of another number.
            await self.again(submission)

    async def again(self, submission: Submission, without: frozenset[int] = frozenset()) -> None:
        """Put the requests of a batch that was not carried out into new ones, but for those at some places. Money stays reserved."""
        await anyio.to_thread.run_sync(self._again, submission, without)

    def _again(self, submission: Submission, without: frozenset[int]) -> None:
        endpoint = self.endpoint_of(submission)
        share = submission.reserved_usd / max(1, submission.requests)
        variant = self.variants[submission.variant]
        with RequestBodies(self.files.requests(submission.number)) as bodies:
            for place, entry in enumerate(self.files.entries(self.files.tasks(submission.number))):
                body = bodies.of(place)
                if place in without or not body:
                    self.money.settle(share, 0.0)
                    self.known.leave(submission, [entry])
                    continue
                request = entry.work(submission.variant, submission.api, body).task.request
                endpoint.builder.add(variant, request, entry, share)
        endpoint.builder.finish(everything=True)
        self.files.remove(submission.number, tasks=True)

    def until_next(self) -> float:
        """Return the seconds until the next look at a batch."""
        polls = [poll for each in self.by_name.values() for poll in each.polls.values()]
        return min((poll.remaining_s(wall_now(), self.clock.monotonic()) for poll in polls), default=1.0)

    def poll(self) -> None:
        """Make a look at each batch due now."""
        for endpoint in self.by_name.values():
            for poll in endpoint.polls.values():
                poll.expire()

    async def look(self, submission: Submission) -> None:
        """Look at a batch if it is time to, and take it in when it has ended. Raises RefusedError, StorageError."""
        endpoint = self.endpoint_of(submission)
        poll = endpoint.polls.setdefault(submission.number, Polling(self.settings.poll_s))
        if not poll.is_due(wall_now(), self.clock.monotonic()):
            return
        poll.begin()
        answer, batch = await endpoint.provider.look(submission.batch_id or "")
        if batch is None:
            self._missed(endpoint, submission, answer)
            poll.looked(wall_now(), self.clock.monotonic(), changed=False, asked_s=answer.verdict.wait or 0.0)
            return
        self._misses.pop(submission.number, None)
        changed = batch.word != submission.word or (batch.completed or 0) != submission.completed
        if batch.word != submission.word:
            await self.submissions.record("seen", submission, word=batch.word, completed=batch.completed or 0)
        submission.completed = batch.completed or 0
        poll.looked(wall_now(), self.clock.monotonic(), changed=changed)
        if not batch.is_open:
            await self._ended(endpoint, submission, batch)
        elif submission.cancelled_at is None and wall_now() > self._deadline(endpoint, submission):
            await self.cancel(submission)

    async def cancel(self, submission: Submission) -> None:
        """Ask the provider to cancel a batch. Raises RefusedError where it does not."""
        if not submission.is_named or submission.cancelled_at is not None:
            return
        endpoint = self.endpoint_of(submission)
        if not endpoint.provider.api.cancels:
            raise refused(f"{endpoint.name} has no way to cancel batch {submission.batch_id}: it ends by itself, and resume collects it")
        answer = await endpoint.patiently(partial(endpoint.provider.cancel, submission.batch_id or ""), "a batch cannot be cancelled")
        # One that has just ended refuses: the next look shows it.
        if answer.ok or answer.exchange.status in (400, 404, 409):
            await self.submissions.record("cancelled", submission, cancelled_at=wall_now())
            endpoint.report(f"batch {submission.batch_id} of {submission.variant} is being cancelled; what it has done is collected")
            endpoint.polls.pop(submission.number, None)
        else:
            raise refused(f"{endpoint.name} does not cancel batch {submission.batch_id}: {answer.message}")

    def _missed(self, endpoint: BatchEndpoint, submission: Submission, answer: BatchReply) -> None:
        if answer.ok or answer.verdict.action is Action.RETRY:
            if wall_now() > self._deadline(endpoint, submission) + endpoint.times.outage_s:
                raise refused(f"{endpoint.name} does not answer about batch {submission.batch_id}, and its time is over: {answer.message}")
            return
        misses = self._misses[submission.number] = self._misses.get(submission.number, 0) + 1
        if misses >= _MOST_MISSES or answer.verdict.action is Action.STOP:
            raise refused(
                f"{endpoint.name} does not show batch {submission.batch_id} of {submission.variant}: {answer.message}. What was submitted"
                " is not submitted again: look at the provider's page of batches, and see that key and base_url are those of the submission"
            )

    def _deadline(self, endpoint: BatchEndpoint, submission: Submission) -> float:
        return (submission.created_at or wall_now()) + longest_s(self.settings, endpoint.provider.api)

    # Batches that have ended

    async def _ended(self, endpoint: BatchEndpoint, submission: Submission, batch: BatchObject) -> None:
        endpoint.polls.pop(submission.number, None)
        if batch.is_over_limit:
            await endpoint.submissions.record("released", submission, why="the provider allows no more enqueued tokens")
            endpoint.over_limit(submission, alone=endpoint.was_alone(submission))
            await self.again(submission)
            return
        lines = await self._results(endpoint, submission, batch)
        if lines is None:
            return
        if batch.state == "failed" and not batch.files and not batch.results:
            await self._failed(endpoint, submission, batch)
            return
        collected = await self.collector.collect(submission, batch, lines)
        if collected.unknown and not collected.ok + collected.failed + collected.earlier and collected.unknown >= submission.requests:
            raise refused(
                f"batch {submission.batch_id} at {endpoint.name} holds answers to other requests than those of batch {submission.number}:"
                " nothing of it was taken; see that its id is right"
            )
        await self._settle(endpoint, submission, batch, collected)

    async def _results(self, endpoint: BatchEndpoint, submission: Submission, batch: BatchObject) -> Iterator[Any] | None:
        """Fetch the results into files; None where a later look tries again."""
        places = [self.files.result(submission.number, place) for place in range(max(1, len(batch.files)))]
        fetched = []
        if endpoint.provider.api.results != "batch":
            async for answer, path in endpoint.provider.results(batch, places):
                if answer.ok:
                    fetched.append(path)
                    continue
                if answer.verdict.action is Action.RETRY:
                    return None
                self._missed(endpoint, submission, answer)
                return None

        def lines() -> Iterator[Any]:
            yield from batch.results
            for path in fetched:
                with storage_errors(path):
                    yield from read_lines(path)

        return lines()

    async def _failed(self, endpoint: BatchEndpoint, submission: Submission, batch: BatchObject) -> None:
        """Decide on a batch that was refused as a whole: rows that it names are left, the others are submitted again without them."""
        problems = [problem.message + (f" (line {problem.line})" if problem.line else "") for problem in batch.problems]
        said = "; ".join(problems[:3]) or "no reason was given"
        endpoint.report(f"batch {submission.batch_id} of {submission.variant} failed: {said}")
        lines = [problem.line for problem in batch.problems if problem.line is not None]
        named = frozenset(line - 1 for line in lines if line <= submission.requests)
        if len(named) == submission.requests or (not named and self.settings.rest == "live"):
            entries = await anyio.to_thread.run_sync(list, self.files.entries(self.files.tasks(submission.number)))
            await self._settle(endpoint, submission, batch, Collected(rest=entries))
            return
        await self.submissions.record("released", submission, why=said)
        if not named:
            self.money.settle(submission.reserved_usd, 0.0)
            raise refused(f"{endpoint.name}: a batch of {submission.variant} failed: {said}")
        await self.again(submission, named)

    async def _settle(self, endpoint: BatchEndpoint, submission: Submission, batch: BatchObject, collected: Collected) -> None:
        await anyio.to_thread.run_sync(self.files.write_rest, submission.number, collected.rest)
        await self.submissions.record(
            "collected", submission, ok=collected.ok, failed=collected.failed, rest=len(collected.rest), word=batch.word, at=wall_now()
        )
        self.money.settle(submission.reserved_usd, collected.paid_usd)
        left = f", {len(collected.rest):,} left undone" if collected.rest else ""
        done = collected.ok + collected.failed + collected.earlier
        if collected.rest or collected.faults:
            faults = f"; lines {collected.faults}" if collected.faults else ""
            endpoint.report(f"batch {submission.batch_id} of {submission.variant} {batch.word}: {done:,} collected{left}{faults}")
        await self._leave(endpoint, submission, collected)
        if not self.settings.keep_files:
            await anyio.to_thread.run_sync(self.files.remove, submission.number)
        if self.failures.stop is not None:
            raise RefusedError(self.failures.stop)

    async def _leave(self, endpoint: BatchEndpoint, submission: Submission, collected: Collected) -> None:
        if self.settings.rest != "batch" or submission.cancelled_at is not None:
            self.known.leave(submission, collected.rest)
            return
        if collected.refusal is not None:
            self.known.leave(submission, collected.rest)
            raise refused(f"{endpoint.name}: {collected.refusal}")
        await anyio.to_thread.run_sync(self._next_batch, endpoint, submission, collected.rest)

    def _next_batch(self, endpoint: BatchEndpoint, submission: Submission, rest: list[TaskEntry]) -> None:
        """Put what a batch has left into the next one."""
        wanted = {(entry.ordinal, entry.repeat): entry for entry in rest}
        variant = self.variants[submission.variant]
        with RequestBodies(self.files.requests(submission.number)) as bodies:
            for place, before in enumerate(self.files.entries(self.files.tasks(submission.number)) if wanted else ()):
                entry = wanted.get((before.ordinal, before.repeat))
                body = bodies.of(place) if entry is not None else b""
                if entry is None:
                    continue
                work = entry.work(submission.variant, submission.api, body)
                # Each batch counts as an attempt, also where it was not carried out: batches that expire each time must end.
                work.attempts = max(work.attempts, before.state.get("attempts", 0) + 1)
                amount = self.money.most(work)
                if body and work.attempts < self.collector.attempts and self.money.reserve(amount):
                    endpoint.builder.add(variant, work.task.request, TaskEntry.of(work), amount)
                else:
                    self.known.leave(submission, [entry])
