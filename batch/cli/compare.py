"""promptmill compare: which models of a run are better, and how certain that is."""

from __future__ import annotations

from pathlib import Path

import click

from batch.cli.comparison import comparisons
from batch.cli.console import terminal_width, write_json, write_text
from batch.cli.evaluation import end_by_gates, evaluation_json
from batch.cli.options import directory_argument, json_option, scores_job_option


@click.command("compare")
@directory_argument
@scores_job_option
@json_option
@click.pass_context
def compare_command(ctx: click.Context, directory: str, job: str | None, as_json: bool) -> None:
    """Compare the models of a run, with intervals and paired tests.

    For each score: which variant wins, by how much and with which certainty; which cannot be separated and how
    many rows that would need, what each model costs, where it is weak, and what failed.
    Failed calls and answers that cannot be read count as wrong. Nothing is sent: of models that
    judge or embed, the answers so far count. Ends with 3 when a gate fails.

    \b
    Example:
      promptmill compare runs/tickets
    """
    from batch.app.evaluate import evaluate
    from batch.app.stored import open_scored

    report = evaluate(open_scored(directory, Path(job) if job else None))
    if as_json:
        write_json(evaluation_json(report))
    else:
        write_text(comparisons(report, terminal_width()))
    end_by_gates(ctx, report)
