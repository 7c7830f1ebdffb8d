"""The progress of a run in a notebook: when it is widgets, and what they show."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from batch.app.notebook_progress import NotebookDisplay, notebook_display
from batch.events import Notice, Progressed, RunEnded, RunStarted
from batch.tally import Tally
from tests.unit.test_progress import FakeClock


class Widget:
    """Notes what it is given to show."""

    def __init__(self, label: str, total: int | None) -> None:
        self.label, self.total, self.n, self.text, self.closed = label, total, 0, "", False
        self.drawn: list[tuple[int, int | None]] = []

    def set_postfix_str(self, s: str, refresh: bool = True) -> None:
        """Take the text."""
        self.text = s

    def refresh(self) -> None:
        """Take note of what is shown."""
        self.drawn.append((self.n, self.total))

    def close(self) -> None:
        """Take note."""
        self.closed = True


def shown(count: int) -> tuple[list[Widget], str]:
    """What a run with `count` variants of 10 rows shows: 4 done, then all, one failed."""
    widgets: list[Widget] = []

    def make(label: str, total: int | None) -> Widget:
        widgets.append(Widget(label, total))
        return widgets[-1]

    stream, tallies = io.StringIO(), {f"m{number}\n": Tally(total=10) for number in range(count)}
    display = NotebookDisplay(stream, FakeClock(), make)
    display.notify(RunStarted("job", "runs/job", tallies))
    for tally in tallies.values():
        tally.ok = 4
    display.notify(Progressed(tallies))
    for tally in tallies.values():
        tally.ok, tally.failed = 9, 1
    display.notify(Notice("a pause"))
    display.notify(RunEnded(tallies, None))
    # Events after the end have no effect.
    display.notify(Progressed(tallies))
    return widgets, stream.getvalue()


def test_each_variant_has_a_widget() -> None:
    """A widget a variant follows its rows to the end and is closed; notices and where results go are lines of text."""
    widgets, text = shown(2)
    assert [widget.drawn for widget in widgets] == [[(0, 10), (4, 10), (10, 10)]] * 2
    assert all(widget.closed and "\n" not in widget.label for widget in widgets)
    assert "2 failed" in widgets[0].text
    assert text.splitlines() == ["promptmill: job: results go to runs/job", "promptmill: a pause"]


def test_many_variants_share_a_widget() -> None:
    """More than six variants are one widget with their sums."""
    (widget,), _ = shown(7)
    assert widget.label == "7 models"
    assert widget.drawn == [(0, 70), (28, 70), (70, 70)]


@pytest.mark.parametrize("shell", [None, SimpleNamespace(config={}), SimpleNamespace(config={"TerminalIPythonApp": {}})])
def test_no_widgets_outside_of_notebooks(monkeypatch: pytest.MonkeyPatch, shell: object) -> None:
    """A program, and IPython in a terminal, get the lines and bars of the command."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert notebook_display(io.StringIO(), FakeClock()) is None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    assert notebook_display(io.StringIO(), FakeClock()) is None
