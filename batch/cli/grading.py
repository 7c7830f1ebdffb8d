"""Run the models that judge or embed a run's answers, with a progress display."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batch.cli.console import command_line, printable, say

if TYPE_CHECKING:
    from batch.app import RunOptions, RunReport
    from batch.app.grading import Grading


def run_graders(ctx: click.Context, directory: str, job: Path | None, settings: Sequence[str], *, retry_failed: bool, quiet: bool) -> bool:
    """Make all open calls of a run's scores; return whether any failed for good. Exits the command when one is stopped early."""
    from batch.app import RunOptions
    from batch.app.grading import gradings

    failed = False
    for grading in gradings(directory, job, settings, retry_failed=retry_failed):
        if not grading.open:
            continue
        report = _run_shown(grading, RunOptions(retry_failed=retry_failed), quiet=quiet)
        say(f"promptmill: {printable(_result_line(grading, report))}")
        if report.cause is not None:
            again = command_line("score", directory, *(("--job", str(job)) if job else ()))
            say(f"promptmill: the same command continues where this one stopped:\n  {again}")
            ctx.exit(report.exit_code)
        failed = failed or report.exit_code != 0
    return failed


def _run_shown(grading: Grading, options: RunOptions, *, quiet: bool) -> RunReport:
    from batch.clock import SystemClock
    from batch.progress import display_for

    with ExitStack() as stack:
        if sys.stderr is None or quiet:
            return grading.run(options, [])
        display = display_for(sys.stderr, SystemClock())
        stack.callback(display.close)
        return grading.run(options, [display])


def _result_line(grading: Grading, report: RunReport) -> str:
    """Describe one grading in a line: its calls, their outcomes, tokens and cost, or why it was stopped."""
    from batch.cli.summary import cost, top_failures
    from batch.records import sum_tallies

    counts = sum_tallies(report.tallies)
    parts = [f"{grading.calls:,} calls, {counts.ok:,} answered now, {counts.kept_ok:,} before"]
    if counts.failed + counts.kept_failed:
        parts.append(f"{counts.failed + counts.kept_failed:,} failed ({top_failures(counts.failures) or 'before'})")
    parts.append(f"{counts.prompt_tokens:,} + {counts.completion_tokens:,} tokens")
    if spent := cost(counts):
        parts.append(f"cost {spent}")
    if report.reason is not None:
        parts.append(f"stopped early: {report.reason}")
    return f"{grading.score}: {grading.model} {grading.did}: {'; '.join(parts)}"
