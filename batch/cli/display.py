"""The progress of a run on stderr, and its summary."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import click

from batch.cli.console import print_info, terminal_width, write_json_line
from batch.errors import StorageError
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.app import RunOptions, RunReport
    from batch.events import Event, Observer
    from batch.job import LoadedJob

Start = Callable[[Sequence["Observer"]], "RunReport"]
Report = TypeVar("Report")


def check_input(loaded: LoadedJob) -> None:
    """Compare the job with its input before anything is sent, and report what may be a mistake. Raises JobError, InputError."""
    from batch.job import check_columns

    for warning in (*check_columns(loaded), *loaded.warnings):
        print_info(f"promptmill: warning: {one_line(warning)}")


class JsonEvents:
    """Writes a run's events to stdout, a JSON line each; the counts once a second."""

    def __init__(self) -> None:
        self._due = 0.0

    def notify(self, event: Event) -> None:
        """Write a line."""
        from batch.app.run_log import event_document
        from batch.events import Progressed

        if isinstance(event, Progressed):
            if monotonic() < self._due:
                return
            self._due = monotonic() + 1.0
        # A run continues without a reader of its events.
        with suppress(BrokenPipeError, StorageError):
            write_json_line({"format": 1, **event_document(event)})


class OneOfMany:
    """Passes events on to a display; of notices that say the same it passes one a minute, with the number of the others."""

    def __init__(self, display: Observer) -> None:
        from batch.policy.repeats import Repeats

        self._display = display
        self._repeats = Repeats()

    def notify(self, event: Event) -> None:
        """Pass an event on."""
        from batch.events import Notice, Progressed, RunEnded

        now = monotonic()
        if isinstance(event, Progressed | RunEnded):
            for text in self._repeats.due(now, ended=isinstance(event, RunEnded)):
                self._display.notify(Notice(text))
        elif isinstance(event, Notice) and not self._repeats.passes(event.text, now):
            return
        self._display.notify(event)


def with_progress(start: Callable[[Sequence[Observer]], Report], *, quiet: bool, as_json: bool = False) -> Report:
    """Run `start` with a progress display on stderr; with none when `quiet`, or without a stderr. `as_json`: events go to stdout too."""
    from batch.clock import SystemClock
    from batch.progress import display_for

    events = [JsonEvents()] if as_json else []
    if quiet or sys.stderr is None:
        return start(events)
    # The bars are closed before the summary is written, else they would be drawn over it.
    with ExitStack() as stack:
        display = display_for(sys.stderr, SystemClock())
        stack.callback(display.close)
        return start([OneOfMany(display), *events])


def run_and_report(ctx: click.Context, start: Start, again: str, quiet: bool, *, as_json: bool = False) -> None:
    """Run `start`, print its summary, and end with its exit code. `again` is the command that continues the run."""
    ctx.exit(_summarised(start, again, quiet=quiet, as_json=as_json).exit_code)


def run_steps_and_report(
    ctx: click.Context, steps: Sequence[LoadedJob], options: RunOptions, again: str, quiet: bool, *, as_json: bool = False
) -> None:
    """Run `steps`, print the summary of each, and end with the exit code of all."""
    from batch import app

    names = iter(enumerate((step.job.name for step in steps), 1))

    def start(loaded: LoadedJob, for_step: RunOptions) -> RunReport:
        number, name = next(names)
        if len(steps) > 1 and not quiet:
            print_info(f"promptmill: step {number} of {len(steps)}: {one_line(name)}")
        return _summarised(lambda observers: app.run(loaded, for_step, observers), again, quiet=quiet, as_json=as_json)

    report = app.run_steps(steps, options, start)
    if rest := [one_line(name) for _, name in names]:
        print_info(f"promptmill: not begun, since the step before did not end: {', '.join(rest)}")
    ctx.exit(report.exit_code)


def _summarised(start: Start, again: str, *, quiet: bool, as_json: bool) -> RunReport:
    """Run `start` with its progress, and print its summary."""
    from batch.cli.summary import closing_summary
    from batch.process import tune_malloc

    # Before Arrow is loaded: its memory pool is chosen then.
    tune_malloc()
    report = with_progress(start, quiet=quiet, as_json=as_json)
    if not quiet or report.exit_code:
        print_info(closing_summary(report, again, terminal_width() if sys.stderr and sys.stderr.isatty() else None))
    return report
