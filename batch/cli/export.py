"""promptmill export: the results of a run in another format."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from batch.cli.console import put
from batch.cli.options import directory_argument
from batch.settings import OutputFormat


@click.command("export")
@directory_argument
@click.option("--format", "format_", type=click.Choice(get_args(OutputFormat)), required=True, help="The format to write.")
@click.option("--output", "-o", metavar="DIR", help="Where to write.  [default: the run directory]")
def export_command(directory: str, format_: OutputFormat, output: str | None) -> None:
    """Write completions and errors in another format.

    The files hold the same rows as those of the run, in input order. Their paths are printed.

    \b
    Example:
      promptmill export runs/tickets --format csv --output for-excel/
    """
    from batch import app
    from batch.progress import near

    for path in app.export(Path(directory), format_, Path(output) if output else None):
        put(near(path))
