"""Races beside what else a run may have: equal requests that are sent once, pools of endpoints, a kill in the middle."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.integration.test_race import CONCURRENCY, HELD_FROM, ROWS, half, racing, sent
from tests.support.jobs import JobFolder, called
from tests.support.scripts import wait_for


def job_asking(path: Path, url: str, numbers: Sequence[int], **settings: Any) -> JobFolder:
    """A job whose rows ask these numbers of two models at temperature 0, and race them."""
    rows = [{"id": f"r{at}", "text": f"question {number}", "right": f"answer {number}"} for at, number in enumerate(numbers)]
    folder = JobFolder(path, url, rows=rows, model="house/good", **{"concurrency": CONCURRENCY, "race": True, **settings})
    second = '\n[[model]]\nid = "house/bad"\ntemperature = 0\n[[score]]\nkind = "exact"\nexpected = "right"\n'
    folder.job.write_text(folder.job.read_text() + second)
    return folder


def counts_of(folder: JobFolder) -> dict[str, tuple[int, int, int]]:
    """Rows that are ok, failed and not attempted, by model."""
    told = json.loads(called(folder, "status", "runs/test", "--json").stdout)["variants"]
    return {each["name"].removeprefix("house/"): (each["ok"], each["failed"], each["not_attempted"]) for each in told}


def test_equal_requests_do_not_hold_a_race_up(tmp_path: Path) -> None:
    """Rows that wait for the answer to an equal request count as soon as that is there: the bad model is stopped as if all were sent."""
    decided: list[bool] = []
    with racing(tmp_path, half, decided) as endpoint:
        folder = job_asking(tmp_path, endpoint.url, [at // 2 for at in range(2 * ROWS)])
        done = called(folder, "run", "test.toml")
        assert done.exit_code == 0, done.stderr
        assert "house/bad was stopped early: house/good beats it" in done.stderr
        asked = sent(endpoint, "bad")
        assert asked <= HELD_FROM + CONCURRENCY
        assert sent(endpoint, "good") == ROWS
        counts = counts_of(folder)
        assert counts["good"] == (2 * ROWS, 0, 0)
        assert counts["bad"] == (asked, 0, 2 * ROWS - asked)
        assert called(folder, "resume", "runs/test").exit_code == 0
        assert (sent(endpoint, "bad"), counts_of(folder)) == (asked, counts)
        decided.append(True)  # the endpoint may not have had to wait for it
        again = called(folder, "resume", "runs/test", "--set", "run.race=false")
        assert again.exit_code == 0, again.stderr
        assert sent(endpoint, "bad") == ROWS
        assert counts_of(folder)["bad"] == (2 * ROWS, 0, 0)


def test_equal_rows_with_other_right_answers(tmp_path: Path) -> None:
    """Each row has a right value of its own, which its copy of the answer is held against: two models alike are both kept."""
    with racing(tmp_path, lambda model, _: model == "good") as endpoint:
        # Every question stands twice: first "no idea" is right, which bad always says, then the answer, which good always says.
        folder = job_asking(tmp_path, endpoint.url, [])
        rows = [
            {"id": f"r{at}", "text": f"question {at // 2}", "right": f"answer {at // 2}" if at % 2 else "no idea"} for at in range(2 * 120)
        ]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = called(folder, "run", "test.toml")
    assert done.exit_code == 0, done.stderr
    assert "race" not in done.stderr
    assert counts_of(folder) == {"good": (240, 0, 0), "bad": (240, 0, 0)}
    assert [sent(endpoint, model) for model in ("good", "bad")] == [120, 120]


def test_a_race_in_a_pool(tmp_path: Path) -> None:
    """Two endpoints of one provider: a stopped model gets nothing more at either of them, and both have served."""
    with racing(tmp_path, half) as first, racing(tmp_path, half) as second:
        folder = job_asking(tmp_path, first.url, range(ROWS))
        folder.job.write_text(folder.job.read_text().replace(f'base_url = "{first.url}"', f'base_url = ["{first.url}", "{second.url}"]'))
        done = called(folder, "run", "test.toml")
        assert done.exit_code == 0, done.stderr
        assert "house/bad was stopped early: house/good beats it" in done.stderr
        asked = sent(first, "bad") + sent(second, "bad")
        assert asked <= HELD_FROM + 2 * CONCURRENCY
        assert sent(first, "good") + sent(second, "good") == ROWS
        assert all(sent(endpoint, "good") for endpoint in (first, second))
        assert counts_of(folder) == {"good": (ROWS, 0, 0), "bad": (asked, 0, ROWS - asked)}
        assert called(folder, "resume", "runs/test").exit_code == 0
        assert sent(first, "bad") + sent(second, "bad") == asked


def test_a_race_that_is_killed_goes_on(tmp_path: Path) -> None:
    """Promises 1 and 4: killed after the bad model was stopped, the same command leaves it stopped and finishes the other one."""
    with racing(tmp_path, half) as endpoint:
        folder = job_asking(tmp_path, endpoint.url, [at // 2 for at in range(2 * ROWS)], requests_per_minute=6000)
        process = folder.start(measured=False)
        manifest = folder.directory / "run.json"
        wait_for(lambda: manifest.exists() and '"beaten_by"' in manifest.read_text(), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = sent(endpoint, "bad")
        done = called(folder, "run", "test.toml", "--set", "run.requests_per_minute=600000")
        assert done.exit_code == 0, done.stderr
        assert "house/bad was stopped early: house/good beats it" in done.stderr
        assert sent(endpoint, "bad") == before
    counts = counts_of(folder)
    assert counts["good"] == (2 * ROWS, 0, 0)
    assert counts["bad"][2] > 0
    assert sent(endpoint, "good") <= ROWS + CONCURRENCY
