"""What works beside a worker: its process for summaries and parts, and the merging of objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from batch.errors import StorageError
from batch.executors.workers import housekeeper as housekeeper_module
from batch.executors.workers.housekeeper import Housekeeper
from batch.executors.workers.merger import Merger
from batch.journal.segment_name import SegmentName
from batch.results.part_processes import order_of
from batch.results.parts import plan_parts
from batch.rundir.local import RunDirectory
from tests.support.runs import FinishedRun
from tests.support.scripts import wait_until
from tests.unit.results.test_parts import ROWS, parted


def keeper_of(run: FinishedRun) -> Housekeeper:
    """The housekeeper of a worker of a run."""
    return Housekeeper(order_of(run.stored, plan_parts(run.job, ROWS, "jsonl"), "jsonl", run.directory.path))


def test_a_part_is_written_once_its_rows_are_final_and_not_before(tmp_path: Path) -> None:
    """Promise 11: of parts of three rows the one that lacks an outcome is not written; both are reported as done with."""
    run = parted(tmp_path, [(row, True) for row in (0, 1, 2, 3, 5)])
    keeper = keeper_of(run)
    assert keeper.is_free
    keeper.write(0)
    keeper.write(1)
    written: list[int] = []
    wait_until(lambda: written.extend(keeper.take_written()) or len(written) == 2)
    keeper.close()
    assert written == [0, 1]
    assert sorted(path.name for path in run.directory.path.glob("completions-*")) == ["completions-00000-of-00004.jsonl"]
    assert not keeper.is_free
    keeper.write(0)
    assert keeper.take_written() == ()


def test_summaries_are_made_of_segments_that_are_worth_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a finished lease get their summaries; small ones, and those that are not there, none."""
    run = parted(tmp_path, [(0, True)])
    segment = SegmentName(2, 0, 1)
    folder = run.directory.path / "journal" / "v"
    record = next(folder.glob("*.jsonl")).read_bytes()
    segment.path(folder).write_bytes(record * (1 + (300 << 10) // len(record)))
    segment._replace(roll=2).path(folder).write_bytes(record)
    keeper = keeper_of(run)
    keeper.summarize("v", segment, 3)
    wait_until((folder / f"{segment.stem}.summary").exists)
    keeper.close()
    assert [path.name for path in folder.glob("*.summary")] == [f"{segment.stem}.summary"]


@pytest.mark.parametrize("kill", [True, False])
def test_a_process_that_dies_leaves_its_part_to_the_end_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: bool) -> None:
    """Promise 7: a process that was killed, or cannot be started, ends neither worker nor run: its part counts as done with."""
    run = parted(tmp_path, [(row, True) for row in range(ROWS)])
    keeper = keeper_of(run)
    right: Callable = housekeeper_module.ask

    def killed(process, line: bytes) -> object:
        process.kill()
        return right(process, line)

    def refused(process, line: bytes) -> object:
        raise OSError("no more processes")

    monkeypatch.setattr(housekeeper_module, "ask", killed if kill else refused)
    keeper.write(2)
    written: list[int] = []
    wait_until(lambda: bool(written.extend(keeper.take_written()) or written))
    assert written == [2]
    assert not keeper.is_free
    keeper.close(0.0)


class Store(RunDirectory):
    """A run directory whose objects can be merged, but for those of shard 1."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.merged: list[tuple[str, int, int]] = []

    def merge_lease(self, slug: str, lease: SegmentName, objects: int) -> None:
        if lease.shard == 1:
            raise StorageError("access denied")
        self.merged.append((slug, lease.shard, objects))


async def test_what_is_added_is_merged_to_the_end_and_a_refusal_ends_nothing(tmp_path: Path) -> None:
    """Finished leases are merged one by one beside the worker; what a store refuses stays as it is."""
    directory = Store(tmp_path)
    merger = Merger(directory)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(merger.run)
            for shard in range(3):
                merger.add("v", SegmentName(1, shard, 1), shard + 2)
                await anyio.lowlevel.checkpoint()
            merger.end()
    assert directory.merged == [("v", 0, 2), ("v", 2, 4)]
