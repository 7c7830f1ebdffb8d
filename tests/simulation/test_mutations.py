"""The test of the simulation: each planted bug is found within a stated number of seeds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batch.engine import endpoint_pool, failure_handler, worker_pool
from batch.engine.limiter import EndpointLimiter
from batch.engine.recorder import Recorder
from batch.journal import done, file_writer, index, summary_files
from batch.journal.file_writer import FileJournal
from batch.policy.blame import Blame, Evidence
from batch.results import part_index
from batch.results.part_writer import PartWriter
from batch.transport.assemble import Assembler
from tests.simulation.history import play
from tests.simulation.world import BrokenPromiseError

pytestmark = pytest.mark.timeout(600)
Patch = Callable[[pytest.MonkeyPatch], None]


def skips_fsync(patch: pytest.MonkeyPatch) -> None:
    """Counts as durable what no disk was asked for."""

    async def sync(self: Any) -> int:
        self._durable = self._appended
        return self._durable

    patch.setattr(FileJournal, "sync", sync)


def keeps_torn_tail(patch: pytest.MonkeyPatch) -> None:
    """Appends behind a torn tail."""
    patch.setattr(file_writer, "repair_tails", lambda paths, disk: None)


def counts_all_appended_as_durable(patch: pytest.MonkeyPatch) -> None:
    """Counts as durable also what was appended while the disk was busy."""
    right = FileJournal.sync

    async def sync(self: Any) -> int:
        await right(self)
        return self._appended

    patch.setattr(FileJournal, "sync", sync)


def counts_before_durable(patch: pytest.MonkeyPatch) -> None:
    """Reports records as durable before it asks the disk."""
    right = Recorder.sync

    async def sync(self: Any, variant: str | None = None, **options: Any) -> None:
        for name, tally in self.tallies.items():
            tally.durable = self._journals[name]._appended
        await right(self, variant, **options)

    patch.setattr(Recorder, "sync", sync)


def forgets_names(patch: pytest.MonkeyPatch) -> None:
    """Does not make the names of new segments durable."""
    patch.setattr(FileJournal, "_create", lambda self, number=1: self._disk.open(file_writer.segment_path(self._directory, number)))


def shortens_waits(patch: pytest.MonkeyPatch) -> None:
    """Comes back after 0.9 of the server's wait."""
    right = EndpointLimiter._pause
    patch.setattr(EndpointLimiter, "_pause", lambda self, wait, *rest: right(self, 0.9 * wait, *rest))


def retries_without_end(patch: pytest.MonkeyPatch) -> None:
    """Never gives up a row."""
    patch.setattr(failure_handler, "is_spent", lambda *_: False)


def blames_the_row(patch: pytest.MonkeyPatch) -> None:
    """Fails each row that was refused for good, whatever the endpoint does with others."""
    right = failure_handler.blame

    def blame(verdict: Any, evidence: Any, **options: Any) -> Blame:
        found = right(verdict, evidence, **options)
        return Blame.ROW if found is Blame.UNCLEAR else found

    patch.setattr(failure_handler, "blame", blame)


def believes_any_answer(patch: pytest.MonkeyPatch) -> None:
    """Takes an answer to an earlier request for proof that a later refusal was the row's fault."""
    patch.setattr(Evidence, "served_after", lambda self, moment: self.has_served)


def believes_the_reference(patch: pytest.MonkeyPatch) -> None:
    """Takes a reference that was refused for one that was served."""
    right = failure_handler.FailureHandler.tested

    def tested(self: Any, probe: Any, verdict: Any, exchange: Any) -> Any:
        self._endpoint_pool.evidence(probe).served(exchange.sent_at, by_reference=True)
        yield from self.release()
        yield from right(self, probe, verdict, exchange)

    patch.setattr(failure_handler.FailureHandler, "tested", tested)


def never_lets_a_row_fail(patch: pytest.MonkeyPatch) -> None:
    """Waits for more evidence for ever."""
    patch.setattr(Evidence, "served_after", lambda self, moment: False)


def ignores_the_budget(patch: pytest.MonkeyPatch) -> None:
    """Retries as often as it likes, in the whole run."""
    patch.setattr(endpoint_pool.EndpointPool, "may_retry", lambda self, work: True)


def believes_cut_streams(patch: pytest.MonkeyPatch) -> None:
    """Takes a stream that was cut off for an answer."""
    right = Assembler.body

    def body(self: Any) -> bytes:
        for choice in self._choices.values():
            choice.finish_reason = choice.finish_reason or "stop"
        return right(self)

    patch.setattr(Assembler, "body", body)
    patch.setattr(Assembler, "finished", property(lambda self: bool(self._choices)))


def records_twice(patch: pytest.MonkeyPatch) -> None:
    """Writes an outcome twice."""
    right = FileJournal.append

    def append(self: Any, line: bytes) -> None:
        right(self, line)
        if line.find(b'"row":2,') > 0:
            right(self, line)

    patch.setattr(FileJournal, "append", append)


def oldest_wins(patch: pytest.MonkeyPatch) -> None:
    """Lets a task's first record win."""
    patch.setattr(index, "_newest", lambda task: np.unique(task, return_index=True)[1])


