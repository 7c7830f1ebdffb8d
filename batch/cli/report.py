"""promptmill report: a run as one HTML file that can be mailed."""

from __future__ import annotations

from pathlib import Path

import click

from batch.cli.console import put
from batch.cli.options import directory_argument


@click.command("report")
@directory_argument
@click.option("--job", "job", metavar="JOB.toml", help="Take [[score]] and [[gate]] from this file, not from the run's own job.")
def report_command(directory: str, job: str | None) -> None:
    """Write RUN_DIR/report.html: what the scores say, and every sample.

    One file that needs no network: the verdict, the leaderboard, pairs, charts, slices, errors,
    and all prompts and answers, side by side, to be searched. The scores are brought up to date
    first. A run without scores has a report of its counts, errors and samples. Its path is printed.

    \b
    Example:
      promptmill report runs/tickets
    """
    from batch.app.report import report
    from batch.progress import near

    put(near(report(directory, Path(job) if job else None)))
