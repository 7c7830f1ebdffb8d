"""The progress of a run in a notebook: tqdm's widgets, where tqdm.auto would choose them too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TextIO

from batch.clock import Clock
from batch.events import Event, Notice, Progressed, RunEnded, RunStarted
from batch.policy.terminal import one_line, without_url_secrets
from batch.progress import MAX_BARS, Display, Meter, figures, near


class Bar(Protocol):
    """What is used of tqdm's widget."""

    n: int
    total: int | None

    def set_postfix_str(self, s: str, refresh: bool = ...) -> None:
        """Set the text at its right."""

    def refresh(self) -> None:
        """Draw it."""

    def close(self) -> None:
        """Leave it as it is."""


MakeBar = Callable[[str, int | None], Bar]


def notebook_display(stream: TextIO, clock: Clock) -> Display | None:
    """Return a display of widgets in a notebook that has ipywidgets; None elsewhere. `stream` gets the notices."""
    # A program without IPython is no notebook, and must not load it.
    if (shell := sys.modules.get("IPython")) is None:
        return None
    try:
        if "IPKernelApp" not in shell.get_ipython().config:
            return None
        from tqdm.notebook import IProgress, tqdm_notebook
    # Outside of a shell get_ipython() is None; old releases differ in what they have.
    except (AttributeError, ImportError, TypeError):
        return None
    if IProgress is None:
        return None

    def make(label: str, total: int | None) -> Bar:
        bar: Any = tqdm_notebook(desc=label, total=total, unit="row", dynamic_ncols=True)
        return bar  # type: ignore[no-any-return]

    return NotebookDisplay(stream, clock, make)


class NotebookDisplay:
    """A widget for each variant, one for all when there are more than six; rates, failures and cost are at its right."""

    def __init__(self, stream: TextIO, clock: Clock, make: MakeBar) -> None:
        self._stream, self._meter, self._make = stream, Meter(clock), make
        self._bars: list[Bar] = []

    def notify(self, event: Event) -> None:
        """Draw what `event` changes."""
        match event:
            case RunStarted():
                self._write(f"{event.name}: results go to {near(event.directory)}")
                self._open(event)
                self._draw(event)
            case Progressed():
                self._meter.sharing = event.sharing
                self._draw(event)
            case Notice():
                self._write(event.text)
            case RunEnded():
                self._draw(event)
                self.close()

    def close(self) -> None:
        """Leave the widgets where they are."""
        for bar in self._bars:
            with suppress(OSError, ValueError):
                bar.close()
        self._bars = []

    def _open(self, event: RunStarted) -> None:
        names = [*event.tallies] if len(event.tallies) <= MAX_BARS else [f"{len(event.tallies)} models"]
        self._bars = [self._make(one_line(name), None) for name in names]

    def _draw(self, event: RunStarted | Progressed | RunEnded) -> None:
        reading = self._meter.read(event.tallies)
        shown = [*event.tallies.values()] if len(event.tallies) == len(self._bars) else [reading.counts]
        for at, (bar, tally) in enumerate(zip(self._bars, shown, strict=False)):
            bar.n, bar.total = tally.done, tally.total
            # The figures are of the whole run: once, at the first bar.
            bar.set_postfix_str(", ".join(figures(reading)) if at == 0 else "", refresh=False)
            with suppress(OSError, ValueError):
                bar.refresh()

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(f"promptmill: {one_line(without_url_secrets(text))}\n")
            self._stream.flush()
