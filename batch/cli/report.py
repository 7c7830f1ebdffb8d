"""promptmill report: a run, two runs, or files of answers as one HTML file that can be mailed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from batch.cli.console import write, write_document
from batch.cli.file_options import file_options, file_scoring, refuse_file_options
from batch.cli.job_files import run_arguments
from batch.cli.options import files as complete_files
from batch.cli.options import json_option, scores_job_option


@click.command("report")
@click.argument("targets", metavar="RUN_DIR|FILE...", nargs=-1, required=True, shell_complete=complete_files, callback=run_arguments)
@scores_job_option
@file_options
@click.option("--output", metavar="FILE.html", help="For files and two runs: where to write it.  [default: report.html]")
@json_option
def report_command(targets: tuple[str, ...], job: str | None, files: dict[str, Any], output: str | None, as_json: bool) -> None:
    """Write RUN_DIR/report.html: scores, charts and every sample.

    One file that needs no network, with the verdict, the leaderboard, pairs, charts, slices,
    errors, and all prompts and answers, side by side and searchable. The scores are brought up to
    date first. A run without scores gets a report of its counts, errors and samples. Prints the path.

    For two runs, name the older one first: the report has their models side by side, row by row.
    Files of answers are read as by score. Scores that call a model are in a run's own report only.

    \b
    Examples:
      promptmill report runs/tickets
      promptmill report runs/last-release runs/tickets --output changes.html
      promptmill report answers.jsonl --kind number --expected gold
    """
    from batch.app.report import report
    from batch.app.report_sides import report_sides
    from batch.app.sides import is_run

    job_file = Path(job) if job else None
    if len(targets) == 1 and (is_run(targets[0]) or not Path(targets[0]).exists()):
        refuse_file_options(files)
        if output:
            raise click.UsageError("--output is for files and two runs; the report of a run is RUN_DIR/report.html.")
        _show(report(targets[0], job_file), as_json=as_json)
        return
    scoring = file_scoring(files, job_file, needed=not any(map(is_run, targets)))
    _show(report_sides(targets, scoring, Path(output or "report.html"), job_file), as_json=as_json)


def _show(path: Path | str, *, as_json: bool) -> None:
    from batch.progress import near

    if as_json:
        write_document({"path": str(path)})
    else:
        write(near(path))
