"""promptmill compare: which models of a run are better, or what changed from one run to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.cli.changes import changes_json, changes_text
from batch.cli.ci_files import write_changes_markdown
from batch.cli.comparison import comparisons
from batch.cli.console import terminal_width, write_document, write_text
from batch.cli.evaluation import end_by_gates, evaluation_json, write_ci_files
from batch.cli.file_options import file_options, file_scoring, refuse_file_options
from batch.cli.job_files import run_arguments
from batch.cli.options import family_option, json_option, junit_option, markdown_option, scores_job_option
from batch.cli.options import files as complete_files

if TYPE_CHECKING:
    from batch.app.compare_runs import TwoRuns
    from batch.app.evaluate import EvaluationReport


@click.command("compare")
@click.argument("targets", metavar="RUN|FILE [RUN|FILE]", nargs=-1, required=True, shell_complete=complete_files, callback=run_arguments)
@scores_job_option
@click.option("--pair", "pairs", multiple=True, metavar="OLD=NEW", help="For two runs: compare the model OLD with the model NEW.")
@file_options
@family_option
@junit_option
@markdown_option
@json_option
@click.pass_context
def compare_command(
    ctx: click.Context,
    /,
    targets: tuple[str, ...],
    job: str | None,
    pairs: tuple[str, ...],
    files: dict[str, Any],
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the models of a run, or two runs, with intervals and paired tests.

    For one run, shows for each score which model wins, by how much and how certain that is;
    which models cannot be separated and how many rows would be needed; what each model costs, where
    it is weak, and what failed. Failed calls and unreadable answers count as wrong. Nothing is sent:
    scores by a model use its answers so far. Ends with 3 when a gate fails.

    For two, name the older one first. Shows what changed in the job, in each model's score, and in
    which rows. Rows are joined by id, and both are scored as the newer one is. Each may be a run
    directory, a file of answers, or a baseline that score --save-baseline wrote.

    \b
    Examples:
      promptmill compare runs/tickets
      promptmill compare runs/last-release runs/tickets
      promptmill compare old.jsonl new.jsonl --kind exact --expected label
    """
    if len(targets) > 2:
        raise click.UsageError("Compare one run, or two; files that belong together are scored as one by promptmill score.")
    job_file = Path(job) if job else None
    if len(targets) == 2:
        if options["junit"]:
            raise click.UsageError("--junit is for one run: gates compare it with a baseline.")
        _write_changes(_compare_two(targets, job_file, pairs, files), options["markdown"], as_json=as_json)
        return
    if pairs:
        raise click.UsageError("--pair is for two runs.")
    report = _evaluated(targets[0], job_file, files, together=options["family"] == "all")
    _write_report(report, options, as_json=as_json)
    end_by_gates(ctx, report)


def _write_report(report: EvaluationReport, options: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_document(evaluation_json(report))
    else:
        write_text(comparisons(report, terminal_width()))
    write_ci_files(report, options)


def _write_changes(found: TwoRuns, markdown: str | None, *, as_json: bool) -> None:
    if as_json:
        write_document(changes_json(found))
    else:
        write_text(changes_text(found, terminal_width()))
    if markdown:
        write_changes_markdown(found, Path(markdown))


def _evaluated(target: str, job: Path | None, files: dict[str, Any], *, together: bool) -> EvaluationReport:
    from batch.app.evaluate import evaluate, evaluate_files
    from batch.app.sides import is_run
    from batch.app.stored import open_scored

    if is_run(target) or not Path(target).exists():
        refuse_file_options(files)
        return evaluate(open_scored(target, job), together=together)
    return evaluate_files([Path(target)], file_scoring(files, job), together=together)


def _compare_two(targets: tuple[str, ...], job: Path | None, pairs: tuple[str, ...], files: dict[str, Any]) -> TwoRuns:
    from batch.app.compare_runs import compare_runs

    before, after = targets
    return compare_runs(before, after, job_file=job, files=file_scoring(files, job, needed=False), renamed=_renamed(pairs))


def _renamed(pairs: tuple[str, ...]) -> dict[str, str]:
    renamed = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} has no '='; write OLD=NEW", param_hint="--pair")
        renamed[old] = new
    return renamed