def forgets_what_is_there(patch: pytest.MonkeyPatch) -> None:
    """Sends the first finished row of each lookup again."""
    right, ranges = index.ResumeIndex.lookup, done.DoneTasks.finished
    patch.setattr(index.ResumeIndex, "lookup", lambda self, hashes: [None, *right(self, hashes)[1:]])
    patch.setattr(done.DoneTasks, "finished", lambda self, repeats, **options: ranges(self, repeats, **options)[1:])
    patch.setattr(done.DoneTasks, "entries", lambda self, ordinals, repeat: [None] * len(ordinals))


def believes_any_summary(patch: pytest.MonkeyPatch) -> None:
    """Takes a summary for that of its segment, although the segment has grown, or was cut, since it was made."""
    right = summary_files._read

    def read(file: Any) -> Any:
        header, *rest = right(file)
        segment = Path(file.name).with_suffix(".jsonl")
        status = segment.stat()
        now = {"size": status.st_size, "inode": status.st_ino, "mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}
        return {**header, **now}, *rest

    patch.setattr(summary_files, "_read", read)


def parts_before_durable(patch: pytest.MonkeyPatch) -> None:
    """Puts a part in place before its rows are durable."""
    patch.setattr(part_index, "make_durable", lambda path: None)


def believes_old_parts(patch: pytest.MonkeyPatch) -> None:
    """Takes a part that stands there for the one that the journals say."""
    patch.setattr(PartWriter, "is_current", lambda self, number: self._state(number).exists())


def loses_an_answer(patch: pytest.MonkeyPatch) -> None:
    """Throws an answer away now and then, and sends the row again."""
    right = worker_pool.WorkerPool._complete

    def complete(self: Any, work: Any, exchange: Any) -> None:
        if work.task.ordinal == 3 and work.tries == 1:
            self._backlog.postpone(work, 0.0)
            self._recorder.tallies[work.task.variant].waiting += 1
            return
        right(self, work, exchange)

    patch.setattr(worker_pool.WorkerPool, "_complete", complete)


def waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Never gives up an endpoint that serves nothing."""
    patch.setattr(EndpointLimiter, "outage_deadline", property(lambda self: None))


@dataclass(frozen=True)
class Planted:
    """A bug, a pattern of the promise that must be found broken, and, where it needs certain weather or many rows to show, those.

    Histories begin with seed `first`, where those before it are long and do not show it.
    """

    plant: Patch
    promise: str
    weather: str | None = None
    rows: int | None = None
    first: int = 0


# How many histories may pass before a planted bug is found.
MOST_SEEDS = 40
MUTATIONS = [
    Planted(skips_fsync, "promise 2"),
    Planted(keeps_torn_tail, "DamagedError|promise 3"),
    Planted(counts_all_appended_as_durable, "promise 2"),
    Planted(counts_before_durable, "promise 2"),
    Planted(forgets_names, "promise 2"),
    Planted(shortens_waits, r"promise 6 \(waits\)", "refusing"),
    Planted(retries_without_end, r"promise 6 \(attempts\)"),
    Planted(blames_the_row, "promise 13", "broke"),
    Planted(believes_any_answer, "promise 13", "broke"),
    Planted(believes_the_reference, "promise 13", "broke"),
    Planted(never_lets_a_row_fail, "promise (1|4|7|9)"),
    Planted(ignores_the_budget, "promise 6", "lossy", rows=300, first=8),
    Planted(believes_cut_streams, "promise 5"),
    Planted(records_twice, "promise 1"),
    Planted(oldest_wins, "promise (1|11)"),
    Planted(forgets_what_is_there, "promise (1|4)"),
    Planted(believes_any_summary, "promise (1|2|4)"),
    Planted(parts_before_durable, "promise 2", first=60),
    Planted(believes_old_parts, "promise 11"),
    Planted(loses_an_answer, "promise 4", "calm"),
    Planted(waits_for_ever, "promise 7", "outage"),
]


def seeds_until_found(planted: Planted, folder: Path) -> tuple[int, str]:
    """How many seeds it took, and what was found; (0, "") when nothing was."""
    for seed in range(planted.first, planted.first + MOST_SEEDS):
        try:
            play(seed, folder, weather=planted.weather, rows=planted.rows)
        except BrokenPromiseError as error:
            return seed + 1, str(error)
        except Exception as error:  # noqa: BLE001 - a bug may also show as a crash of the program
            # The run wraps what it does not expect, a broken promise too.
            broken = broken_promise(error)
            return seed + 1, f"{type(error).__name__}: {error}" if broken is None else str(broken)
    return 0, ""


def broken_promise(error: BaseException | None) -> BrokenPromiseError | None:
    """Find a broken promise among an exception's causes, or in its group."""
    while error is not None and not isinstance(error, BrokenPromiseError):
        if isinstance(error, BaseExceptionGroup):
            return next((found for each in error.exceptions if (found := broken_promise(each)) is not None), None)
        error = error.__cause__
    return error


@pytest.mark.parametrize("planted", MUTATIONS, ids=[planted.plant.__name__ for planted in MUTATIONS])
def test_a_planted_bug_is_found(planted: Planted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The simulation would notice: a planted bug breaks its promise within 40 histories."""
    planted.plant(monkeypatch)
    seeds, found = seeds_until_found(planted, tmp_path)
    print(f"{planted.plant.__name__}: found by history {seeds}: {found}")
    assert seeds, f"not found in {MOST_SEEDS} histories"
    assert re.match(planted.promise, found)
