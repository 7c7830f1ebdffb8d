"""A process that dies at any request to the store while it merges a journal: each record counts once, and the next one merges the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from batch.journal.index import ResumeIndex
from batch.journal.lines import encode
from batch.journal.segment_name import SegmentName
from batch.rundir.local import RunDirectory
from batch.rundir.opening import open_run_directory
from batch.storage import stores
from tests.support.stores import S3Server, outcome

LEASES = {SegmentName(1, 0, 1): 4, SegmentName(1, 1, 1): 3}
CALLS = ("info", "get", "put", "delete", "listing")


class KilledError(BaseException):
    """The process is dead."""


class Fuse:
    """Ends the process at its `left`th request to the store: before it is made, or after the store has done it."""

    def __init__(self, left: int, *, after: bool) -> None:
        self.left = left
        self._after = after

    def wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left <= 0 and not (self._after and self.left == 0):
                raise KilledError
            result = call(*arguments, **options)
            if self.left <= 0:
                raise KilledError
            return result

        return made


def filled(address: str) -> RunDirectory:
    """A journal of two finished leases, as objects of a record each."""
    directory = open_run_directory(address)
    directory.claim("m")
    row = 0
    for lease, objects in LEASES.items():
        for part in range(1, objects + 1):
            directory._put("m", f"{lease._replace(part=part).stem}.jsonl", encode(outcome(row)))  # type: ignore[attr-defined]
            row += 1
    return directory


def merge(directory: RunDirectory, *, by_worker: bool) -> None:
    """Merge as a worker does when its leases are done, or as a session does at its end."""
    if not by_worker:
        directory.merge_objects()
        return
    for lease, objects in LEASES.items():
        directory.merge_lease("m", lease, objects)


def dies(monkeypatch: pytest.MonkeyPatch, fuse: Fuse, work: Callable[[], None]) -> bool:
    """Do the work with the fuse in; False when it ended first."""
    with monkeypatch.context() as patch:
        patch.setattr(stores, "together", lambda each, items: [each(item) for item in items])
        for name in CALLS:
            patch.setattr(stores, name, fuse.wrapped(getattr(stores, name)))
        try:
            work()
        except KilledError:
            return True
        return False


@pytest.mark.parametrize("by_worker", [True, False])
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_at_any_request_of_a_merge_loses_and_doubles_nothing(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_worker: bool, step: int
) -> None:
    """Promises 1, 2, 3: each record counts once for whoever reads next, on any machine; another merge ends with two objects a lease."""
    number, struck = 1, True
    while struck:
        for after in (False, True):
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "writer"))
            address = f"s3://{s3.bucket()}/run"
            directory = filled(address)
            struck = dies(monkeypatch, Fuse(number, after=after), partial(merge, directory, by_worker=by_worker))
            where = f"killed {'after' if after else 'before'} request {number}"
            for machine in ("writer", f"other-{number}-{after}"):
                monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
                index = ResumeIndex.load(open_run_directory(address).journal_dir("m"))
                assert (len(index), index.superseded) == (sum(LEASES.values()), 0), where
            open_run_directory(address).merge_objects()
            names = [name.rpartition("/")[2] for name in s3.names(address.removeprefix("s3://"))]
            left = [(lease._replace(since=1, part=objects - 1), lease._replace(part=objects)) for lease, objects in LEASES.items()]
            assert names == [*(f"{name.stem}.jsonl" for pair in left for name in pair), "000001.jsonl"], where
            assert len(ResumeIndex.load(open_run_directory(address).journal_dir("m"))) == sum(LEASES.values()), where
        number += step
    assert number > 14
    print(f"killed before and after each of {number - step} requests, by steps of {step}")


def test_who_takes_a_shard_again_reads_merged_objects(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 1: a shard whose failures are sent again has what was merged of its former lease, also where the merge was cut off."""
    del monkeypatch
    address = f"s3://{s3.bucket()}/run"
    directory = filled(address)
    lease = SegmentName(1, 0, 1)
    directory.merge_lease("m", lease, 4)
    directory._put("m", f"{lease._replace(part=3).stem}.jsonl", encode(outcome(2)))  # type: ignore[attr-defined]
    index = directory.earlier("m", lease._replace(generation=2), ResumeIndex.of)
    assert (len(index), index.superseded) == (4, 0)
