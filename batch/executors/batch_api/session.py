"""A session of batches: reads rows into batches, submits them, looks at them until they have ended, and collects them.

One task does all of it in turn, so that a step is recorded before the next is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio
import anyio.to_thread

from batch.clock import Clock
from batch.engine.feed import Copied, Source, Unsendable
from batch.engine.recorder import Recorder
from batch.engine.stop import Stop
from batch.engine.work import Work
from batch.errors import DamagedError, InputError, StorageError
from batch.events import BatchProgress
from batch.executors.batch_api.endpoint import BatchEndpoint, RefusedError
from batch.executors.batch_api.known import KnownTasks
from batch.executors.batch_api.money import BatchMoney
from batch.executors.batch_api.shard_files import TaskEntry
from batch.executors.batch_api.submissions import Submission, Submissions
from batch.executors.batch_api.watching import Watcher
from batch.executors.batch_options import BatchOptions
from batch.records import ErrorInfo, ErrorKind
from batch.settings import Variant

# Ctrl-C and progress are heeded at least this often.
_TICK_S = 0.25


@dataclass(slots=True)
class BatchSession:
    """The batches of one session. `endpoints` are by variant name; `notify` gets the progress, `rest` is the job's policy."""

    endpoints: Mapping[str, BatchEndpoint]
    variants: Mapping[str, Variant]
    submissions: Submissions
    known: KnownTasks
    money: BatchMoney
    recorder: Recorder
    watcher: Watcher
    options: BatchOptions
    clock: Clock
    notify: Callable[[BatchProgress], None]
    rest: str
    _stop: Stop | None = None
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _wake: anyio.Event = field(default_factory=anyio.Event)
    _recovered: bool = False

    async def run(self, sources: Iterable[Source]) -> Stop | None:
        """Submit the work of these sources and collect all that is open. Returns why it ended early."""
        try:
            stop = await self._run(sources)
            with anyio.CancelScope(shield=True):
                await self.recorder.sync()
        except StorageError as error:
            return Stop("storage", str(error))
        return stop

    async def _run(self, sources: Iterable[Source]) -> Stop | None:
        # A session has several passes where requests are equal, and a scope is entered once.
        self._scope = anyio.CancelScope()
        try:
            with self._scope:
                await self._recover()
                if self.options.cancel:
                    await self._cancel_all()
                else:
                    for source in sources:
                        await self._read(source)
                await self._finish()
        except RefusedError as error:
            return self._stop or error.stop
        except (InputError, DamagedError) as error:
            return Stop("input", f"the input cannot be read further: {error}")
        finally:
            for endpoint in self._all_endpoints():
                endpoint.builder.discard()
        return self._stop or self._ending()

    def drain(self) -> None:
        """Take no further step; what was submitted stays with the provider."""
        self._stop = self._stop or Stop("interrupted", "interrupted")
        self._wake.set()

    def abort(self) -> None:
        """Stop at once. A call in flight is given up; the next session finds out what became of it."""
        self.drain()
        self._scope.cancel()

    def is_stopped(self) -> bool:
        """Whether no further step is to be taken."""
        return self._stop is not None

    def poll(self) -> int:
        """Look at all open batches at once, and return their number."""
        self.watcher.poll()
        self._wake.set()
        if not self.is_stopped():
            self._wake = anyio.Event()
        return len(self.open)

    @property
    def open(self) -> list[Submission]:
        """The batches that are at their providers."""
        return list(self.submissions.open())

    def _all_endpoints(self) -> list[BatchEndpoint]:
        return list({id(each): each for each in self.endpoints.values()}.values())

    def _ending(self) -> Stop | None:
        left = len(self.open)
        if self.options.detach and left:
            return Stop("waiting", f"{left:,} {_batches(left)} submitted; resume waits for them and collects them")
        if self.options.cancel:
            return Stop("cancelled", "cancelled: what was done is collected")
        return None

    async def _recover(self) -> None:
        if self._recovered:
            return
        self._recovered = True
        for submission in self.open:
            endpoint = self.watcher.endpoint_of(submission)
            self.money.reserve(submission.reserved_usd)
            if submission.number in self.options.decided and not submission.is_named:
                await self.watcher.decide(submission, self.options.decided[submission.number])
            elif not submission.is_named:
                await endpoint.recover(submission)
            if submission.ended is not None:
                self.money.settle(submission.reserved_usd, 0.0)
        await anyio.to_thread.run_sync(self.known.load)

    async def _cancel_all(self) -> None:
        for submission in self.open:
            await self.watcher.cancel(submission)

    # Rows into batches

    async def _read(self, source: Source) -> None:
        batches = iter(source.batches())
        while not self.is_stopped():
            portion = await anyio.to_thread.run_sync(next, batches, None, abandon_on_cancel=False)
            if portion is None:
                return
            works: list[Work] = []
            for item in portion:
                if isinstance(item, Work):
                    works.append(item)
                elif isinstance(item, Unsendable):
                    self.watcher.failures.fail(item.work, item.error, None)
                elif isinstance(item, Copied):
                    self.recorder.copied(item.work, item.outcome)
            self._stop = self._stop or self.watcher.failures.stop
            for work in self._fresh(works):
                await self._add(work)
                if self.is_stopped():
                    return
            await self._submit()

    def _fresh(self, works: Sequence[Work]) -> list[Work]:
        """Return the work that is to be submitted: no batch has it, and none has left it to be sent otherwise."""
        digests = [self.known.digest(work) for work in works]
        fresh = []
        for work, digest, is_open in zip(works, digests, self.known.open.known(digests), strict=True):
            left = self.known.left(digest, work)
            if is_open:
                continue
            if left is not None and self.rest != "batch":
                self.known.undone.add(digest)
                continue
            if left is not None:
                self.known.take(digest).restored(work)
            fresh.append(work)
        return fresh

    async def _add(self, work: Work) -> None:
        endpoint = self.endpoints[work.task.variant]
        if not endpoint.builder.fits(work.request):
            self._too_large(work)
            return
        amount = self.money.most(work)
        while not self.money.reserve(amount):
            await self._seal()
            waits = any(each.waiting for each in self._all_endpoints()) or self.open
            if self.options.detach or not waits or self.money.is_spent(amount):
                self._stop = self._stop or self.money.exhausted(amount)
                return
            await self._turn()
            if self.is_stopped():
                return
        endpoint.builder.add(self.variants[work.task.variant], work.request, TaskEntry.of(work), amount)
        if endpoint.builder.has_full:
            await anyio.to_thread.run_sync(endpoint.builder.finish)

    def _too_large(self, work: Work) -> None:
        if self.rest == "live":
            self.known.leave_work(work)
            return
        message = f"the request has {len(work.request.body):,} bytes, more than a batch of this provider may have"
        self.watcher.failures.fail(work, ErrorInfo(ErrorKind.API, "too_large", message), None)

    async def _seal(self) -> None:
        for endpoint in self._all_endpoints():
            await anyio.to_thread.run_sync(partial(endpoint.builder.finish, everything=True))

    # Batches at their providers

    async def _submit(self) -> None:
        for endpoint in self._all_endpoints():
            while endpoint.can_submit and not self.is_stopped():
                await self.watcher.submit(endpoint, endpoint.waiting.popleft())

    async def _finish(self) -> None:
        """Submit and collect until nothing is left, or all is submitted and the command ends there."""
        looked = False
        while not self.is_stopped():
            await self._seal()
            await self._submit()
            waiting = any(endpoint.waiting for endpoint in self._all_endpoints())
            if not waiting and (not self.open or (self.options.detach and looked)):
                return
            if self.options.detach and looked:
                self._stop = Stop("waiting", "not all could be submitted yet; the same command submits the others")
                return
            await self._turn(wait=not self.options.detach)
            looked = True

    async def _turn(self, *, wait: bool = True) -> None:
        """Submit what may be submitted, look at the batches that are due, and wait until the next look or Ctrl-C."""
        await self._submit()
        for submission in self.open:
            if self.is_stopped():
                return
            if submission.is_named:
                await self.watcher.look(submission)
        self.notify(self._progress())
        if wait:
            with anyio.move_on_after(min(_TICK_S, self.watcher.until_next())):
                await self._wake.wait()

    def _progress(self) -> BatchProgress:
        found = self.open
        words: dict[str, int] = {}
        for each in found:
            words[each.word or "submitted"] = words.get(each.word or "submitted", 0) + 1
        waiting = sum(len(endpoint.waiting) for endpoint in self._all_endpoints())
        oldest = min((each.created_at for each in found if each.created_at is not None), default=None)
        return BatchProgress(
            words,
            waiting,
            sum(each.completed for each in found),
            sum(each.requests for each in found),
            None if oldest is None else max(0.0, self.clock.wall() - oldest),
        )


def _batches(count: int) -> str:
    return "batch is" if count == 1 else "batches are"
