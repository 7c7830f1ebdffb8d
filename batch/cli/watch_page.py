"""The watch page, on Textual: a run's state redrawn each second, and keys that look or steer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Input, Static

from batch.cli.lines import fitted
from batch.cli.watch_text import flight_lines, head_lines, row_line
from batch.errors import PromptmillError

INTERVAL_S = 1.0
MOST_ROWS = 200

Look = Callable[[int], dict[str, Any]]
"""Reads what is new after a number, and describes the run (ViewedRun.look)."""
Steer = Callable[[str, Sequence[str]], str]
"""Gives the run a command, and returns its answer in a sentence."""


class WatchPage(App[None]):
    """Watches one run. Nothing of it ends or changes the run, but for the keys that steer."""

    CSS = """
    Screen { layers: base; overflow: hidden; }
    #head { padding: 0 1; height: auto; }
    #title { padding: 1 1 0 1; text-style: bold; }
    #rows { padding: 0 1; height: 1fr; }
    #said { padding: 0 1; height: auto; color: $warning; }
    #limit { display: none; }
    #limit.asked { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("a", "show('rows')", "rows"),
        Binding("f", "show('failures')", "failures"),
        Binding("i", "show('flight')", "in flight"),
        Binding("p", "pause", "pause"),
        Binding("l", "limit", "limit"),
        Binding("s", "stop", "stop"),
        Binding("escape", "cancel", show=False),
    ]
    ENABLE_COMMAND_PALETTE = False
    TITLES: ClassVar[dict[str, str]] = {"rows": "newest rows", "failures": "newest failures", "flight": "in flight, oldest first"}

    def __init__(self, look: Look, steer: Steer) -> None:
        super().__init__()
        self._look, self._steer = look, steer
        self._found: dict[str, Any] | None = None
        self._after = 0
        self._kept: dict[str, deque[dict[str, Any]]] = {"rows": deque(maxlen=MOST_ROWS), "failures": deque(maxlen=MOST_ROWS)}
        self._shown = "rows"
        self._stopping = False

    def compose(self) -> ComposeResult:
        """Lay out the page."""
        yield Static(id="head", markup=False)
        yield Static(id="title", markup=False)
        with VerticalScroll(id="rows"):
            yield Static(id="lines", markup=False)
        yield Static(id="said", markup=False)
        yield Input(placeholder="concurrency=32 requests_per_minute=600 max_cost_usd=50", id="limit", select_on_focus=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#rows").focus()
        self.read_run()
        self.set_interval(INTERVAL_S, self.read_run)

    def on_resize(self) -> None:
        """Fit the lines to the new width."""
        self.draw()

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def read_run(self) -> None:
        """Read what is new, off the page's thread."""
        try:
            found = self._look(self._after)
        except PromptmillError as error:
            self.call_from_thread(self.say, str(error))
            return
        self.call_from_thread(self.take, found)

    def take(self, found: dict[str, Any]) -> None:
        """Take what was read."""
        self._found = found
        for name, kept in self._kept.items():
            kept.extendleft(row for row in found[name] if row["number"] > self._after)
        numbers = [row["number"] for name in self._kept for row in found[name]]
        self._after = max([self._after, *numbers])
        self.draw()

    def draw(self) -> None:
        """Draw what is known, at the present width."""
        if self._found is None:
            return
        width = max(20, self.size.width - 3)
        self.query_one("#head", Static).update("\n".join(head_lines(self._found, width)))
        self.query_one("#title", Static).update(self.TITLES[self._shown])
        # A scroll bar may stand beside these.
        width -= 2
        if self._shown == "flight":
            lines = flight_lines(self._found["live"], width)
        else:
            several = len(self._found["variants"]) > 1
            lines = [row_line(row, width, with_model=several) for row in self._kept[self._shown]] or ["none yet"]
        self.query_one("#lines", Static).update("\n".join(lines))

    def say(self, text: str) -> None:
        """Show a sentence below the rows."""
        self.query_one("#said", Static).update(fitted(text, max(20, self.size.width - 3)))

    def action_show(self, what: str) -> None:
        """Show the rows, the failures, or what is in flight."""
        self._stopping = False
        self._shown = what
        self.draw()

    def action_pause(self) -> None:
        """Pause the run, or resume it."""
        self._stopping = False
        live = None if self._found is None else self._found["live"]
        self.command("resume" if live is not None and live["paused"] else "pause")

    def action_stop(self) -> None:
        """Stop the run, after the key was pressed twice."""
        if self._stopping:
            self.command("stop")
        else:
            self.say("s once more stops the run: what is in flight ends first; Esc does not")
        self._stopping = not self._stopping

    def action_limit(self) -> None:
        """Ask for limits."""
        self._stopping = False
        asked = self.query_one("#limit", Input)
        asked.add_class("asked")
        asked.focus()

    def action_cancel(self) -> None:
        """Ask for nothing any more."""
        self._stopping = False
        self.query_one("#limit", Input).remove_class("asked")
        self.query_one("#rows").focus()
        self.say("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Set the limits that were given."""
        self.action_cancel()
        if words := event.value.split():
            self.command("set", *words)
        event.input.clear()

    @work(thread=True, group="steer", exit_on_error=False)
    def command(self, name: str, *words: str) -> None:
        """Give the run a command, off the page's thread, and show its answer."""
        try:
            answer = self._steer(name, words)
        except PromptmillError as error:
            answer = str(error)
        self.call_from_thread(self.say, answer)
