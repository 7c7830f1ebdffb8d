"""Progress: what people see while a run goes, on a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import struct
import termios
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from datetime import datetime
from fcntl import ioctl
from pathlib import Path
from typing import TextIO

import pytest

from batch.events import Notice, Progressed, RunEnded, RunStarted, WorkerProgress
from batch.progress import BarDisplay, LineDisplay, Meter, display_for, duration, near, progress_line, rate
from batch.tally import Tally, change, sum_tallies


class FakeClock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Terminal:
    """A pseudo-terminal of a given width: `stream` is what a program writes to, `read` gives what it wrote."""

    def __init__(self, columns: int) -> None:
        self._screen, line = pty.openpty()
        ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream: TextIO = os.fdopen(line, "w", encoding="utf-8", buffering=1)

    def read(self) -> str:
        written = b""
        self.stream.flush()
        while select.select([self._screen], [], [], 0)[0]:
            written += os.read(self._screen, 65536)
        return written.decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._screen)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with closing(Terminal(80)) as terminal:
        yield terminal


def drawn_lines(written: str) -> list[str]:
    """The texts between cursor movements."""
    return [line.strip() for line in re.split(r"[\r\n]|\x1b\[A", written) if line.strip()]


def test_a_progress_line_reads_as_documented(clock: FakeClock) -> None:
    """The plain line has counts, percent, failures, rates and the time left, with thousands separators."""
    tally = Tally(total=2000, ok=0)
    meter = Meter(clock)
    meter.read({"m": tally})
    clock.now += 2
    tally.ok, tally.failed, tally.prompt_tokens, tally.completion_tokens = 1197, 3, 10_000, 400
    assert progress_line(meter.read({"m": tally}), "rows") == ("1,200 of 2,000 rows (60 %), 3 failed, 600 rows/s, 5,200 tokens/s, 1 s left")


def test_the_line_of_a_shared_run_names_cost_workers_and_shards(clock: FakeClock) -> None:
    """A run over several workers has one line for all of them: also what was spent, who takes part, and the shards that are done."""
    tally = Tally(total=2000)
    meter = Meter(clock)
    meter.read({"m": tally})
    clock.now += 2
    tally.ok, tally.prompt_tokens, tally.cost_usd, tally.priced = 1200, 2400, 1.234, 1200
    meter.sharing = WorkerProgress(workers=3, shards_done=12, shards=80)
    line = progress_line(meter.read({"m": tally}), "rows")
    assert line == "1,200 of 2,000 rows (60 %), 600 rows/s, 1,200 tokens/s, $1.23, 3 workers, 12 of 80 shards, 1 s left"


def test_rates_forget_what_lies_before_the_window(clock: FakeClock) -> None:
    """A run that slows down shows its present rate, not the mean since its start."""
    tally = Tally(total=100_000)
    meter = Meter(clock, window_s=10)
    for second in range(60):
        clock.now += 1
        tally.ok += 1000 if second < 30 else 10
        reading = meter.read({"m": tally})
    assert reading.rows_per_s == pytest.approx(10)


def test_a_stalled_run_has_no_time_left(clock: FakeClock) -> None:
    """Nothing finished within the window means a rate of zero and no promise of an end."""
    tally = Tally(total=100, ok=50)
    meter = Meter(clock)
    meter.read({"m": tally})
    clock.now += 20
    reading = meter.read({"m": tally})
    assert (reading.rows_per_s, reading.left_s) == (0, None)


def test_kept_rows_are_progress_but_not_speed(clock: FakeClock) -> None:
    """Skipping the rows of an earlier session does not make the rate, and so the time left, absurd."""
    tally = Tally(total=10_000)
    meter = Meter(clock)
    meter.read({"m": tally})
    clock.now += 1
    tally.kept_ok, tally.ok = 8000, 20
    reading = meter.read({"m": tally})
    assert (reading.rows_per_s, reading.left_s) == (20, 99)
    assert progress_line(reading, "rows").startswith("8,020 of 10,000 rows (80 %)")


def test_the_sum_of_tallies_is_complete() -> None:
    """Every count of a tally is added up, failures by code and attempts too; an unknown total stays unknown."""
    counts = [name for name in Tally.__slots__ if name not in {"failures", "attempts", "total"}]
    one = Tally(**dict.fromkeys(counts, 2), total=20, failures={"tls": 1})
    two = Tally(**dict.fromkeys(counts, 3), total=30, failures={"tls": 1, "reset": 4})
    one.ended("a", "ok", 0.015, 0.25)
    for endpoint in ("a", "b"):
        two.ended(endpoint, "ok", 0.015)
    whole = sum_tallies({"one": one, "two": two})
    first = ("first_token", "a", 5), ("first_token_s", "a", "")
    assert {key: value for key, value in whole.attempts.items() if key[1] == "a" and key not in first} == {
        ("code", "a", "ok"): 2,
        ("took", "a", 1): 2,
        ("took_s", "a", ""): 0.03,
    }
    assert [whole.attempts[key] for key in first] == [1, 0.25]
    again = deepcopy(whole)
    change(again, whole, one)
    assert again.attempts["code", "a", "ok"] == 3
    assert all(getattr(whole, name) == 5 for name in counts)
    assert whole.total == 50
    assert whole.failures == {"tls": 2, "reset": 4}
    assert sum_tallies({"one": one, "two": Tally(total=None)}).total is None


def test_a_percentage_is_rounded_down(clock: FakeClock) -> None:
    """100 % is said only when all is done."""
    assert "(99 %)" in progress_line(Meter(clock).read({"m": Tally(total=100_000, ok=99_999)}), "rows")


def test_an_unknown_total_is_left_out(clock: FakeClock) -> None:
    """Without a total there is a count, but no percent and no time left."""
    assert progress_line(Meter(clock).read({"m": Tally(ok=1234)}), "rows") == "1,234 rows"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (0.4, "0.4 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (252, "4 min 12 s"),
        (3 * 3600 + 301, "3 h 05 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    """A duration has at most two units."""
    assert duration(seconds) == text


@pytest.mark.parametrize(("per_second", "text"), [(0, "0"), (0.123, "0.12"), (4.21, "4.2"), (41.8, "42"), (5200, "5,200")])
def test_rates_have_digits_that_are_of_use(per_second: float, text: str) -> None:
    """Slow models still show a rate other than zero."""
    assert rate(per_second) == text


def test_a_path_is_shown_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies below is shortened, what lies elsewhere is not."""
    monkeypatch.chdir(tmp_path)
    assert near(tmp_path / "runs" / "a") == "runs/a"
    assert near("/elsewhere/a") == "/elsewhere/a"


