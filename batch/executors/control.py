"""Steers a running run by commands: pause, resume, stop, set, retry, poll, state. One object a run, whatever sends its rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from batch.engine.steering import Steering, parse_limits
from batch.events import Event, LimitsSet, Notice
from batch.executors.stopping import Stopper
from batch.settings import RunSettings
from batch.tally import Tally

COMMANDS = ("state", "pause", "resume", "stop", "set", "retry", "poll")
MOST_RETRIED = 1000


class SteeredTarget(Protocol):
    """What sends the rows: a session of this process, or the coordinator of several workers."""

    async def steer(self, steering: Steering) -> None:
        """Keep to other limits, and pause or resume. Raises ValueError for a limit that cannot be kept."""

    async def retry(self, ids: Sequence[str]) -> Retried:
        """Send failed rows again."""

    def state(self) -> dict[str, Any]:
        """Return what is being sent, as JSON values."""


@dataclass(frozen=True, slots=True)
class Retried:
    """How many tasks are sent again, and why others are not."""

    tasks: int = 0
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CommandReply:
    """What a command gave: a sentence for people, and data for programs."""

    ok: bool
    message: str
    data: dict[str, Any] = field(default_factory=dict)


class Control:
    """Carries out commands on the run of one process. `notify` gets sentences for people, and the limits; `stopper` drains and stops.

    The session `began` at this time, in seconds since the epoch.
    """

    def __init__(self, run: RunSettings, stopper: Stopper, notify: Callable[[Event], None], began: float = 0.0) -> None:
        self.began = began
        self._notify = notify
        self.steering = self._begun_with = Steering.of(run)
        self._stopper = stopper
        self._target: SteeredTarget | None = None
        self._poll: Callable[[], int] | None = None

    @contextmanager
    def polled(self, poll: Callable[[], int]) -> Iterator[None]:
        """Within the body `poll` looks at all open batches at once; it returns their number."""
        self._poll = poll
        try:
            yield
        finally:
            self._poll = None

    @asynccontextmanager
    async def attached(self, target: SteeredTarget) -> AsyncIterator[None]:
        """Steer `target` within the body; it begins with what earlier commands of the run have set."""
        if self.steering != self._begun_with:
            await target.steer(self.steering)
        self._target = target
        try:
            yield
        finally:
            self._target = None

    async def carry_out(self, command: str, arguments: Sequence[str]) -> CommandReply:
        """Carry out a command. What is wrong with it is in the answer."""
        try:
            match command, list(arguments):
                case "state", []:
                    return CommandReply(True, self._sentence(), self._state())
                case "pause", []:
                    return await self._pause(paused=True)
                case "resume", []:
                    return await self._pause(paused=False)
                case "stop", [] | ["now"]:
                    return self._stop(now=bool(arguments))
                case "set", [*words]:
                    return await self._set(words)
                case "poll", []:
                    return self._look()
                case "retry", [_, *_] if len(arguments) <= MOST_RETRIED:
                    return await self._retry(arguments)
                case "retry", _:
                    return CommandReply(False, f"give the ids of 1 to {MOST_RETRIED:,} failed rows; more: run with --retry-failed=CODE")
                case _ if command in COMMANDS:
                    return CommandReply(False, f"{command} takes no {arguments[0]!r}")
        except ValueError as error:
            return CommandReply(False, str(error))
        return CommandReply(False, f"there is no command {command!r}; there are: {', '.join(COMMANDS)}")

    async def _pause(self, *, paused: bool) -> CommandReply:
        if self.steering.paused == paused:
            return CommandReply(True, "the run was paused already" if paused else "the run was not paused")
        await self._steer(self.steering.changed({"paused": paused}))
        text = "paused: what is in flight ends, nothing more is sent until `resume`" if paused else "resumed"
        self._report(text)
        return CommandReply(True, text)

    def _stop(self, *, now: bool) -> CommandReply:
        self._stopper.ask()
        if now:
            self._stopper.ask()
        return CommandReply(True, "stopping now: requests in flight are given up" if now else "stopping: requests in flight end first")

    async def _set(self, words: Sequence[str]) -> CommandReply:
        values = parse_limits(words)
        before = self.steering.document()
        await self._steer(self.steering.changed(values))
        changes = [f"{name} {_shown(before[name])} → {_shown(value)}" for name, value in values.items()]
        text = f"set for this session: {', '.join(changes)}"
        self._report(text)
        return CommandReply(True, text)

    async def _retry(self, ids: Sequence[str]) -> CommandReply:
        if self._target is None:
            return CommandReply(False, "no rows are being sent at the moment; give the command again")
        retried = await self._target.retry(list(dict.fromkeys(ids)))
        count = "1 failed task is" if retried.tasks == 1 else f"{retried.tasks:,} failed tasks are"
        sentences = [*([f"{count} sent again"] if retried.tasks else []), *retried.problems]
        if retried.tasks:
            self._report(sentences[0])
        return CommandReply(bool(retried.tasks) and not retried.problems, "; ".join(sentences), {"tasks": retried.tasks})

    def _look(self) -> CommandReply:
        if self._poll is None:
            return CommandReply(False, "the run waits for no batches: a look at them is for runs by a Batch API")
        count = self._poll()
        return CommandReply(True, f"{count:,} open {'batch is' if count == 1 else 'batches are'} looked at now", {"batches": count})

    async def _steer(self, steering: Steering) -> None:
        if self._target is not None:
            await self._target.steer(steering)
        before, self.steering = self.limits, steering
        if self.limits != before:
            self._notify(self.limits)

    @property
    def limits(self) -> LimitsSet:
        """The limits that the session keeps to."""
        steering = self.steering
        return LimitsSet(steering.concurrency, steering.requests_per_minute, steering.tokens_per_minute, steering.max_cost_usd)

    def _report(self, text: str) -> None:
        self._notify(Notice(text))

    def _state(self) -> dict[str, Any]:
        sending = {} if self._target is None else self._target.state()
        return {"sending": self._target is not None, **self.steering.document(), **sending}

    def _sentence(self) -> str:
        if self._target is None:
            return "nothing is being sent at the moment: the run begins, or writes its outputs"
        limits = [f"{name} {_shown(value)}" for name, value in self.steering.document().items() if name != "paused" and value is not None]
        return f"{'paused' if self.steering.paused else 'sending'}: {', '.join(limits)}"


def counts_of(tallies: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    """Return what a target's state shows of each variant."""
    return {name: {"in_flight": t.in_flight, "waiting": t.waiting, "finished": t.finished} for name, t in tallies.items()}


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value}"
