"""Puts a simulated world under promptmill's own `run`: its clock, event loop, threads, disk, endpoint, chance and signals."""

from __future__ import annotations

import asyncio
import importlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio._backends import _asyncio

from batch.app import prepare
from batch.app.runner import RunOptions, RunReport, run
from batch.engine import endpoints
from batch.errors import PromptmillError
from batch.events import Event, RunStarted
from batch.executors import context, stopping
from batch.executors.live import executor as live
from batch.job import LoadedJob
from batch.journal import summary_files
from batch.journal.file_writer import FileJournal
from batch.readers import input_index
from batch.results import part_index, part_processes
from batch.results.outputs import plan_while_sending
from batch.results.part_follower import PartFollower
from batch.results.part_writer import PartWriter
from batch.rundir import local as rundir_local
from batch.rundir.stored_run import StoredRun
from batch.settings import Durability
from batch.storage import local
from tests.simulation.disk import OpenedFiles, SimDisk
from tests.simulation.endpoint import Endpoint
from tests.simulation.loop import NumberedScope, StalledError, VirtualLoop
from tests.simulation.loop import run as run_on
from tests.simulation.model import builder
from tests.simulation.world import EPOCH, BrokenPromiseError, CrashedError, World, require

app_run = importlib.import_module("batch.app.runner")


