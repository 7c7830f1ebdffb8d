"""Histories of runs by batches in a simulated world: the promises hold after each session, and planted bugs are found.

A failing seed N is replayed, with its trace, by `python -m tests.simulation_batches --seed N`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch.executors.batch_api import collector, known
from batch.executors.batch_api.endpoint import BatchEndpoint
from batch.executors.batch_api.provider import BatchProvider, BatchReply
from batch.executors.batch_api.session import BatchSession
from batch.executors.batch_api.submissions import Submissions
from batch.executors.batch_api.watching import Watcher
from tests.simulation.__main__ import fast_folder
from tests.simulation_batches.history import play

pytestmark = pytest.mark.timeout(600)
Patch = Callable[[pytest.MonkeyPatch], None]


def _played(seeds: range, place: Path) -> Counter[str]:
    lived: Counter[str] = Counter()
    for seed in seeds:
        try:
            lived += play(seed, place)
        except AssertionError as error:
            error.add_note(f"replay it: python -m tests.simulation_batches --seed {seed}")
            raise
    return lived


@pytest.mark.parametrize("first", range(0, 30, 15))
def test_histories_keep_the_promises(first: int) -> None:
    """Promises 1 to 5, 11 and 14 hold after each session of 30 seeded histories: crashes, lost and late replies, lists that lag, expiry."""
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=fast_folder()) as place:
        lived = _played(range(first, first + 15), Path(place))
    assert lived["crashes"] >= 10
    assert lived["batches"] >= 100


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_three_thousand_histories() -> None:
    """The same over 3,000 histories; prints what was lived through."""
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=fast_folder()) as place:
        lived = _played(range(10_000, 13_000), Path(place))
    print(f"\n3,000 histories: {dict(lived)}")


def test_a_seed_gives_the_same_history_in_every_process() -> None:
    """A failing seed can be replayed: nothing depends on hash seeds, addresses, threads or the wall clock."""
    traces = []
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation_batches", "--seed", "7"]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": hash_seed}, check=True)
        traces.append(done.stdout)
    assert traces[0] == traces[1]
    # The seams are in use: the run goes by this clock, this provider and this disk.
    assert all(word in traces[0] for word in ("POST batches is done: 200", "sync ends", "SESSION"))


def writes_no_intent(patch: pytest.MonkeyPatch) -> None:
    """Records a submission only when its batch is named."""
    right = Submissions._record

    def record(self: Any, event: Any, submission: Any, changes: dict[str, Any]) -> None:
        if event in ("intent", "uploaded"):
            self.all[submission.number] = submission
            for name, value in changes.items():
                setattr(submission, name, value)
            return
        if event == "created":
            right(self, "intent", submission, {"intent_at": submission.intent_at, "file_id": submission.file_id})
        right(self, event, submission, changes)

    patch.setattr(Submissions, "_record", record)


def never_searches(patch: pytest.MonkeyPatch) -> None:
    """Takes a creation whose reply was lost for one that never was."""

    async def search(self: Any, submission: Any, times: int) -> None:
        return None

    patch.setattr(BatchEndpoint, "_search", search)


def searches_once(patch: pytest.MonkeyPatch) -> None:
    """Searches the list at once, and leaves the file there: a creation that is late, or a list that lags, is not seen."""
    right = BatchEndpoint._search

    async def search(self: Any, submission: Any, times: int) -> Any:
        return await right(self, submission, 1) if times > 1 else None

    async def remove(self: Any, file_id: str) -> None:
        return None

    patch.setattr(BatchEndpoint, "_search", search)
    patch.setattr(BatchEndpoint, "_remove_file", remove)


def leaves_uploads(patch: pytest.MonkeyPatch) -> None:
    """Does not look for an upload whose reply was lost."""

    async def orphans(self: Any, submission: Any) -> None:
        return None

    patch.setattr(BatchEndpoint, "_remove_orphans", orphans)


def believes_any_line(patch: pytest.MonkeyPatch) -> None:
    """Takes a line by the place in its id alone."""
    patch.setattr(collector, "place_in", lambda token, number, name: int(name.rpartition("-")[2]))


def counts_again(patch: pytest.MonkeyPatch) -> None:
    """Forgets what an interrupted collection has recorded."""
    patch.setattr(collector, "settled", lambda index, entries: [False] * len(entries))


def forgets_open_batches(patch: pytest.MonkeyPatch) -> None:
    """Submits what a batch of an earlier session has."""
    right = known.KnownTasks.load

    def load(self: Any) -> None:
        right(self)
        self.open = known.KeySet()

    patch.setattr(known.KnownTasks, "load", load)


def throws_expired_away(patch: pytest.MonkeyPatch) -> None:
    """Takes nothing of a batch that did not complete."""
    right = Watcher._results

    async def results(self: Any, endpoint: Any, submission: Any, batch: Any) -> Any:
        found = await right(self, endpoint, submission, batch)
        return found if batch.state == "completed" or found is None else iter(())

    patch.setattr(Watcher, "_results", results)


def retries_creation(patch: pytest.MonkeyPatch) -> None:
    """Creates a batch once more when the first reply is lost, as the retries of an SDK do."""
    right = BatchProvider.create

    async def create(self: Any, *arguments: Any) -> Any:
        answer, batch = await right(self, *arguments)
        return (answer, batch) if batch is not None or answer.was_refused else await right(self, *arguments)

    patch.setattr(BatchProvider, "create", create)


def takes_silence_for_refusal(patch: pytest.MonkeyPatch) -> None:
    """Takes any call without a good reply for one that had no effect."""
    patch.setattr(BatchReply, "was_refused", property(lambda self: not self.ok))


def sends_open_ones_live(patch: pytest.MonkeyPatch) -> None:
    """Ends the wait for batches at once, and takes what they have for their rest."""
    right = BatchSession._fresh

    def fresh(self: Any, works: Any) -> Any:
        for work in works[:1]:
            self.known.leave_work(work)
        return right(self, works)

    patch.setattr(BatchSession, "_fresh", fresh)


# How many histories may pass before a planted bug is found.
MOST_SEEDS = 40
PLANTED: list[tuple[Patch, str]] = [
    (writes_no_intent, "promise 14"),
    (never_searches, "promise 14"),
    (searches_once, "promise 14"),
    (leaves_uploads, "promise 14"),
    (believes_any_line, "promise 5"),
    (counts_again, "promise 4"),
    (forgets_open_batches, "promise (14|4)"),
    (throws_expired_away, "promise 14"),
    (retries_creation, "promise 14"),
    (takes_silence_for_refusal, "promise 14"),
    (sends_open_ones_live, "promise (14|4)"),
]


@pytest.mark.parametrize(("plant", "promise"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_bug_is_found(plant: Patch, promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each planted bug breaks a promise within 40 histories."""
    plant(monkeypatch)
    with (
        tempfile.TemporaryDirectory(prefix="simulation-", dir=fast_folder()) as place,
        pytest.raises(AssertionError, match=promise),
    ):
        _played(range(MOST_SEEDS), Path(place))
