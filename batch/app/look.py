"""Look into runs: their state, outcomes as they come, a row with all its attempts, the list of runs. Nothing is sent or changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.app.last_session import last_session
from batch.errors import PromptmillError
from batch.records import Outcome
from batch.results.following import JournalFollower, JournalLine
from batch.results.listing import RunEntry, list_runs
from batch.results.status import Status, read_status
from batch.rundir.finding_runs import runs_folder
from batch.rundir.opening import open_existing
from batch.rundir.running import is_running

if TYPE_CHECKING:
    from batch.results.showing import ShownRow

__all__ = ["Followed", "RunEntry", "runs", "show", "status", "tail"]

POLL_S = 0.25
# On a store, each look is a request.
STORE_POLL_S = 2.0
# What was written last of each file that is searched for failures.
_SEARCHED = 20_000


@dataclass(frozen=True, slots=True)
class Followed:
    """An outcome as it came; `variant` is the name of its variant."""

    variant: str
    outcome: Outcome


def status(directory: Path | str) -> Status:
    """Read counts, rates and failures from the journals alone, and those of the runs whose answers are its rows.

    Raises RunDirectoryError.
    """
    found = open_existing(directory)
    return _with_upstream(replace(read_status(found), session=last_session(found.path)), frozenset())


def _with_upstream(found: Status, seen: frozenset[str]) -> Status:
    place = None if found.origin is None else str(found.origin.get("run", ""))
    if not place or place in seen:
        return found
    try:
        upstream = _with_upstream(read_status(open_existing(place)), seen | {place})
    except PromptmillError:
        # It was moved or deleted: this run has its rows all the same.
        return found
    return replace(found, upstream=upstream)


def runs(folder: Path | None = None) -> list[RunEntry]:
    """List the runs in a folder, by default `runs` here, or else the working directory."""
    return list_runs(folder or runs_folder())


def show(place: Path | str, name: str) -> ShownRow | None:
    """Show the row of a run with this id, or else this ordinal; None if there is none. Raises as `open_run`."""
    # To read a job takes libraries that the others here do without.
    from batch.app.stored import open_run
    from batch.results.showing import show_row

    return show_row(open_run(place), name)


def tail(place: Path | str, count: int, *, failed: bool, follow: bool) -> Iterator[Followed | None]:
    """Yield the last `count` outcomes, or failures, and with `follow` all that come until the run ends.

    Yields None before each wait. A run that nothing works on is followed until something has, and has ended.

    Raises RunDirectoryError, StorageError.
    """
    directory = open_existing(place)
    follower = JournalFollower(directory)
    # The manifest first: a folder without a run is an error.
    lines = follower.last(_SEARCHED if failed else count)
    found = [each for each in _outcomes(lines) if not failed or not each.outcome.ok]
    found.sort(key=lambda each: each.outcome.done or 0.0)
    yield from found[len(found) - min(count, len(found)) :]
    was_running = is_running(directory)
    while follow:
        # Asked before the last look: what was written until then is read by it.
        running = is_running(directory)
        for block in follower.blocks():
            yield from (each for each in _outcomes(block) if not failed or not each.outcome.ok)
        if was_running and not running:
            return
        was_running = was_running or running
        yield None
        time.sleep(POLL_S if directory.is_local else STORE_POLL_S)


def _outcomes(lines: list[JournalLine]) -> Iterator[Followed]:
    for line in lines:
        if (outcome := line.outcome()) is not None:
            yield Followed(line.variant, outcome)
