"""Displays of a run's progress: bars on a terminal, a plain line every 30 s elsewhere. Both observe a run's events."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from threading import RLock
from typing import Any, Protocol, TextIO

from tqdm import tqdm

from batch.clock import Clock, local_time
from batch.events import BatchProgress, Event, Notice, Observer, Progressed, RunEnded, RunStarted, WorkerProgress
from batch.policy.dollars import usd
from batch.policy.terminal import one_line, without_url_secrets
from batch.tally import Tally, sum_tallies

WINDOW_S = 10.0
LINE_INTERVAL_S = 30.0
MAX_BARS = 6


class Display(Observer, Protocol):
    """An observer that draws until it is closed."""

    def close(self) -> None:
        """Stop drawing; later events have no effect."""


def display_for(stream: TextIO, clock: Clock) -> Display:
    """Choose bars when `stream` is a terminal that can move its cursor, else plain lines."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return BarDisplay(stream, clock)
    return LineDisplay(stream, clock)


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of a run: counts, rates per second over the window, and the seconds left at these rates; None is unknown."""

    counts: Tally
    rows_per_s: float | None
    tokens_per_s: float | None
    left_s: float | None
    sharing: WorkerProgress | BatchProgress | None = None

    @property
    def failed(self) -> int:
        """Rows whose final record is an error, of this session and of earlier ones."""
        return self.counts.failed + self.counts.kept_failed


class Meter:
    """Measures rates over a sliding window. Rows of earlier sessions count as finished, but not in the rates."""

    def __init__(self, clock: Clock, window_s: float = WINDOW_S) -> None:
        self._clock = clock
        self._window_s = window_s
        self._samples: deque[tuple[float, int, int]] = deque()
        self.sharing: WorkerProgress | BatchProgress | None = None

    def read(self, tallies: Mapping[str, Tally]) -> Reading:
        """Read the counts; each call is also a sample for later rates."""
        counts = sum_tallies(tallies)
        now = self._clock.monotonic()
        self._samples.append((now, counts.ok + counts.failed, counts.prompt_tokens + counts.completion_tokens))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self._window_s:
            self._samples.popleft()
        (began, rows, tokens), (_, rows_now, tokens_now) = self._samples[0], self._samples[-1]
        if now <= began:
            return Reading(counts, None, None, None, self.sharing)
        rows_per_s = (rows_now - rows) / (now - began)
        missing = None if counts.not_attempted is None else counts.not_attempted + max(0, counts.again)
        left_s = missing / rows_per_s if missing and rows_per_s > 0 else None
        return Reading(counts, rows_per_s, (tokens_now - tokens) / (now - began), left_s, self.sharing)


class LineDisplay:
    """Writes a line at the start, every 30 s and at the end; notices are written at once. Each begins with its local date and time."""

    def __init__(self, stream: TextIO, clock: Clock, interval_s: float = LINE_INTERVAL_S) -> None:
        self._stream = stream
        self._clock = clock
        self._interval_s = interval_s
        self._meter = Meter(clock)
        self._due = math.inf

    def notify(self, event: Event) -> None:
        """Write a line for `event` when it is time for one."""
        match event:
            case RunStarted():
                self._write(f"{event.name}: results go to {near(event.directory)}")
                self._write_progress(event.tallies)
            case Progressed():
                self._meter.sharing = event.sharing
                if self._clock.monotonic() >= self._due:
                    self._write_progress(event.tallies)
                else:
                    self._meter.read(event.tallies)
            case Notice():
                self._write(event.text)
            case RunEnded():
                self._write_progress(event.tallies, ended=True)
                self.close()

    def close(self) -> None:
        """Write no further lines of progress."""
        self._due = math.inf

    def _write_progress(self, tallies: Mapping[str, Tally], *, ended: bool = False) -> None:
        self._due = self._clock.monotonic() + self._interval_s
        reading = self._meter.read(tallies)
        self._write(progress_line(replace(reading, left_s=None) if ended else reading, noun_for(tallies)))

    def _write(self, text: str) -> None:
        # A run continues without a reader: stderr may be a closed pipe.
        with suppress(OSError, ValueError):
            self._stream.write(f"{local_time(self._clock)} promptmill: {one_line(without_url_secrets(text))}\n")
            self._stream.flush()


class BarDisplay:
    """A bar for each variant (one for all when there are more than six), and a line of figures under them."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._meter = Meter(clock)
        self._bars: list[_Bar] = []
        self._figures: _Bar | None = None

    def notify(self, event: Event) -> None:
        """Draw what `event` changes."""
        # A terminal that went away must not end the run.
        with suppress(OSError, ValueError):
            match event:
                case RunStarted():
                    self._open(event)
                    self._draw(event.tallies)
                case Progressed():
                    self._meter.sharing = event.sharing
                    self._draw(event.tallies)
                case Notice():
                    _Bar.write(f"promptmill: {one_line(without_url_secrets(event.text))}", file=self._stream)
                case RunEnded():
                    self._draw(event.tallies)
                    self.close()

    def close(self) -> None:
        """Leave the bars where they are and free the line of figures."""
        with suppress(OSError, ValueError):
            if self._figures is not None:
                self._figures.close()
            for bar in self._bars:
                bar.close()
        self._figures, self._bars = None, []

    def _open(self, event: RunStarted) -> None:
        _Bar.write(f"promptmill: {one_line(event.name)}: results go to {near(event.directory)}", file=self._stream)
        count = len(event.tallies) if len(event.tallies) <= MAX_BARS else 1
        self._bars = [_Bar(self._stream, position, leave=True, bar_format="{label} {bar} {counts}") for position in range(count)]
        self._figures = _Bar(self._stream, count, leave=False, bar_format="{label}")

    def _draw(self, tallies: Mapping[str, Tally]) -> None:
        if self._figures is None:
            return
        reading = self._meter.read(tallies)
        shown = tallies if len(tallies) == len(self._bars) else {f"{len(tallies)} models": reading.counts}
        room = max(8, _columns(self._stream) // 3)
        labels = _labels(list(shown), room)
        counts = _columns_of_counts(list(shown.values()))
        for bar, tally, label, count in zip(self._bars, shown.values(), labels, counts, strict=True):
            bar.show(label.ljust(max(map(len, labels))), count, tally.done, tally.total)
        self._figures.show(", ".join(figures(reading, left_first=True)), "", 0, None)


class _Bar(tqdm):  # type: ignore[misc]
    """A tqdm bar with our own texts at both sides, redrawn on request only."""

    monitor_interval = 0

    def __init__(self, stream: TextIO, position: int, *, leave: bool, bar_format: str) -> None:
        self.label, self.counts = "", ""
        super().__init__(file=stream, position=position, leave=leave, bar_format=bar_format, dynamic_ncols=True)

    @property
    def format_dict(self) -> dict[str, Any]:
        return {**super().format_dict, "label": self.label, "counts": self.counts}

    def show(self, label: str, counts: str, done: int, total: int | None) -> None:
        self.label, self.counts, self.n, self.total = one_line(label), counts, done, total
        self.refresh()


# tqdm's own lock is shared between processes, which takes a semaphore of the machine; one process draws here.
_Bar.set_lock(RLock())


def noun_for(tallies: Mapping[str, Tally]) -> str:
    """Return the noun for counts: "rows", or "tasks" with several variants."""
    return "rows" if len(tallies) == 1 else "tasks"


def progress_line(reading: Reading, noun: str) -> str:
    """Format a reading as one line: "1,200 of 2,000 rows (60 %), 3 failed, 410 rows/s, 5,200 tokens/s, 2 s left"."""
    counts = reading.counts
    of_all = "" if counts.total is None else f" of {counts.total:,}"
    head = f"{counts.done:,}{of_all} {noun}" + ("" if counts.total is None else f" ({_percent(counts)} %)")
    return ", ".join([head, *figures(reading)])


def figures(reading: Reading, *, left_first: bool = False) -> list[str]:
    """Format the failures, rates, retries and time left of a reading, where there are any.

    `left_first` puts them into the order in which they may be cut off at the right.
    """
    failed = [f"{reading.failed:,} failed"] if reading.failed else []
    retries = [f"{reading.counts.retries:,} {'retry' if reading.counts.retries == 1 else 'retries'}"] if reading.counts.retries else []
    left = [f"{duration(reading.left_s)} left"] if reading.left_s is not None else []
    rates = []
    if reading.rows_per_s is not None and reading.tokens_per_s is not None:
        rates = [f"{rate(reading.rows_per_s)} rows/s", f"{rate(reading.tokens_per_s)} tokens/s"]
    cost = [usd(reading.counts.cost_usd)] if reading.counts.priced else []
    shared = [str(reading.sharing)] if reading.sharing else []
    return [*left, *rates, *cost, *shared, *failed, *retries] if left_first else [*failed, *retries, *rates, *cost, *shared, *left]


def rate(per_second: float) -> str:
    """Format a rate with useful digits: 0.42, 4.2, 42, 4,200."""
    if per_second >= 10 or per_second == 0:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.2f}"


