"""promptmill init: a first job from a file's columns."""

from __future__ import annotations

import click

from batch.cli.console import command_line, print_info, write, write_document
from batch.cli.options import files, json_option

_DEFAULT_MODEL = "local/smollm2"


@click.command("init")
@click.argument("source", metavar="FILE", shell_complete=files)
@click.option("--output", "-o", metavar="JOB.toml", help="The job file to write; one that is there stays.  [default: named as FILE]")
@click.option("--model", metavar="PROVIDER/MODEL", default=_DEFAULT_MODEL, show_default=True, help="The model that the job names.")
@json_option
def init_command(source: str, output: str | None, model: str, as_json: bool) -> None:
    """Make a first job from a file's columns.

    Takes a column of ids if one is unique, the column that looks like the text to send, and carries
    the short ones over. Sends nothing; the job is a beginning to edit. Its path is printed.

    \b
    Examples:
      promptmill init tickets.csv
      promptmill init rows.parquet -o my.toml --model openai/gpt-5-mini
    """
    from batch.app.first_job import make_first_job

    path = str(make_first_job(source, output, model))
    if as_json:
        write_document({"path": path})
    else:
        write(path)
    print_info(f"promptmill: edit the prompt in {path}, then see one answer: {command_line('try', path)}")
