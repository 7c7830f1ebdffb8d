"""Calls the models that judge or embed a run's answers, with progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from batch.cli.console import print_info
from batch.cli.display import with_progress
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.app import RunOptions, RunReport
    from batch.app.grading import Grading
    from batch.app.stored import ScoredRun


def call_models(ctx: click.Context, scored: ScoredRun, again: str, settings: Sequence[str], options: RunOptions, *, quiet: bool) -> bool:
    """Make all open calls of a run's scores; return whether some failed for good.

    Ends the command when one stops early; `again` is the command line that continues.
    """
    from batch.app.grading import gradings

    failed, retried = False, options.retry_failed
    # Each pass asks for the verdicts that the pass before left unreadable; their number is bounded by the scores' retries.
    while opened := [grading for grading in gradings(scored, settings, retry_failed=retried) if grading.open]:
        failed = _call_each(ctx, opened, again, replace(options, retry_failed=retried), quiet=quiet) or failed
        retried = False
    return failed


def _call_each(ctx: click.Context, opened: Sequence[Grading], again: str, options: RunOptions, *, quiet: bool) -> bool:
    failed, waiting = False, 0
    for grading in opened:
        report = with_progress(partial(grading.run, options), quiet=quiet)
        print_info(f"promptmill: {one_line(_summary_line(grading, report))}")
        if report.cause == "waiting":
            # Its batches are submitted: those of other scores can be as well.
            waiting = report.exit_code
        elif report.cause is not None:
            print_info(f"promptmill: the same command continues where this one stopped:\n  {again}")
            ctx.exit(report.exit_code)
        failed = failed or report.exit_code != 0
    if waiting:
        print_info(f"promptmill: the same command waits for the batches and collects them:\n  {again}")
        ctx.exit(waiting)
    return failed


def _summary_line(grading: Grading, report: RunReport) -> str:
    """Format one line: the calls to the model and their outcomes, or why they stopped."""
    from batch.cli.summary import cost, top_failures
    from batch.tally import sum_tallies

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
