"""The watch page: its lines at any width, and its keys."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from batch.cli.watch_text import bar, flight_lines, head_lines, row_line, sparkline
from batch.errors import RunDirectoryError
from tests.support.foreign import needs_module
from tests.support.jobs import JobFolder


def row(number: int, *, ok: bool = True, text: str = "an answer") -> dict[str, Any]:
    """An outcome as ViewedRun.look describes it."""
    facts = {"number": number, "variant": "house/m", "row": number, "id": f"r{number}", "repeat": 0, "done": 1.7e9, "latency_s": 0.5}
    return {**facts, "first_token_s": None, "ok": ok, "attempts": 1, "tokens": 3, "cost_usd": None, "text": text}


def found(**more: Any) -> dict[str, Any]:
    """A run as ViewedRun.look describes it."""
    oldest = [{"variant": "house/m", "row": 7, "id": "r7", "repeat": 0, "attempt": 2, "endpoint": "house", "since": 1.7e9}]
    timeline = {
        "width_s": 1.0,
        "start": [1.7e9, 1.7e9 + 1, 1.7e9 + 2, 1.7e9 + 3],
        "ok": [10, 20, 30, 2],
        "failed": [0, 1, 0, 0],
        "completion_tokens": [30, 60, 90, 6],
        "cost_usd": [0.01, 0.02, 0.03, 0.0],
        "in_flight": [1, 2, 3, 1],
        "latency_s": {"p50": [0.1, 0.2, 0.3, None]},
    }
    document = {
        "name": "tickets",
        "running": True,
        "whole": True,
        "read": 63,
        "variants": [{"name": "house/a-model-with-a-long-name", "total": 100, "ok": 62, "failed": 1}],
        "live": {"in_flight": 4, "limit": 16, "waiting": 2, "oldest": oldest, "paused": False},
        "account": {"concurrency": 3.0, "rate": 1.0},
        "timeline": timeline,
        "rows": [row(1), row(2, ok=False, text="bad_request (400): no")],
        "failures": [row(2, ok=False, text="bad_request (400): no")],
    }
    return {**document, **more}


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Whatever the width, each line fits."""
    lines = [*head_lines(found(), width), *flight_lines(found()["live"], width), row_line(row(1, text="x" * 500), width)]
    assert max(map(len, lines)) <= width


def test_the_head_says_how_far_how_fast_and_what_limits() -> None:
    """Progress, failures, rates, latency, money, what is in flight and where the time goes."""
    text = "\n".join(head_lines(found(), 100))
    for part in (
        "tickets · running",
        "63/100",
        "1 failed",
        "20 rows/s",
        "60 tokens/s out",
        "p50 0.30 s",
        "$0.06",
        "in flight 4 of at most 16",
    ):
        assert part in text
    assert "time limited by concurrency 75 %, rate limits 25 %" in text


def test_control_characters_are_visible() -> None:
    """Nothing that an endpoint says, or an id holds, steers the terminal."""
    hostile = {**row(1, text="\x1b[31mred\x07"), "id": "\x1b]0;x\x07"}
    assert "\x1b" not in row_line(hostile, 200)
    assert "\\x1b[31mred" in row_line(hostile, 200)
    # Rows of several models are told apart.
    assert "house/m" not in row_line({**row(1), "variant": "house/m"}, 200)
    assert "house/m" in row_line({**row(1), "variant": "house/m"}, 200, with_model=True)


def test_a_long_model_name_leaves_room_for_the_answer() -> None:
    """On 80 columns a name of 50 signs is cut to its end, and the answer is seen."""
    long = {**row(1), "variant": "house/a-name-of-a-model-that-is-longer-than-all-others-v2"}
    assert row_line(long, 80, with_model=True).endswith("others-v2 0.5 s: an answer")
    flight = {**found()["live"], "oldest": [{**found()["live"]["oldest"][0], "variant": long["variant"]}]}
    assert "others-v2, attempt 2, house" in flight_lines(flight, 80)[0]


def test_bars_and_sparklines() -> None:
    """A bar is as long as its share; a sparkline has one column a value until there are too many."""
    assert bar(0.5, 10) == "█████·····"
    assert bar(1.7, 4) == "████"
    assert sparkline([1, 2, 4], 10) == "▂▄█"
    assert len(sparkline(list(range(1000)), 40)) <= 40
    assert sparkline([], 10) == sparkline([0], 0) == ""


class Given:
    """Records the commands that a page gives."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, tuple[str, ...]]] = []

    def __call__(self, command: str, words: Sequence[str]) -> str:
        self.commands.append((command, tuple(words)))
        if command == "stop":
            raise RunDirectoryError("the run has ended")
        return f"{command} was carried out"


@needs_module("textual")
async def test_keys_look_and_steer() -> None:
    """f, a and i choose what is shown; p pauses and resumes, l sets limits, s stops when it is pressed twice; answers are shown."""
    from textual.widgets import Input, Static
    from textual.worker import WorkerCancelled

    from batch.cli.watch_page import WatchPage

    given = Given()
    paused = {**found()["live"], "paused": True}
    page = WatchPage(lambda after: found() if not given.commands else found(rows=[], failures=[], live=paused), given)
    async with page.run_test(size=(80, 24)) as pilot:

        def text(name: str) -> str:
            return str(page.query_one(f"#{name}", Static).content)

        async def settle() -> None:
            # On a busy machine a look is given up for the next one.
            while True:
                with suppress(WorkerCancelled):
                    await page.workers.wait_for_complete()
                    break
            await pilot.pause()

        await settle()
        assert "tickets · running" in text("head")
        assert "row 1 r1" in text("lines")
        await pilot.press("f")
        assert text("lines").count("row") == 1
        await pilot.press("i")
        assert "attempt 2" in text("lines")
        await pilot.press("p")
        await settle()
        assert text("said") == "pause was carried out"
        page.read_run()
        await settle()
        assert "tickets · paused" in text("head")
        await pilot.press("p", "l")
        page.query_one("#limit", Input).value = "concurrency=8 requests_per_minute=60"
        await pilot.press("enter")
        await settle()
        # Another key between the two: the second s asks again.
        await pilot.press("s", "f", "s")
        assert "s once more stops the run" in text("said")
        await pilot.press("s")
        await settle()
        assert text("said") == "the run has ended"
        await pilot.press("q")
    assert given.commands == [("pause", ()), ("resume", ()), ("set", ("concurrency=8", "requests_per_minute=60")), ("stop", ())]


@needs_module("textual")
async def test_a_run_that_cannot_be_read_is_said() -> None:
    """The page stays, with the reason."""
    from textual.widgets import Static

    from batch.cli.watch_page import WatchPage

    def refuse(after: int) -> dict[str, Any]:
        raise RunDirectoryError("the folder is gone")

    page = WatchPage(refuse, Given())
    async with page.run_test(size=(200, 50)) as pilot:
        # A look that takes longer than the interval is given up for the next one: wait for what is said, not for a look.
        while "the folder is gone" not in str(page.query_one("#said", Static).content):
            await pilot.pause(0.01)


def test_without_a_terminal_it_names_the_commands_that_write_lines(tmp_path: Path) -> None:
    """In a pipe or a script, the page is refused with the way on."""
    said = JobFolder(tmp_path, "http://127.0.0.1:1/v1").call("watch", "runs/test")
    assert said.returncode == 2
    assert "promptmill tail and status write lines" in said.stderr
