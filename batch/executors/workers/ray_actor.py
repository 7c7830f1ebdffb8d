"""What runs in a Ray actor: a worker, and the post box through which the driver hears of it. Ray itself is not imported here."""

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

# Without a word of the driver for so long, a worker takes it for dead and sends nothing more.
DRIVER_SILENT_S = 20.0

_SHARED = (
    "the input and the run directory must lie where all nodes see them: on a network file system, or on an object store whose credentials "
    "each node has (in its environment, its ~/.aws, or by the role of its machine)"
)

logger = logging.getLogger("promptmill.worker")


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """What a worker's node must have in common with the driver's: this version, the run directory and the input (paths with sizes).

    `loopback` names the machine's loopback interface, for embedded models.
    """

    version: str
    manifest: str
    files: tuple[tuple[str, int], ...]
    loopback: str


def node_check_of(directory: str, dataset: Dataset) -> NodeCheck:
    """As of this machine. Raises OSError, StorageError, RunDirectoryError."""
    manifest = hashlib.blake2b(repr(open_run_directory(directory).manifest).encode(), digest_size=16).hexdigest()
    return NodeCheck(__version__, manifest, tuple((str(file["path"]), int(file["size"])) for file in dataset.identity()), _loopback())


def _loopback() -> str:
    """What is the same for all processes that share a loopback interface, and for no others."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/net').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def check(brief: NodeCheck, assignment: Assignment) -> None:
    """See that this machine has what the driver has. Raises SetupError that says what is different."""
    if __version__ != brief.version:
        raise SetupError(f"promptmill here is {__version__}, the driver's {brief.version}; install the same one on all nodes")
    try:
        here = node_check_of(assignment.directory, Dataset(assignment.job.input, assignment.drawn))
        open_run_directory(assignment.directory).check_writable()
    except (PromptmillError, OSError) as error:
        raise SetupError(f"on {socket.gethostname()}: {error}; {_SHARED}") from error
    if here.manifest != brief.manifest:
        raise SetupError(f"{assignment.directory} is another folder here than on the driver; put it where all nodes see it")
    if here.files != brief.files:
        raise SetupError("the input is not the same here as on the driver; put it where all nodes see it")
    embedded = [variant.name for variant in assignment.job.variants if variant.provider.embedded is not None]
    if embedded and here.loopback != brief.loopback:
        raise SetupError(
            f"{embedded[0]}: the embedded model serves its own machine only; give a server that all nodes reach ([provider] base_url)"
        )


class PostBox:
    """A worker's link to a driver that fetches its reports and brings the grants. A driver that is silent for too long is gone."""

    def __init__(self, patience_s: float = DRIVER_SILENT_S) -> None:
        self._patience_s = patience_s
        self._reports: asyncio.Queue[Report | None] = asyncio.Queue()
        self._grants: asyncio.Queue[Grant] = asyncio.Queue()

    async def checkin(self, report: Report) -> Grant:
        """Leave a report, and wait for its grant."""
        self._reports.put_nowait(report)
        due = time.monotonic() + self._patience_s
        with anyio.move_on_after(self._patience_s):
            grant = await self._grants.get()
            # Whoever was paused wakes up with the grant of long ago: what it allowed has passed to others.
            if time.monotonic() <= due:
                return grant
        self.close()
        raise LinkError

    def close(self) -> None:
        """There will be no more reports."""
        self._reports.put_nowait(None)

    async def exchange(self, grant: Grant | None) -> Report | None:
        """The driver's side: the answer to the last report, and the next one; None when there will be none."""
        if grant is not None:
            self._grants.put_nowait(grant)
        return await self._reports.get()


class _Logged:
    """A link that notes in the worker's log which shards it has, and where."""

    def __init__(self, link: Link, where: str) -> None:
        self._link = link
        self._where = where

    async def checkin(self, report: Report) -> Grant:
        """As the link does."""
        for lane, shard, generation in report.done:
            logger.info("%s: shard %d done (endpoint %d, generation %d)", self._where, shard, lane, generation)
        grant = await self._link.checkin(report)
        for lease in grant.leases:
            rows = lease.shard.start, lease.shard.stop - 1
            logger.info(
                "%s: shard %d taken, rows %d to %d (endpoint %d, generation %d)", self._where, lease.shard.number, *rows, *lease.key[::2]
            )
        return grant


class RayWorker:
    """The actor: one worker. Its keys come with a call and stay in memory: what an actor is made with is kept by Ray's control store."""

    def __init__(self) -> None:
        self._box = PostBox()
        self._task: asyncio.Task[None] | None = None

    async def begin(self, brief: NodeCheck, assignment: Assignment, keys: ApiKeys) -> str:
        """Begin to work; returns where: host and process. Raises SetupError when this node lacks something."""
        where = f"{socket.gethostname()} (pid {os.getpid()})"
        await anyio.to_thread.run_sync(check, brief, assignment)
        _log_to_stderr()
        logger.info("worker %s begins on %s, run directory %s", assignment.worker, where, assignment.directory)
        self._task = asyncio.create_task(self._work(assignment, keys, f"worker {assignment.worker} on {where}"))
        return where

    async def exchange(self, grant: Grant | None) -> Report | None:
        """As PostBox.exchange; raises what ended the worker."""
        report = await self._box.exchange(grant)
        if report is None and self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task
        return report

    async def _work(self, assignment: Assignment, keys: ApiKeys, where: str) -> None:
        try:
            await work(assignment, keys, _Logged(self._box, where))
        finally:
            logger.info("%s: ended", where)
            self._box.close()


def _log_to_stderr() -> None:
    """Into the log that Ray keeps of each worker process."""
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
