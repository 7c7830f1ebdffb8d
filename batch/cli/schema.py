"""promptmill schema: the JSON Schemas of the job file, and of what commands write with --json."""

from __future__ import annotations

import json
from importlib.resources import files

import click

from batch.cli.console import write_json


def output_schemas() -> dict[str, dict[str, object]]:
    """Return by command the JSON Schema (draft 2020-12) of the document, or of the line, that it writes with --json."""
    schemas: dict[str, dict[str, object]] = json.loads(files("batch.cli").joinpath("output_schemas.json").read_text("utf-8"))
    return schemas


@click.command("schema")
@click.argument("command", required=False)
def schema_command(command: str | None) -> None:
    """Print the JSON Schema of the job file, or of what COMMAND writes with --json.

    Editors complete and check a job file whose first line is "#:schema ./job.schema.json"
    when the schema lies there:

    \b
      promptmill schema > jobs/job.schema.json
      promptmill schema status
    """
    if command is None:
        from batch.job import json_schema

        write_json(json_schema())
        return
    schemas = output_schemas()
    if command not in schemas:
        raise click.UsageError(f"{command!r} is no command that writes JSON; choose from {', '.join(schemas)}")
    write_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **schemas[command]})
