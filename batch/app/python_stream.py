"""`batch.stream`: the outcomes of a run as they come, in an `async for` loop."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self, Unpack
from weakref import finalize

import anyio
import anyio.to_thread

from batch.app.python import AnyJob, RunArguments, Start, prepared_start
from batch.app.python_results import RunResult
from batch.app.python_words import speaking_python
from batch.app.runner import RunReport
from batch.errors import PromptmillError
from batch.events import Event, RunStarted
from batch.executors.stopping import Stopper
from batch.records import ErrorInfo, Outcome
from batch.results.following import JournalFollower
from batch.results.readable import answer_text
from batch.rundir.opening import open_existing

# Between two looks at the journals, in seconds; on a store each look is a request.
POLL_S, STORE_POLL_S = 0.05, 2.0


@dataclass(frozen=True, slots=True, repr=False)
class StreamedOutcome:
    """One row's outcome: its completion, or its error. `row` counts from 0; `record` has all that is known of it, `job` names the job."""

    job: str
    variant: str
    id: str
    row: int
    repeat: int
    completion: str | None
    error: ErrorInfo | None
    cost_usd: float | None
    record: Outcome

    @property
    def ok(self) -> bool:
        """Whether this is a completion."""
        return self.error is None

    def __repr__(self) -> str:
        text = (self.completion or "") if self.error is None else f"{self.error.code}: {self.error.message}"
        shown = text if len(text) <= 60 else f"{text[:59]}…"
        return f"<{'ok' if self.ok else 'failed'} {self.id!r} {self.variant}: {shown!r}>"


class OutcomeStream:
    """The outcomes of a run as an async iterator. Leaving the loop stops the run: requests in flight end, up to run.grace_s, and are kept.

    The journal is the queue: of what has not been taken yet at most 4 MiB are in memory, however slow the loop is. `async with` waits
    at its end until a run that was left has stopped. After the loop `result` is what `batch.run` would have returned.
    """

    def __init__(self, job: AnyJob, arguments: RunArguments) -> None:
        self._job, self._arguments = job, arguments
        self._stopper, self._journal = Stopper(), _JournalTap()
        self._ended: Future[RunReport] | None = None
        self._waiting: deque[StreamedOutcome] = deque()
        self._over = False
        # A stream that is dropped, as by `break`, has no other moment to stop its run.
        self._dropped = finalize(self, self._stopper.ask)

    def __repr__(self) -> str:
        state = "not begun" if self._ended is None else "ended" if self._ended.done() else "running"
        return f"<OutcomeStream: {state}>"

    @property
    def result(self) -> RunResult:
        """How the run ended, with its tables. Raises RuntimeError before its end."""
        if self._ended is None or not self._ended.done():
            raise RuntimeError("the run has not ended: take all outcomes first, or leave the `async with` block")
        with speaking_python():
            return RunResult(self._ended.result())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamedOutcome:
        try:
            with speaking_python():
                return await self._next()
        except anyio.get_cancelled_exc_class():
            await self.aclose()
            raise

    async def _next(self) -> StreamedOutcome:
        if self._over:
            raise StopAsyncIteration
        ended = self._ended or await self._begin()
        while not self._waiting:
            # Asked before the look: what was written until then is found by it.
            done = ended.done()
            self._waiting += await anyio.to_thread.run_sync(self._journal.block)
            if self._waiting:
                break
            if done:
                self._finish()
                ended.result()
                raise StopAsyncIteration
            await anyio.sleep(self._journal.poll_s)
        return self._waiting.popleft()

    async def _begin(self) -> Future[RunReport]:
        start = await anyio.to_thread.run_sync(partial(prepared_start, self._job, self._arguments))
        self._ended = _in_own_thread(start, self._stopper)
        return self._ended

    async def aclose(self) -> None:
        """Stop the run if it has not ended, and wait until it has; what was not taken stays in the run directory."""
        self._over = True
        ended = self._ended
        if ended is not None and not ended.done():
            self._stopper.ask()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(wait, [ended], limiter=anyio.CapacityLimiter(1))
        self._finish()

    def _finish(self) -> None:
        self._over = True
        self._dropped.detach()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()


def stream(job: AnyJob, **arguments: Unpack[RunArguments]) -> OutcomeStream:
    """Run a job, or continue it, and iterate over its outcomes as they come: `async for outcome in batch.stream(job)`.

    Outcomes of earlier sessions are not repeated (`batch.Results` has them), and of a job that builds on others theirs come first.
    A row that is sent again, by `promptmill ctl retry` for example, comes again. The arguments are those of `run`. Leaving the loop stops
    the run.

    Raises:
        What `run` raises: at the first step of the loop; StorageError after the last outcome.
    """
    observers = [*arguments.get("observers", ())]
    made = OutcomeStream(job, arguments)
    arguments["observers"] = [*observers, made._journal]  # noqa: SLF001 - made here
    return made


def _in_own_thread(start: Start, stopper: Stopper) -> Future[RunReport]:
    pool = ThreadPoolExecutor(1, "promptmill")
    ended = pool.submit(start, stopper)
    # The thread ends with the run; the interpreter waits for it.
    pool.shutdown(wait=False)
    return ended


class _JournalTap:
    """Reads what a run adds to its journals, from the moment at which it begins to send."""

    def __init__(self) -> None:
        # By job: a job that builds on others starts theirs first.
        self._followers: list[tuple[str, JournalFollower]] = []
        self.poll_s = POLL_S

    def notify(self, event: Event) -> None:
        """Follow from here when a run starts: nothing of this session is written yet."""
        if isinstance(event, RunStarted):
            # An observer must not raise; a directory that cannot be read ends the run by itself.
            with suppress(PromptmillError):
                directory = open_existing(event.directory)
                follower = JournalFollower(directory)
                follower.last(0)
                self._followers.append((event.name, follower))
                self.poll_s = POLL_S if directory.is_local else STORE_POLL_S

    def block(self) -> list[StreamedOutcome]:
        """Return the outcomes of the next block of the journals that has some; none where nothing is new. Raises StorageError."""
        for job, follower in [*self._followers]:
            for lines in follower.blocks():
                if found := [_streamed(job, line.variant, outcome) for line in lines if (outcome := line.outcome()) is not None]:
                    return found
        return []


def _streamed(job: str, variant: str, outcome: Outcome) -> StreamedOutcome:
    text = answer_text(outcome) if outcome.ok else None
    return StreamedOutcome(job, variant, outcome.id, outcome.ordinal, outcome.repeat, text, outcome.error, outcome.cost_usd, outcome)
