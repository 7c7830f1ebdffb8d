"""promptmill score: score the answers. Only models that judge or embed are called."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.cli.comparison import leaderboards
from batch.cli.console import command_line, print_info, terminal_width, write_document, write_text
from batch.cli.engine_options import grading_engine_options
from batch.cli.env_files import env_option, env_words
from batch.cli.evaluation import end_by_gates, evaluation_json, write_ci_files
from batch.cli.exits import ExitCode
from batch.cli.file_options import file_options, file_scoring, refuse_file_options
from batch.cli.grading import call_models
from batch.cli.job_files import is_job, run_of
from batch.cli.options import files as complete_files
from batch.cli.options import json_option, junit_option, markdown_option, scores_job_option, set_option
from batch.storage import named

if TYPE_CHECKING:
    from batch.app.evaluate import EvaluationReport
    from batch.app.sides import FileScoring
    from batch.rundir.stored_run import StoredRun


@click.command("score")
@click.argument("targets", metavar="RUN_DIR|FILE...", nargs=-1, required=True, shell_complete=complete_files)
@scores_job_option
@file_options
@click.option("--judges/--no-judges", default=True, help="Whether to call models that judge or embed; without, their answers so far count.")
@click.option("--retry-failed", is_flag=True, help="Repeat failed calls to models that judge or embed.")
@click.option("--save-baseline", metavar="FILE", help="Save the scores to a small file, which compare and gates take as a baseline.")
@click.option(
    "--samples", metavar="FILE", help="For files: write each answer's score, extracted value and reason, to a .jsonl or .parquet."
)
@click.option("--every-eval", metavar="FOLDER", help="Write scores and samples in the format of Every Eval Ever.")
@junit_option
@markdown_option
@set_option
@env_option
@grading_engine_options
@click.option("--quiet", "-q", is_flag=True, help="Show no progress of calls to models that judge or embed.")
@json_option
@click.pass_context
def score_command(
    ctx: click.Context,
    /,
    targets: tuple[str, ...],
    job: str | None,
    as_json: bool,
    files: dict[str, Any],
    **options: Any,
) -> None:
    """Score answers. The rows are not sent again.

    For a run, brings the scores of its job up to date: only changes are scored again. They are
    stored in RUN_DIR/scores, as Parquet. The only requests are those of scores that need a model
    (kind judge, pairwise or embedding), each sent once, live or by a Batch API as the job's rows
    or --engine says; after a stop the same command continues.
    Answers of other tools can be scored too: lines of JSON with an answer, results of OpenAI's
    Batch API, exports of promptfoo and inspect. A python scorer runs with your rights; code that
    a model wrote is never executed.

    Ends with 3 when a gate fails. When models are called, also ends as a run does: with 1, 4, 5
    or 130.

    \b
    Examples:
      promptmill score runs/tickets --job jobs/tickets.toml
      promptmill score answers.jsonl --kind number --expected answer
      promptmill score out.jsonl --rows in.csv --kind exact --expected label
    """
    from batch.app.sides import is_run

    failed_calls, (targets, scores_job) = False, _resolved(targets, job)
    if len(targets) == 1 and (is_run(targets[0]) or not (files["kind"] or Path(targets[0]).exists())):
        refuse_file_options(files)
        report, failed_calls = _score_run(ctx, targets[0], scores_job, options)
    else:
        report = _score_files([Path(target) for target in targets], files, scores_job, options)
    _write_report(report, options, as_json=as_json)
    end_by_gates(ctx, report)
    if failed_calls:
        ctx.exit(ExitCode.FAILED_ROWS)


def _resolved(targets: tuple[str, ...], job: str | None) -> tuple[tuple[str, ...], Path | None]:
    """Return the targets with the runs of job files, and the file with the scores: that of --job, or else the job file itself."""
    # The job file may have got its scores after its run.
    scores = targets[0] if job is None and len(targets) == 1 and is_job(targets[0]) else job
    return tuple(map(run_of, targets)), Path(scores) if scores else None


def _write_report(report: EvaluationReport, options: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_document(evaluation_json(report))
    else:
        write_text(leaderboards(report, terminal_width()))
        _print_files(report)
    write_ci_files(report, options)
    if options["save_baseline"]:
        _save_baseline(report, Path(options["save_baseline"]))


def _score_run(ctx: click.Context, directory: str, job: Path | None, options: dict[str, Any]) -> tuple[EvaluationReport, bool]:
    """Score a run; return its report, and whether calls to models failed."""
    from batch.app import RunOptions
    from batch.app.evaluate import evaluate
    from batch.app.stored import open_scored
    from batch.executors.batch_options import BatchOptions

    if options["samples"]:
        raise click.UsageError("--samples is for files; those of a run are in RUN_DIR/scores, as Parquet.")
    scored = open_scored(directory, job)
    engine = ("--engine", options["engine"]) if options["engine"] else ()
    again = command_line("score", directory, *(("--job", str(job)) if job else ()), *engine, *env_words())
    asked = RunOptions(retry_failed=options["retry_failed"], engine=options["engine"], batch=BatchOptions(options["detach"]))
    failed = options["judges"] and call_models(ctx, scored, again, options["settings"], asked, quiet=options["quiet"])
    saving = Path(options["save_baseline"]) if options["save_baseline"] else None
    report = evaluate(scored, saving=saving)
    if options["every_eval"]:
        _save_every_eval(report, scored.run, options["every_eval"])
    return report, failed


def _score_files(paths: list[Path], files: dict[str, Any], job: Path | None, options: dict[str, Any]) -> EvaluationReport:
    from batch.app.evaluate import evaluate_files
    from batch.evaluation.arrow_tables import sample_table, write_table

    scoring = file_scoring(files, job)
    with tempfile.TemporaryDirectory(prefix="promptmill-") as folder:
        saving = Path(options["save_baseline"]) if options["save_baseline"] else None
        report = evaluate_files(paths, scoring, saving=saving, folder=Path(folder))
        if options["samples"]:
            write_table(sample_table(Path(folder), scoring.scores), Path(options["samples"]))
        if options["every_eval"]:
            _save_every_eval(report, (paths, scoring), options["every_eval"])
    return replace(report, folder=None)


def _save_every_eval(report: EvaluationReport, source: StoredRun | tuple[list[Path], FileScoring], folder: str) -> None:
    from batch.app.every_eval import save_every_eval

    written = save_every_eval(report, source, Path(folder))
    print_info(f"promptmill: {len(written):,} files of Every Eval Ever, and their samples, in {folder}")


def _save_baseline(report: EvaluationReport, path: Path) -> None:
    from batch.app.evaluate import save_baseline
    from batch.progress import near

    save_baseline(report, path)
    print_info(f"promptmill: baseline saved in {near(str(path))}; it can be committed")


def _print_files(report: EvaluationReport) -> None:
    from batch.progress import near

    if report.folder is not None:
        what = f"scored again: {', '.join(report.fresh)}" if report.fresh else "nothing had changed"
        print_info(f"promptmill: {what}; in {near(named(report.folder))}")
