"""Runs a worker in a Ray actor, with the mailbox through which the driver reads its reports. Ray itself is not imported here."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from batch._version import __version__
from batch.errors import PromptmillError, SetupError
from batch.executors.workers.messages import Assignment, Grant, Link, LinkError, Report
from batch.executors.workers.worker import work
from batch.policy.redaction import ApiKeys
from batch.readers import Dataset
from batch.rundir.opening import open_run_directory

# Seconds of silence after which a worker takes the driver for dead and sends nothing more.
DRIVER_SILENT_S = 20.0

_SHARED = (
    "the input and the run directory must lie where all nodes see them: on a network file system, or on an object store whose credentials "
    "each node has (in its environment, its ~/.aws, or by the role of its machine)"
)

logger = logging.getLogger("promptmill.worker")


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """What a worker's node must have in common with the driver's: the version, the run directory and the input (paths with sizes).

    `loopback` identifies the machine's loopback interface, for embedded models.
    """

    version: str
    manifest: str
    files: tuple[tuple[str, int], ...]
    loopback: str


def node_check_of(directory: str, dataset: Dataset) -> NodeCheck:
    """Describe this machine. Raises OSError, StorageError, RunDirectoryError."""
    manifest = hashlib.blake2b(repr(open_run_directory(directory).manifest).encode(), digest_size=16).hexdigest()
    return NodeCheck(__version__, manifest, tuple((str(file["path"]), int(file["size"])) for file in dataset.identity()), _loopback())


def _loopback() -> str:
    """Identify the loopback interface of this process."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/net').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def check(node_check: NodeCheck, assignment: Assignment) -> None:
    """Compare this machine with the driver's. Raises SetupError that says what differs."""
    if __version__ != node_check.version:
        raise SetupError(f"promptmill here is {__version__}, the driver's {node_check.version}; install the same one on all nodes")
    try:
        here = node_check_of(assignment.directory, Dataset(assignment.job.input, assignment.drawn))
        open_run_directory(assignment.directory).check_writable()
    except (PromptmillError, OSError) as error:
        raise SetupError(f"on {socket.gethostname()}: {error}; {_SHARED}") from error
    if here.manifest != node_check.manifest:
        raise SetupError(f"{assignment.directory} is another folder here than on the driver; put it where all nodes see it")
    if here.files != node_check.files:
        raise SetupError("the input is not the same here as on the driver; put it where all nodes see it")
    embedded = [variant.name for variant in assignment.job.variants if variant.provider.embedded is not None]
    if embedded and here.loopback != node_check.loopback:
        raise SetupError(
            f"{embedded[0]}: the embedded model serves its own machine only; give a server that all nodes reach ([provider] base_url)"
        )


class Mailbox:
    """A worker's link to a driver that fetches its reports and brings grants. A driver that is silent for too long counts as gone."""

    def __init__(self, patience_s: float = DRIVER_SILENT_S) -> None:
        self._patience_s = patience_s
        self._reports: asyncio.Queue[Report | None] = asyncio.Queue()
        self._grants: asyncio.Queue[Grant] = asyncio.Queue()

    async def checkin(self, report: Report) -> Grant:
        """Leave a report and wait for its grant."""
        self._reports.put_nowait(report)
        due = time.monotonic() + self._patience_s
        with anyio.move_on_after(self._patience_s):
            grant = await self._grants.get()
            # A worker that was suspended wakes up with an old grant, whose leases other workers have by now.
            if time.monotonic() <= due:
                return grant
        self.close()
        raise LinkError

    def close(self) -> None:
        """End the reports."""
        # The driver may be waiting for the next report.
        self._reports.put_nowait(None)

    async def exchange(self, grant: Grant | None) -> Report | None:
        """Take the grant for the last report and return the next report; None when there will be none. Called by the driver."""
        if grant is not None:
            self._grants.put_nowait(grant)
        return await self._reports.get()


class _Logged:
    """A link that logs the worker's shards."""

    def __init__(self, link: Link, where: str) -> None:
        self._link = link
        self._where = where

    async def checkin(self, report: Report) -> Grant:
        """Check in, and log new shards."""
        for queue, shard, generation in report.done:
            logger.info("%s: shard %d done (endpoint %d, generation %d)", self._where, shard, queue, generation)
        grant = await self._link.checkin(report)
        for lease in grant.leases:
            rows = lease.shard.start, lease.shard.stop - 1
            logger.info(
                "%s: shard %d taken, rows %d to %d (endpoint %d, generation %d)", self._where, lease.shard.number, *rows, *lease.key[::2]
            )
        return grant


class RayWorker:
    """The actor: one worker. Its keys come with a call and stay in memory: Ray's control store keeps what an actor is made with."""

    def __init__(self) -> None:
        self._mailbox = Mailbox()
        self._task: asyncio.Task[None] | None = None

    async def begin(self, node_check: NodeCheck, assignment: Assignment, keys: ApiKeys) -> str:
        """Start to work; returns host and process. Raises SetupError when this node lacks something."""
        where = f"{socket.gethostname()} (pid {os.getpid()})"
        # Before any row: a node that sees another input would send the wrong ones.
        await anyio.to_thread.run_sync(check, node_check, assignment)
        _log_to_stderr()
        logger.info("worker %s begins on %s, run directory %s", assignment.worker, where, assignment.directory)
        self._task = asyncio.create_task(self._work(assignment, keys, f"worker {assignment.worker} on {where}"))
        return where

    async def exchange(self, grant: Grant | None) -> Report | None:
        """As Mailbox.exchange; raises what ended the worker."""
        report = await self._mailbox.exchange(grant)
        if report is None and self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task
        return report

    async def _work(self, assignment: Assignment, keys: ApiKeys, where: str) -> None:
        try:
            await work(assignment, keys, _Logged(self._mailbox, where))
        finally:
            logger.info("%s: ended", where)
            self._mailbox.close()


def _log_to_stderr() -> None:
    """Log to stderr, which Ray keeps for each worker process."""
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
