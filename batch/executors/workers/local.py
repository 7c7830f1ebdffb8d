"""Launches worker processes on this machine: starts them, answers their check-ins, and replaces those that die."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from typing import IO

import anyio
import anyio.to_thread
from anyio.abc import SocketStream, TaskGroup

from batch.engine.stop import Stop
from batch.executors.context import RunContext
from batch.executors.workers.coordinator import Coordinator
from batch.executors.workers.launcher import LAST_WORD_S, Launcher
from batch.executors.workers.messages import Assignment, LinkError, Report
from batch.executors.workers.wire import Wire
from batch.process import child_environment

# Beyond this they are no accidents: memory is short, or a library crashes.
MOST_DEATHS = 20
# A worker that has not checked in for this long hangs or is stopped: other workers take over its rows.
SILENT_S = 60.0
# Before its first check-in it loads its code, on a machine that may be busy.
BEGIN_S = 300.0
_SHOWN_LINES = 12


class LocalLauncher(Launcher):
    """Runs `processes` worker processes on this machine."""

    def __init__(self, coordinator: Coordinator, assignment: Assignment, context: RunContext, processes: int) -> None:
        super().__init__(coordinator, assignment, context)
        self._processes = processes
        self._deaths = 0

    async def _start_workers(self, workers: TaskGroup) -> None:
        for _ in range(self._processes):
            workers.start_soon(self._keep_one)

    async def _keep_one(self) -> None:
        """Run one worker process, and replace it when it dies."""
        while not self._coordinator.over:
            name = self._next_name()
            with tempfile.TemporaryFile() as errors:
                process, wire = await _start(errors)
                try:
                    ended = await self._tend(name, process, wire)
                finally:
                    with anyio.CancelScope(shield=True):
                        await _end(process, wire)
                if ended:
                    return
                await self._on_worker_exit(name, process, _last_lines(errors))

    async def _tend(self, name: str, process: subprocess.Popen[bytes], wire: Wire) -> bool:
        """Answer the worker's check-ins until its last report (True), or until it died or fell silent (False)."""
        coordinator = self._coordinator
        try:
            await wire.send((replace(self._assignment, worker=name), self._keys))
            while True:
                with anyio.move_on_after(self._patience if coordinator.knows(name) else BEGIN_S) as waiting:
                    report: Report = await wire.receive()
                if waiting.cancelled_caught:
                    if not coordinator.knows(name):
                        coordinator.end(Stop("refused", f"a worker process had not begun after {BEGIN_S:.0f} s"), 0.0)
                    # SIGTERM could be ignored by a process that hangs, and it may still write.
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

    async def _on_worker_exit(self, name: str, process: subprocess.Popen[bytes], said: str) -> None:
        """Report the lost worker and release its leases."""
        # A worker that exits by itself before it begins would do so again; one that was killed may have been killed at any moment.
        cannot_begin = not self._coordinator.knows(name) and process.returncode >= 0
        await self._coordinator.lost(name)
        if self._coordinator.over:
            return
        self._deaths += 1
        how = _how_it_ended(process)
        if cannot_begin:
            self._coordinator.end(Stop("refused", f"a worker process {how} before it began: {said or 'it gave no reason'}"), 0.0)
        elif self._deaths > MOST_DEATHS:
            self._coordinator.end(Stop("refused", f"{self._deaths} worker processes died, the last one {how}"), 0.0)
        else:
            self._context.report(f"worker process {process.pid} {how}; another one takes over its rows" + (f": {said}" if said else ""))


async def _start(errors: IO[bytes]) -> tuple[subprocess.Popen[bytes], Wire]:
    ours, theirs = socket.socketpair()
    with theirs:
        # Started by this thread: when the thread ends, the kernel ends the process too.
        process = subprocess.Popen(  # noqa: ASYNC220, S603
            [sys.executable, "-P", "-m", "batch.executors.workers.child", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    return process, Wire(await SocketStream.from_socket(ours))


async def _end(process: subprocess.Popen[bytes], wire: Wire) -> None:
    """Wait until the process is gone: nothing may write to its journals when other workers take over its rows."""
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
