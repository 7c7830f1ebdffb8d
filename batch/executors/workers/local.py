"""The launcher of local worker processes: starts them, answers their check-ins, and puts others in the place of those that die."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread
from anyio.abc import SocketStream

import batch
from batch.clock import Clock
from batch.engine.stop import Stop
from batch.events import Observer, Progressed
from batch.executors.workers.coordinator import CHECKIN_INTERVAL_S, Coordinator
from batch.executors.workers.messages import Assignment, LinkError, Report
from batch.executors.workers.wire import Wire
from batch.policy.redaction import ApiKeys
from batch.server.cores import usable_cores

MOST_DEATHS = 20
# A worker that has not checked in for so long hangs, or is stopped: its rows go to others.
SILENT_S = 60.0
# Before its first check-in it loads its code, on a machine that may be busy.
BEGIN_S = 300.0
# What a worker gets beyond the grace time to end when all is to end.
LAST_WORD_S = 10.0
_SHOWN_LINES = 12


def wanted_processes(processes: int | str, shards: int) -> int:
    """How many processes to start: no more than there are shards, for "auto" no more than cores."""
    return max(1, min(usable_cores() if processes == "auto" else int(processes), shards))


class Launcher:
    """Runs a session over `processes` worker processes. Each gets the assignment under a name of its own."""

    def __init__(
        self,
        coordinator: Coordinator,
        assignment: Assignment,
        keys: ApiKeys,
        processes: int,
        *,
        clock: Clock,
        observers: Sequence[Observer],
        notice: Callable[[str], None],
    ) -> None:
        self._coordinator = coordinator
        self._assignment = assignment
        self._keys = keys
        self._processes = processes
        self._clock = clock
        self._observers = observers
        self._notice = notice
        self._started = self._deaths = 0

    async def run(self) -> Stop | None:
        """Send what is to be sent; returns why the run ended early, None when every task has its outcome, on disk."""
        async with anyio.create_task_group() as helpers:
            helpers.start_soon(self._report_regularly)
            async with anyio.create_task_group() as workers:
                for _ in range(self._processes):
                    workers.start_soon(self._keep_one)
            helpers.cancel_scope.cancel()
        return None if self._coordinator.finished else self._coordinator.stop

    async def _keep_one(self) -> None:
        """One worker process, and after its death another."""
        while not self._coordinator.over:
            self._started += 1
            name = f"w{self._started}"
            with tempfile.TemporaryFile() as errors:
                process, wire = await _start(errors)
                try:
                    ended = await self._tend(name, process, wire)
                finally:
                    with anyio.CancelScope(shield=True):
                        await _end(process, wire)
                if ended:
                    return
                await self._mourn(name, process, _last_lines(errors))

    async def _tend(self, name: str, process: subprocess.Popen[bytes], wire: Wire) -> bool:
        """Answer its check-ins until it has said its last word (True), or has died or fallen silent."""
        coordinator = self._coordinator
        try:
            await wire.send((replace(self._assignment, worker=name), self._keys))
            while True:
                with anyio.move_on_after(self._patience if coordinator.knows(name) else BEGIN_S) as waiting:
                    report: Report = await wire.receive()
                if waiting.cancelled_caught:
                    if not coordinator.knows(name):
                        coordinator.end(Stop("refused", f"a worker process had not begun after {BEGIN_S:.0f} s"), 0.0)
                    process.send_signal(signal.SIGKILL)
                    return False
                await wire.send(coordinator.checkin(report, self._clock.monotonic()))
                if report.ended:
                    return True
        except LinkError:
            return False

    @property
    def _patience(self) -> float:
        return SILENT_S if self._coordinator.stop is None else self._coordinator.grace_s + LAST_WORD_S

    async def _mourn(self, name: str, process: subprocess.Popen[bytes], said: str) -> None:
        """A worker is dead: say so, and let others have its rows."""
        # What ends by itself before it begins would do so again; what somebody kills may be killed at any moment.
        cannot_begin = not self._coordinator.knows(name) and process.returncode >= 0
        await self._coordinator.lost(name)
        if self._coordinator.over:
            return
        self._deaths += 1
        how = _how_it_ended(process)
        if cannot_begin:
            self._coordinator.end(Stop("refused", f"a worker process {how} before it began: {said or 'it did not say why'}"), 0.0)
        elif self._deaths > MOST_DEATHS:
            self._coordinator.end(Stop("refused", f"{self._deaths} worker processes died, the last one {how}"), 0.0)
        else:
            self._notice(f"worker process {process.pid} {how}; another goes on with its rows" + (f": {said}" if said else ""))

    async def _report_regularly(self) -> None:
        while True:
            for observer in self._observers:
                observer.notify(Progressed(self._coordinator.tallies, self._coordinator.sharing))
            await anyio.sleep(CHECKIN_INTERVAL_S)


async def _start(errors: IO[bytes]) -> tuple[subprocess.Popen[bytes], Wire]:
    ours, theirs = socket.socketpair()
    with theirs:
        # Started by this thread, with whose end the kernel ends it too.
        # -P and our own place: a folder of the user's that is named batch, too, must not be taken for ours.
        paths = [str(Path(batch.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        process = subprocess.Popen(  # noqa: ASYNC220, S603
            [sys.executable, "-P", "-m", "batch.executors.workers.child", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    return process, Wire(await SocketStream.from_socket(ours))


async def _end(process: subprocess.Popen[bytes], wire: Wire) -> None:
    """See that it is gone: nothing may write to its journals when its rows go to others."""
    await wire.close()
    try:
        await anyio.to_thread.run_sync(process.wait, LAST_WORD_S)
    except subprocess.TimeoutExpired:
        process.kill()
        await anyio.to_thread.run_sync(process.wait)


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    if code is not None and code < 0:
        with suppress(ValueError):
            name = signal.Signals(-code).name
            return f"was killed by {name}" + (" (is memory short?)" if name == "SIGKILL" else "")
    return f"ended with code {code}"


def _last_lines(errors: IO[bytes]) -> str:
    errors.seek(0)
    return "\n".join(errors.read().decode(errors="replace").strip().splitlines()[-_SHOWN_LINES:])
