"""promptmill schema: the JSON Schema of the job file."""

from __future__ import annotations

import click

from batch.cli.console import write_json


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the job file.

    Editors complete and check a job file whose first line is "#:schema ./job.schema.json"
    when the schema lies there:

    \b
      promptmill schema > jobs/job.schema.json
    """
    from batch.job import json_schema

    write_json(json_schema())
