"""promptmill score and compare: how good the answers are, and what can be said of the models. Only models that judge or embed get calls."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.cli.comparison import comparisons, leaderboards
from batch.cli.console import complain, put_json, put_styled, say, terminal_width
from batch.cli.exits import ExitCode
from batch.cli.grading import run_graders
from batch.cli.options import directory_argument, files, json_option, set_option
from batch.storage import is_url, named

if TYPE_CHECKING:
    from batch.app.evaluate import EvaluationReport
    from batch.evaluation.reading import ScoreResult
    from batch.settings import ScoreSettings, Variant

job_option = click.option(
    "--job", "job", metavar="JOB.toml", help="Take [[score]] and [[gate]] from this file, not from the run's own job."
)


@click.command("score")
@click.argument("targets", metavar="RUN_DIR|FILE...", nargs=-1, required=True, shell_complete=files)
@job_option
@click.option("--kind", help="For files: the kind of score, such as exact, contains, choice or number.")
@click.option("--expected", metavar="COLUMN", help="For files: the key with the right value, or a template such as '{{ city }}'.")
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="For files: what else a [[score]] may have, as in tolerance=0.01."
)
@click.option("--answer", metavar="KEY", help="For files: the key with the answer.  [default: completion, output, response, ...]")
@click.option("--rows", metavar="FILE", help="For files: a file with the right values, joined by id.")
@click.option("--id", "row_id", metavar="COLUMN", help="For files: the column of --rows that holds the ids.")
@click.option(
    "--judges/--no-judges", default=True, help="Whether models that judge or embed are asked; without, what they said so far counts."
)
@click.option("--retry-failed", is_flag=True, help="Ask models that judge or embed again where their calls failed.")
@set_option
@click.option("--quiet", "-q", is_flag=True, help="No progress of models that judge or embed.")
@json_option
@click.pass_context
def score_command(
    ctx: click.Context,
    /,
    targets: tuple[str, ...],
    job: str | None,
    judges: bool,
    retry_failed: bool,
    settings: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **file_options: Any,
) -> None:
    """Score answers. The rows are not sent again.

    Of a run, the scores of its job are brought up to date: only what changed is scored again.
    They lie in RUN_DIR/scores, as Parquet. Nothing is sent but the calls of scores that ask a
    model (kind judge, pairwise or embedding), each once: stopped in the middle, the same command
    continues.
    Any other answers can be scored too: lines of JSON with an answer, results of OpenAI's Batch
    API, exports of promptfoo and inspect. A python scorer runs with your rights; what a model
    wrote is never run.

    Ends with 3 when a gate is not passed; where models are asked, also as a run does: with 1, 4,
    5 or 130.

    \b
    Examples:
      promptmill score runs/tickets --job jobs/tickets.toml
      promptmill score answers.jsonl --kind number --expected answer
      promptmill score out.jsonl --rows in.csv --kind exact --expected label
    """
    from batch.app.evaluate import evaluate, evaluate_files

    if len(targets) == 1 and (is_url(targets[0]) or Path(targets[0]).is_dir()):
        if given := [name for name, value in file_options.items() if value]:
            raise click.UsageError(
                f"--{given[0].replace('row_id', 'id').rstrip('s')} is for files; a run is scored by its job, or by that of --job."
            )
        failed_calls = False
        if judges:
            failed_calls = run_graders(ctx, targets[0], Path(job) if job else None, settings, retry_failed=retry_failed, quiet=quiet)
        report = evaluate(targets[0], Path(job) if job else None)
    else:
        failed_calls = False
        if job:
            raise click.UsageError("--job is for runs; files are scored by --kind.")
        if not file_options["kind"]:
            raise click.UsageError("Say how to score these files: --kind exact --expected COLUMN, for example.")
        rows = Path(file_options["rows"]) if file_options["rows"] else None
        paths = [Path(target) for target in targets]
        report = evaluate_files(paths, _entry(file_options), answer=file_options["answer"], rows=rows, row_id=file_options["row_id"])
    if as_json:
        put_json(_as_json(report))
    else:
        put_styled(leaderboards(report, terminal_width()))
        _say_files(report)
    _end(ctx, report)
    if failed_calls:
        ctx.exit(ExitCode.FAILED_ROWS)


@click.command("compare")
@directory_argument
@job_option
@json_option
@click.pass_context
def compare_command(ctx: click.Context, directory: str, job: str | None, as_json: bool) -> None:
    """Compare the models of a run, and say what can be said.

    For each score: who wins by how much with which certainty, who cannot be separated and how
    many rows that would need, what each model costs, where it is weak, and what failed.
    Failed calls and answers that cannot be read count as wrong. Nothing is sent: of models that
    judge or embed, what they said so far counts. Ends with 3 when a gate is not passed.

    \b
    Example:
      promptmill compare runs/tickets
    """
    from batch.app.evaluate import evaluate

    report = evaluate(directory, Path(job) if job else None)
    if as_json:
        put_json(_as_json(report))
    else:
        put_styled(comparisons(report, terminal_width()))
    _end(ctx, report)


def _entry(file_options: dict[str, Any]) -> dict[str, Any]:
    """The options for files as a [[score]] entry."""
    entry = {key: file_options[key] for key in ("kind", "expected") if file_options[key]}
    for option in file_options["options"]:
        key, equals, text = option.partition("=")
        if not equals:
            raise click.BadParameter(f"{option!r} has no '='; write KEY=VALUE, as in tolerance=0.01", param_hint="--option")
        try:
            entry[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            entry[key.strip()] = text
    return entry


def _say_files(report: EvaluationReport) -> None:
    from batch.progress import near

    if report.folder is not None:
        what = f"scored again: {', '.join(report.fresh)}" if report.fresh else "nothing had changed"
        say(f"promptmill: {what}; in {near(named(report.folder))}")


def _end(ctx: click.Context, report: EvaluationReport) -> None:
    failed = report.failed_gate
    if failed is not None:
        complain(f"gate failed: {failed.text}")
        ctx.exit(ExitCode.GATE)


def _as_json(report: EvaluationReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "scores": [
            {
                "name": comparison.judged.settings.name,
                "settings": _settings(comparison.judged.settings),
                **_asked(comparison.judged),
                "left_out": comparison.judged.left_out,
                "left_out_example": comparison.judged.left_out_example,
                "winner": comparison.verdict.winner,
                "verdict": [sentence.text for sentence in comparison.verdict.sentences],
                "findings": asdict(comparison.verdict.findings),
            }
            for comparison in report.comparisons
        ],
        "variants": [asdict(stats) for stats in report.variants],
        "gates": [asdict(gate) for gate in report.gates],
        "scored_anew": report.fresh,
    }


def _asked(judged: ScoreResult) -> dict[str, Any]:
    """Return the statistics of the model that graded, under its kind."""
    stats = judged.asked
    return {kind: stats.document() if stats is not None and stats.kind == kind else None for kind in ("judge", "embedder")}


def _settings(score: ScoreSettings) -> dict[str, Any]:
    """The settings of a score. Of a model's provider only the name: its headers and query may hold secrets."""
    known = asdict(replace(score, judge=None, embedder=None))
    if score.judge is not None:
        known["judge"] = {**asdict(score.judge), "variant": _model(score.judge.variant)}
    if score.embedder is not None:
        known["embedder"] = _model(score.embedder)
    return known


def _model(variant: Variant) -> dict[str, Any]:
    return {"model": variant.full_name, "parameters": dict(variant.parameters)}
