"""Why a run ended, when there is more than one reason."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from batch.clock import SystemClock
from batch.engine.costs import Costs
from batch.engine.recorder import Recorder
from batch.engine.session import Session
from batch.engine.work import Work
from batch.journal.file_writer import FileJournal
from batch.records import ErrorInfo, ErrorKind, Request, Task
from batch.settings import RunSettings
from batch.tally import Tally
from tests.support.stores import WatchedDisk


@pytest.mark.parametrize("drained", [False, True])
async def test_a_disk_that_refuses_is_told_also_when_the_run_was_stopped_before(tmp_path: Path, drained: bool) -> None:
    """Promise 2, fault 42: interrupted first, and then the last sync fails: the run says that not everything could be kept."""

    def refuse() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk = WatchedDisk()
    disk.on_sync = refuse
    with FileJournal(tmp_path / "m", "group", disk=disk) as journal:
        recorder = Recorder({"m": journal}, {"m": Tally(total=1)}, SystemClock(), Costs({}, ()))
        run = Session([], recorder, Costs({}, ()), RunSettings(), clock=SystemClock(), observers=())
        if drained:
            run.drain()
        work = Work(Task(0, "r0", "m", 0, Request("chat/completions", b"{}", bytes(16))))
        recorder.failed(work, ErrorInfo(ErrorKind.INPUT, "bad", "bad"), None)
        stop = await run.execute()
        if drained:
            run.abort()
    assert stop is not None
    assert stop.cause == "storage"
    assert "the disk reports an input/output error" in stop.reason
    assert recorder.tallies["m"].durable == 0
