"""The shape of [input], as a pydantic model. Checks that need two of its settings are in inputs.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from batch.job.section import Absent, Section, Text, Whole
from batch.settings.inputs import InputFormat


class InputSection(Section):
    """Where the rows are."""

    path: Text | Annotated[list[Text], Field(min_length=1)] | Absent = Field(
        default=None,
        description="A file, a glob, a folder, or a list of them, relative to this file; .jsonl .json .csv .tsv may be .gz .zst. May hold"
        ' ${VAR}. "-" is stdin.',
    )
    job: Text | Absent = Field(
        default=None, description="Another job file, relative to this one, whose answers are the rows: it is run first. In place of path."
    )
    run: Text | Absent = Field(
        default=None,
        description="A run directory, relative to this file, whose answers are the rows. In place of path.",
    )
    variant: Text | Absent = Field(
        default=None, description="With job or run: take only this model's answers. Without it those of all its models are rows."
    )
    explode: Text | Absent = Field(
        default=None,
        description="With job or run: the path of a list in a row, such as parsed.items; each element is a row, in its column item.",
    )
    group: Text | Absent = Field(
        default=None,
        description="With job or run: the path of a value in a row, such as doc_id; all rows with the same one are one row, their columns"
        " lists. where applies before.",
    )
    sql: Text | Absent = Field(
        default=None,
        description="A query whose rows are the input, over the tables of a .duckdb file, or over the table rows of other files."
        " Needs promptmill[sql].",
    )
    id: Text | Absent = Field(
        default=None, description="The column with the rows' ids; each must be unique. Without it rows go by their place."
    )
    format: InputFormat = Field(
        default="auto",
        description="How to read the input; auto goes by the file's name. openai-batch: JSON lines {custom_id, method, url, body} that are"
        " sent as they are; auto detects them when the job has no prompt.",
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | Absent = Field(
        default=None, description="What stands between a CSV's fields; without it the one that its header has: , ; tab or |."
    )
    encoding: Text | Absent = Field(
        default=None, description="The encoding of CSV and JSON files, such as cp1252, latin-1 or utf-16; without it UTF-8."
    )
    where: Text | Absent = Field(
        default=None,
        description='Take only the rows for which this is true, such as label == "x" and score > 3: columns, values, and or not,'
        " == != < <= > >=, in, len(). Rows that cannot be read are kept, as errors.",
    )
    sample: Whole | Absent = Field(
        default=None, description="Of these, draw this many at random, in input order; a larger sample holds the smaller one."
    )
    seed: int = Field(default=0, description="Another seed draws another sample.")
    limit: Whole | Absent = Field(default=None, description="Of these, take only this many first rows.")
