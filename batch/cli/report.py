"""promptmill report: a run as one HTML file that can be mailed."""

from __future__ import annotations

from pathlib import Path

import click

from batch.cli.console import write
from batch.cli.options import directory_argument, scores_job_option


@click.command("report")
@directory_argument
@scores_job_option
def report_command(directory: str, job: str | None) -> None:
    """Write RUN_DIR/report.html: scores, charts and every sample.

    One file that needs no network: the verdict, the leaderboard, pairs, charts, slices, errors,
    and all prompts and answers, side by side, to be searched. The scores are brought up to date
    first. A run without scores has a report of its counts, errors and samples. Its path is printed.

    \b
    Example:
      promptmill report runs/tickets
    """
    from batch.app.report import report
    from batch.progress import near

    write(near(report(directory, Path(job) if job else None)))
