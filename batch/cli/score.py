"""promptmill score: how good the answers are. Only models that judge or embed are called."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.cli.comparison import leaderboards
from batch.cli.console import command_line, print_info, terminal_width, write_json, write_text
from batch.cli.evaluation import end_by_gates, evaluation_json
from batch.cli.exits import ExitCode
from batch.cli.grading import call_models
from batch.cli.options import files, json_option, scores_job_option, set_option
from batch.storage import is_url, named

if TYPE_CHECKING:
    from batch.app.evaluate import EvaluationReport


_FILE_OPTIONS = ("kind", "expected", "options", "answer", "rows", "row_id")


@click.command("score")
@click.argument("targets", metavar="RUN_DIR|FILE...", nargs=-1, required=True, shell_complete=files)
@scores_job_option
@click.option("--kind", help="For files: the kind of score, such as exact, contains, choice or number.")
@click.option("--expected", metavar="COLUMN", help="For files: the key with the right value, or a template such as '{{ city }}'.")
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="For files: what else a [[score]] may have, as in tolerance=0.01."
)
@click.option("--answer", metavar="KEY", help="For files: the key with the answer.  [default: completion, output, response, ...]")
@click.option("--rows", metavar="FILE", help="For files: a file with the right values, joined by id.")
@click.option("--id", "row_id", metavar="COLUMN", help="For files: the column of --rows with the ids.")
@click.option("--judges/--no-judges", default=True, help="Whether to call models that judge or embed; without, their answers so far count.")
@click.option("--retry-failed", is_flag=True, help="Repeat failed calls to models that judge or embed.")
@set_option
@click.option("--quiet", "-q", is_flag=True, help="No progress of calls to models that judge or embed.")
@json_option
@click.pass_context
def score_command(
    ctx: click.Context,
    /,
    targets: tuple[str, ...],
    job: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score answers. The rows are not sent again.

    Of a run, the scores of its job are brought up to date: only changes are scored again.
    They are in RUN_DIR/scores, as Parquet. Nothing is sent but the calls of scores that need a
    model (kind judge, pairwise or embedding), each once: after a stop the same command
    continues.
    Any other answers can be scored too: lines of JSON with an answer, results of OpenAI's Batch
    API, exports of promptfoo and inspect. A python scorer runs with your rights; what a model
    wrote is never executed.

    Ends with 3 when a gate fails; where models are called, also as a run does: with 1, 4,
    5 or 130.

    \b
    Examples:
      promptmill score runs/tickets --job jobs/tickets.toml
      promptmill score answers.jsonl --kind number --expected answer
      promptmill score out.jsonl --rows in.csv --kind exact --expected label
    """
    failed_calls = False
    if len(targets) == 1 and (is_url(targets[0]) or Path(targets[0]).is_dir()):
        report, failed_calls = _score_run(ctx, targets[0], Path(job) if job else None, options)
    elif job:
        raise click.UsageError("--job is for runs; files are scored by --kind.")
    else:
        report = _score_files([Path(target) for target in targets], options)
    if as_json:
        write_json(evaluation_json(report))
    else:
        write_text(leaderboards(report, terminal_width()))
        _print_files(report)
    end_by_gates(ctx, report)
    if failed_calls:
        ctx.exit(ExitCode.FAILED_ROWS)


def _score_run(ctx: click.Context, directory: str, job: Path | None, options: dict[str, Any]) -> tuple[EvaluationReport, bool]:
    """Score a run; return its report, and whether calls to models failed."""
    from batch.app.evaluate import evaluate
    from batch.app.stored import open_scored

    if given := [name for name in _FILE_OPTIONS if options[name]]:
        option = given[0].replace("row_id", "id").rstrip("s")
        raise click.UsageError(f"--{option} is for files; a run is scored by its job, or by that of --job.")
    scored = open_scored(directory, job)
    again = command_line("score", directory, *(("--job", str(job)) if job else ()))
    failed = options["judges"] and call_models(
        ctx, scored, again, options["settings"], retry_failed=options["retry_failed"], quiet=options["quiet"]
    )
    return evaluate(scored), failed


def _score_files(paths: list[Path], options: dict[str, Any]) -> EvaluationReport:
    from batch.app.evaluate import evaluate_files

    if not options["kind"]:
        raise click.UsageError("Say how to score these files: --kind exact --expected COLUMN, for example.")
    rows = Path(options["rows"]) if options["rows"] else None
    return evaluate_files(paths, _entry(options), answer=options["answer"], rows=rows, row_id=options["row_id"])


def _entry(file_options: dict[str, Any]) -> dict[str, Any]:
    """The options for files as a [[score]] entry."""
    entry = {key: file_options[key] for key in ("kind", "expected") if file_options[key]}
    for option in file_options["options"]:
        key, equals, text = option.partition("=")
        if not equals:
            raise click.BadParameter(f"{option!r} has no '='; write KEY=VALUE, as in tolerance=0.01", param_hint="--option")
        try:
            entry[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        # Text needs no quotes: shells take them away.
        except (ValueError, RecursionError):
            entry[key.strip()] = text
    return entry


def _print_files(report: EvaluationReport) -> None:
    from batch.progress import near

    if report.folder is not None:
        what = f"scored again: {', '.join(report.fresh)}" if report.fresh else "nothing had changed"
        print_info(f"promptmill: {what}; in {near(named(report.folder))}")