def duration(seconds: float) -> str:
    """Format seconds: 0.4 s, 12 s, 4 min 12 s, 3 h 05 min, 2 d 4 h."""
    # From here on the tenth would round up to 1.0.
    if seconds < 0.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def near(path: Path | str) -> str:
    """Shorten a path: relative to the working directory when it lies below it."""
    with suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return str(path)


def _percent(tally: Tally) -> int:
    """Compute whole percent, rounded down: 100 only when all is done."""
    return 100 if not tally.total else min(100, tally.done * 100 // tally.total)


def _columns_of_counts(tallies: list[Tally]) -> list[str]:
    """Format the counts right of each bar, in columns of equal width so that the bars align."""
    done = [f"{tally.done:,}" if tally.total is None else f"{tally.done:,}/{tally.total:,}" for tally in tallies]
    percent = ["" if tally.total is None else f"{_percent(tally)}%" for tally in tallies]
    # A single bar has its failures in the line of figures.
    several = len(tallies) > 1
    failed = [f"{tally.failed + tally.kept_failed:,} failed" if several and tally.failed + tally.kept_failed else "" for tally in tallies]
    columns = [[cell.rjust(max(map(len, column))) for cell in column] for column in (percent, done, failed)]
    return ["  ".join(cell for cell in row if cell) for row in zip(*columns, strict=True)]


def _labels(names: list[str], room: int) -> list[str]:
    """Fit names into `room` characters, each distinct: a common end is cut off."""
    labels = [_tail(name, room) for name in names]
    for label in {one for one in labels if labels.count(one) > 1}:
        alike = [at for at, one in enumerate(labels) if one == label]
        ends = zip(*(reversed(names[at]) for at in alike), strict=False)
        end = len(list(takewhile(lambda signs: len(set(signs)) == 1, ends)))
        for at in alike:
            labels[at] = f"{_tail(names[at][: len(names[at]) - end], room - 1)}…"
    return labels


def _tail(name: str, room: int) -> str:
    """Cut a long name to its end, where the variants of one provider differ."""
    return name if len(name) <= room else f"…{name[1 - room :]}"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 80