def test_plain_lines_come_at_the_start_every_interval_and_at_the_end(clock: FakeClock) -> None:
    """Off a terminal a log gets one line every 30 s, and notices at once (fault 58). Each has its time."""
    stream, tallies = io.StringIO(), {"m": Tally(total=1000)}
    display = LineDisplay(stream, clock)
    display.notify(RunStarted("tickets", "/elsewhere/tickets", tallies))
    for _ in range(130):
        clock.now += 0.5
        tallies["m"].ok += 1
        display.notify(Progressed(tallies))
    display.notify(Notice("paused 12 s: 429 from api.example.org"))
    display.notify(RunEnded(tallies, None))
    clock.now += 60
    display.notify(Progressed(tallies))
    lines = {
        0: ["tickets: results go to /elsewhere/tickets", "0 of 1,000 rows (0 %)"],
        30: ["60 of 1,000 rows (6 %), 2.0 rows/s, 0 tokens/s, 7 min 50 s left"],
        60: ["120 of 1,000 rows (12 %), 2.0 rows/s, 0 tokens/s, 7 min 20 s left"],
        65: ["paused 12 s: 429 from api.example.org", "130 of 1,000 rows (13 %), 2.0 rows/s, 0 tokens/s"],
    }
    # The clock began 1,000 s after the epoch, in this machine's zone.
    assert stream.getvalue().splitlines() == [
        f"{datetime.fromtimestamp(1000 + age).astimezone():%Y-%m-%d %H:%M:%S} promptmill: {line}"
        for age, said in lines.items()
        for line in said
    ]


def test_tasks_are_counted_when_there_are_several_variants(clock: FakeClock) -> None:
    """Two models over 10 rows are 20 tasks, and are not called rows."""
    stream = io.StringIO()
    LineDisplay(stream, clock).notify(RunStarted("tickets", "/r", {"a": Tally(total=10), "b": Tally(total=10)}))
    assert "0 of 20 tasks (0 %)" in stream.getvalue()


