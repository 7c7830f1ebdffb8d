"""promptmill export: the results of a run in another format, or the requests of a job for a Batch API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import click

from batch.cli.console import print_error, print_info, write, write_document
from batch.cli.env_files import env_option
from batch.cli.exits import ExitCode
from batch.cli.job_files import run_of
from batch.cli.options import files, json_option, set_option
from batch.settings import OutputFormat

if TYPE_CHECKING:
    from batch.evaluation.chats import ChatFormat

REQUESTS = "openai-batch-input"
CHATS = ("chat", "sharegpt")


@click.command("export")
@click.argument("source", metavar="RUN_DIR | JOB.toml | ANSWERS.jsonl", shell_complete=files)
@click.option(
    "--format", "format_", type=click.Choice([*get_args(OutputFormat), *CHATS, REQUESTS]), required=True, help="The format to write."
)
@click.option("--output", "-o", metavar="DIR", help="Where to write.  [default: the run directory]")
@click.option("--where", multiple=True, metavar="CONDITION", help="With chat and sharegpt: only answers with this score, as 'SCORE >= 1'.")
@set_option
@env_option
@json_option
@click.pass_context
def export_command(
    ctx: click.Context, source: str, format_: str, output: str | None, where: tuple[str, ...], settings: tuple[str, ...], as_json: bool
) -> None:
    """Write completions and errors in another format.

    The files have the same rows as those of the run, in input order. Their paths are printed.
    The results may also be those of another batch runner, in OpenAI's output format.

    openai-batch-input writes the requests that a job would send, as input files for OpenAI's
    Batch API; it sends nothing. openai-batch writes results in that API's output format.

    chat and sharegpt write each answer with the messages that it answers, one line each: what
    fine-tuning takes. Failures and answers that were cut off are omitted.

    \b
    Examples:
      promptmill export runs/tickets --format csv --output for-excel/
      promptmill export jobs/tickets.toml --format openai-batch-input --output .
      promptmill export batch_123_output.jsonl --format parquet --output results/
      promptmill export runs/tickets --format chat --where 'right >= 1'
    """
    from batch.process import tune_malloc

    tune_malloc()
    if format_ == REQUESTS:
        _write_requests(ctx, source, output, settings, as_json=as_json)
        return
    if format_ in CHATS:
        _write_chats(source, cast("ChatFormat", format_), output, (where, settings), as_json=as_json)
        return
    if where:
        raise click.UsageError("--where is for the formats chat and sharegpt")
    _show(_export(source, cast("OutputFormat", format_), output, settings), as_json=as_json)


def _show(paths: Sequence[Path | str], *, as_json: bool, **more: Any) -> None:
    """Print the paths of the files that were written; as JSON with what else is known."""
    from batch.progress import near

    if as_json:
        write_document({"paths": [str(path) for path in paths], **more})
        return
    for path in paths:
        write(near(path))


def _export(source: str, form: OutputFormat, output: str | None, settings: tuple[str, ...]) -> Sequence[Path | str]:
    from batch import app

    source = run_of(source)
    if Path(source).is_file():
        if output is None:
            raise click.UsageError("say where to write: --output DIR")
        return app.export_files([Path(source)], form, output)
    return app.export(source, form, output, settings)


def _write_chats(
    source: str, form: ChatFormat, destination: str | None, chosen: tuple[tuple[str, ...], tuple[str, ...]], *, as_json: bool
) -> None:
    from batch.app.chats import export_chats

    written = export_chats(run_of(source), form, destination, *chosen)
    _show(written.paths, as_json=as_json, lines=written.lines, omitted=dict(written.omitted))
    omitted = ", ".join(f"{count:,} {reason}" for reason, count in written.omitted.items())
    print_info(f"promptmill: {written.lines:,} answers" + (f"; omitted: {omitted}" if omitted else ""))


def _write_requests(ctx: click.Context, source: str, destination: str | None, settings: tuple[str, ...], *, as_json: bool) -> None:
    from batch import app

    written = app.export_requests(source, destination, settings)
    _show(written.paths, as_json=as_json, requests=written.requests, unsendable=written.unsendable, examples=list(written.examples))
    print_info(f"promptmill: {written.requests:,} requests in {len(written.paths)} files; nothing was sent")
    if written.unsendable:
        print_error(f"{written.unsendable:,} rows cannot be sent:")
        print_error("\n".join(written.examples))
        ctx.exit(ExitCode.FAILED_ROWS)
