"""The queue of one worker pool: what becomes of work whose variant is not sent any more."""

from __future__ import annotations

from batch.engine.backlog import Backlog
from batch.engine.work import Work
from batch.records import Request, Task


def work(variant: str, ordinal: int) -> Work:
    """A row's work for a variant."""
    return Work(Task(ordinal, f"r{ordinal}", variant, 0, Request("chat/completions", b"{}", bytes(16))))


def test_work_of_a_skipped_variant_is_reported_exactly_once_however_it_leaves() -> None:
    """Promise 1: a lease is done only when each task is accounted for, waiting, ready, read later or retried later."""
    dropped: list[tuple[str, int]] = []
    backlog = Backlog(512, lambda each: dropped.append((each.task.variant, each.task.ordinal)))
    for variant in ("a", "b"):
        backlog.add(work(variant, 0))
        backlog.postpone(work(variant, 1), 5.0)
    assert backlog.skip("a") == 1
    backlog.add(work("a", 2))
    backlog.postpone(work("a", 3), 7.0)
    assert sorted(dropped) == [("a", 0), ("a", 1), ("a", 2), ("a", 3)]
    assert backlog.take().task.variant == backlog.take_retry().task.variant == "b"
    assert not backlog