@pytest.mark.parametrize("kind", [LineDisplay, BarDisplay])
def test_a_display_whose_reader_is_gone_does_not_raise(kind: type, clock: FakeClock) -> None:
    """The run goes on when stderr is a closed pipe (fault 58)."""
    reader, writer = os.pipe()
    os.close(reader)
    tallies = {"m": Tally(total=10)}
    stream = os.fdopen(writer, "w", buffering=1)
    display = kind(stream, clock)
    for event in (Notice("hm"), RunStarted("t", "/r", tallies), Progressed(tallies), RunEnded(tallies, None)):
        display.notify(event)
    display.close()
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_terminal_gets_bars_and_anything_else_lines(terminal: Terminal, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, pipes and dumb terminals get plain lines (fault 58)."""
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(display_for(terminal.stream, clock), BarDisplay)
    assert isinstance(display_for(io.StringIO(), clock), LineDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display_for(terminal.stream, clock), LineDisplay)


def run_on(display: BarDisplay, clock: FakeClock, tallies: dict[str, Tally]) -> None:
    display.notify(RunStarted("tickets", "/r", tallies))
    clock.now += 10
    for tally in tallies.values():
        tally.ok, tally.failed, tally.retries, tally.prompt_tokens = 1990, 10, 12, 52_000
    display.notify(Progressed(tallies))


def test_each_variant_has_a_bar_and_all_have_one_line_of_figures(terminal: Terminal, clock: FakeClock) -> None:
    """A line per variant, none longer than the terminal is wide, and rates, failures and retries below."""
    display = BarDisplay(terminal.stream, clock)
    names = ["openai/gpt-5-mini", "anyscale/mistralai/Mistral-7B-Instruct-v0.1"]
    run_on(display, clock, {name: Tally(total=4000) for name in names})
    *_, first, second, figures = drawn_lines(terminal.read())
    assert first.startswith("openai/gpt-5-mini ")
    assert first.endswith("50%  2,000/4,000  10 failed")
    assert second.startswith("…/Mistral-7B-Instruct-v0.1 ")
    assert len(first) <= 80
    assert len(second) <= 80
    assert figures == "10 s left, 400 rows/s, 10,400 tokens/s, 20 failed, 24 retries"
    display.close()


def test_variants_that_end_alike_are_told_apart(terminal: Terminal, clock: FakeClock) -> None:
    """Of long names that differ before a common end, the end is left out; the others keep theirs."""
    display = BarDisplay(terminal.stream, clock)
    names = [f"openai/gpt-5-mini temperature={at} top_p=0.9 reasoning_effort=low" for at in (0, 1)]
    run_on(display, clock, {name: Tally(total=4000) for name in [*names, "anyscale/mistralai/Mistral-7B-Instruct-v0.1"]})
    *_, first, second, third, _ = drawn_lines(terminal.read())
    assert first.startswith("…gpt-5-mini temperature=0… ")
    assert second.startswith("…gpt-5-mini temperature=1… ")
    assert third.startswith("…/Mistral-7B-Instruct-v0.1 ")
    display.close()


def test_many_variants_share_one_bar(terminal: Terminal, clock: FakeClock) -> None:
    """Beyond six variants there is one bar for all."""
    display = BarDisplay(terminal.stream, clock)
    run_on(display, clock, {f"m{number}": Tally(total=4000) for number in range(7)})
    *_, bar, figures = drawn_lines(terminal.read())
    assert bar.startswith("7 models ")
    assert bar.endswith("50%  14,000/28,000")
    assert "2,800 rows/s" not in bar
    assert "1,400 rows/s" in figures
    display.close()


def test_closed_bars_stay_and_the_figures_go(terminal: Terminal, clock: FakeClock) -> None:
    """At the end the cursor stands below the bars, on the cleared line of figures, and later events draw nothing."""
    display = BarDisplay(terminal.stream, clock)
    tallies = {"m": Tally(total=2000)}
    run_on(display, clock, tallies)
    assert "200 rows/s" in terminal.read()
    display.close()
    last = terminal.read()
    assert last.endswith("\n")
    assert drawn_lines(last)[-1].endswith("100%  2,000/2,000")
    assert "rows/s" not in last
    display.notify(Progressed(tallies))
    display.close()
    assert terminal.read() == ""


def test_the_end_of_a_run_closes_the_bars(terminal: Terminal, clock: FakeClock) -> None:
    """When a run has ended its bars are drawn a last time, and what is written next stands below them."""
    display = BarDisplay(terminal.stream, clock)
    tallies = {"m": Tally(total=4000)}
    run_on(display, clock, tallies)
    terminal.read()
    tallies["m"].ok += 2000
    display.notify(RunEnded(tallies, None))
    last = terminal.read()
    assert last.endswith("\n")
    assert drawn_lines(last)[-1].endswith("100%  4,000/4,000")


def test_a_notice_stands_above_the_bars(terminal: Terminal, clock: FakeClock) -> None:
    """A pause is told in a line of its own, and the bars are drawn again below it."""
    display = BarDisplay(terminal.stream, clock)
    run_on(display, clock, {"m": Tally(total=4000)})
    terminal.read()
    display.notify(Notice("paused 12 s: 429 from api.example.org"))
    lines = drawn_lines(terminal.read())
    assert lines[0] == "promptmill: paused 12 s: 429 from api.example.org"
    assert any(line.endswith("2,000/4,000") for line in lines[1:])
    display.close()
