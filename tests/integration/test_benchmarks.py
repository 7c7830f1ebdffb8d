"""The smallest benchmark, for real: nginx is started, promptmill and the floor under it run against it, and the log is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.contenders import FLOOR, OURS
from tests.benchmarks.endpoint import FAST, MODULE, SECURE, STREAMED, Site, serving
from tests.benchmarks.goals import findings
from tests.benchmarks.parts import FRESH_ROWS, Scale, finished, killed
from tests.benchmarks.samples import Samples
from tests.benchmarks.session import Session
from tests.support.foreign import NOT_INSTALLED, needs_program

needs_echo = pytest.mark.skipif(not MODULE.exists(), reason=NOT_INSTALLED + "nginx's echo module")
pytestmark = [needs_program("nginx"), needs_echo]


@pytest.mark.parametrize("site", [FAST, STREAMED, SECURE], ids=lambda site: site.name)
def test_each_row_is_served_once_and_kept(site: Site, tmp_path: Path) -> None:
    """The endpoint's log has one answer for each row of each contender, and promptmill kept all of its own."""
    store = tmp_path / "samples.jsonl"
    with serving() as endpoint:
        session = Session(endpoint, tmp_path, store)
        session.compare("fast", site, [OURS, FLOOR], rows=30, connections=4, rounds=1, limit_s=60)
    ours, floor = Samples.load(store).newest("fast")
    assert (ours.failure, floor.failure) == ("", "")
    assert (ours.answered, ours.kept, floor.answered) == (30, 30, 30)
    assert ours.wall_s >= ours.sending_s
    assert ours.cpu_s > 0
    assert ours.peak_mb > 10


def test_made_run_is_one_that_promptmill_goes_on_with(tmp_path: Path) -> None:
    """The journal that stands for finished rows is taken as such: only the fresh rows are sent, again after each rewind."""
    store = tmp_path / "samples.jsonl"
    with serving() as endpoint:
        finished(Session(endpoint, tmp_path, store), Scale(rounds=1, finished_rows=50), [])
    samples = Samples.load(store)
    (going_on,) = samples.newest("going-on")
    assert (going_on.failure, going_on.answered) == ("", FRESH_ROWS)
    assert [one.failure for part in ("jsonl", "parquet") for one in samples.newest(part)] == ["", ""]


def test_a_run_that_is_killed_twice_is_counted(tmp_path: Path) -> None:
    """Promise 1: two kills of a run by two processes, and no row is lost or doubled; the goal says so only at its own number of rows."""
    store = tmp_path / "samples.jsonl"
    with serving() as endpoint:
        killed(Session(endpoint, tmp_path, store), Scale(killed_rows=3000), [])
    samples = Samples.load(store)
    (run,) = samples.newest("killed")
    assert run.failure == ""
    assert (run.extra["lost"], run.extra["doubled"], run.extra["kills"] <= 2) == (0, 0, True)
    assert run.answered == 3000 + run.extra["sent_again"]
    (goal,) = [found for found in findings(samples) if found.name == "P13"]
    assert goal.reached is None