class SimClock:
    """The world's time, in the place of SystemClock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.time()

    def wall(self) -> float:
        return EPOCH + self._world.time()


class Watcher:
    """An observer that holds every report against promises 1 and 2, and keeps the tallies for the moment of the crash."""

    def __init__(self, world: World, disk: SimDisk, durability: Durability) -> None:
        self._world, self._disk = world, disk
        self._awaits_disk = durability != "os"
        self._durable_before: dict[str, int] = {}
        self.has_started = False
        self.follower: PartFollower | None = None

    def notify(self, event: Event) -> None:
        if self._world.dead:
            return
        if self.follower is not None:
            # A process of its own would look when its clock says so: here it looks whenever anything is reported.
            with suppress(PromptmillError):
                for number in self.follower.look():
                    self.follower.write(number)
        if isinstance(event, RunStarted):
            self.has_started = True
            self._world.tallies = event.tallies
            self._durable_before = {name: self._disk.durable_records(name) for name in event.tallies}
        for name, tally in self._world.tallies.items():
            try:
                sums = tally.total is not None and tally.finished <= tally.total and min(tally.kept_ok, tally.kept_failed) >= 0
                require(sums, "1 (reports)", f"{name}: {tally}")
                require(tally.durable <= tally.ok + tally.failed, "1 (reports)", f"{name} has more durable than final: {tally}")
                durable = self._disk.durable_records(name) - self._durable_before[name]
                require(not self._awaits_disk or tally.durable <= durable, "2 (reports)", f"{name}: {durable} are durable: {tally}")
            except BrokenPromiseError as error:
                self._world.accuse(error)


class _Anyio:
    """anyio, but for what leads out of the world."""

    def __init__(self, run: Callable[..., Any], open_signal_receiver: Callable[..., Any]) -> None:
        self.run = run
        self.open_signal_receiver = open_signal_receiver

    def __getattr__(self, name: str) -> Any:
        return getattr(anyio, name)


class Session:
    """One process: `go` runs it to its end, or to its crash (CrashedError)."""

    def __init__(
        self,
        world: World,
        disk: SimDisk,
        endpoint: Endpoint,
        *,
        segment_bytes: int,
        signals: Sequence[float] = (),
        stall_s: float,
        grace_s: float,
    ) -> None:
        self.watcher = Watcher(world, disk, endpoint.run.durability)
        self.drained_at: float | None = None
        self.aborted_at: float | None = None
        self._world, self._disk, self._endpoint = world, disk, endpoint
        self._segment_bytes = segment_bytes
        self._signals = signals
        self._stall_s, self._grace_s = stall_s, grace_s

    def go(self, loaded: LoadedJob, options: RunOptions) -> RunReport:
        """Run the job as the command does."""
        try:
            with self._staged():
                report = run(loaded, options, [self.watcher])
        finally:
            self._disk.end_process()
        if self._world.dead:
            raise CrashedError
        return report

    @contextmanager
    def _staged(self) -> Iterator[None]:
        world, disk = self._world, self._disk
        chance = Random(world.chance.random())
        with ExitStack() as stack:
            for target, name, value in (
                (app_run, "anyio", _Anyio(self._run_async, self._signal_receiver)),
                (stopping, "anyio", _Anyio(self._run_async, self._signal_receiver)),
                (app_run, "SystemClock", partial(SimClock, world)),
                (live, "random", SimpleNamespace(Random=lambda: chance)),
                (endpoints, "open_engine", lambda run, connections: self._endpoint),
                (context, "request_builder", builder),
                (prepare, "request_builder", builder),
                (rundir_local, "FileJournal", partial(FileJournal, segment_bytes=self._segment_bytes, disk=disk)),
                (local, "sync_directory", disk.sync_directory),
                (app_run, "following", self._following),
                (part_index, "Disk", partial(OpenedFiles, disk)),
                (part_processes, "usable_cores", lambda: 1),
                # However small: segments have summaries, and the input an index.
                (summary_files, "WORTH_BYTES", 0),
                (input_index, "WORTH_ROWS", 0),
                (anyio.to_thread, "run_sync", self._in_thread),
                (_asyncio, "CancelScope", NumberedScope),
            ):
                stack.enter_context(patch.object(target, name, value))
            yield

    @contextmanager
    def _following(self, stored: StoredRun, *, alone: bool) -> Iterator[None]:
        """Write parts while the run sends, in this process."""
        assert alone, "workers are not simulated"
        plan = plan_while_sending(stored)
        if plan is not None:
            self.watcher.follower = PartFollower(PartWriter(stored.without_limit(), plan, "jsonl", stored.directory.path))
        try:
            yield
        finally:
            self.watcher.follower = None

    def _run_async(self, main: Callable[..., Awaitable[Any]], *args: Any, **_backend: Any) -> Any:
        world = self._world

        def hold(task: Any) -> None:
            world.main = task

        world.loop = VirtualLoop(world.now, self._watch)
        try:
            stop = run_on(world.loop, main(*args), hold)
        except StalledError as error:
            raise BrokenPromiseError("7", f"the run goes on for ever: {error}") from None
        except (Exception, BaseExceptionGroup, asyncio.CancelledError):
            if world.dead:
                raise CrashedError from None
            raise
        finally:
            world.now = world.loop.time()
            world.loop = world.main = None
        if world.dead:
            raise CrashedError
        return stop

    def _watch(self, now: float) -> None:
        """Promise 7: an endpoint that serves nothing is given up in time, and a run that is told to end does."""
        since, limit = self._endpoint.last_progress, self._stall_s
        if self.drained_at is not None:
            since, limit = self.drained_at, self._grace_s + 2.0
        if self.aborted_at is not None:
            since, limit = self.aborted_at, 2.0
        if now - since > limit and not self._world.dead:
            text = f"the run has not ended {now - since:.1f} s after the last sign of life; {limit:.1f} s are allowed"
            raise BrokenPromiseError("7", text)

    async def _in_thread(self, function: Callable[..., Any], *args: Any, abandon_on_cancel: bool = False, limiter: Any = None) -> Any:
        """A worker thread, as the event loop sees it: it takes time and cannot be cancelled."""
        await anyio.lowlevel.checkpoint()
        chance = self._world.chance
        with anyio.CancelScope(shield=not abandon_on_cancel):
            if function == self._disk.sync:
                begun = self._disk.begin_sync(*args)
                await anyio.sleep(chance.choice((0.0, 0.005, 0.05, 0.3)))
                return self._disk.end_sync(begun)
            await anyio.sleep(chance.choice((0.0, 0.001, 0.02)))
            return function(*args)

    @contextmanager
    def _signal_receiver(self, *wanted: signal.Signals) -> Iterator[AsyncIterator[signal.Signals]]:
        yield self._signal_times()

    async def _signal_times(self) -> AsyncIterator[signal.Signals]:
        for number, delay in enumerate(self._signals):
            await anyio.sleep(delay)
            self._world.log(f"signal {number + 1}")
            if number == 0:
                self.drained_at = self._world.time()
            elif self.aborted_at is None:
                self.aborted_at = self._world.time()
            yield signal.SIGTERM
        await anyio.sleep_forever()
