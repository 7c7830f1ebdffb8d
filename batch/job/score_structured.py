"""The shape of `[[score]]` for structured answers: JSON, tool calls, labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from batch.job.score_base import CASE, ComparingSection, ScoreSection
from batch.job.section import Absent, Text

_EMBEDDED = "Whether JSON within prose is taken too."
_FENCES = "Whether JSON in a ``` block is taken; false makes such an answer wrong.  [default: true]"


class JsonSection(ScoreSection):
    """The answer is JSON."""

    kind: Literal["json"]
    fences: bool | Absent = Field(default=None, description=_FENCES)


class JsonSchemaSection(ScoreSection):
    """The answer is JSON that a JSON Schema accepts."""

    kind: Literal["json_schema"]
    schema_: Text = Field(alias="schema", description="The file with the JSON Schema, relative to this file.")
    embedded: bool | Absent = Field(default=None, description=f"{_EMBEDDED}  [default: false]")
    fences: bool | Absent = Field(default=None, description=_FENCES)


class JsonFieldsSection(ComparingSection):
    """The share of the right object's fields that the answer has."""

    kind: Literal["json_fields"]
    fields_: list[Text] | Absent = Field(
        alias="fields", default=None, description="The fields that count, such as address.city.  [default: all]"
    )
    embedded: bool | Absent = Field(default=None, description=f"{_EMBEDDED}  [default: true]")
    fences: bool | Absent = Field(default=None, description=_FENCES)
    case_sensitive: bool | Absent = Field(default=None, description=CASE)


class ToolCallSection(ComparingSection):
    """The answer calls the right functions with the right arguments.

    The right value is a call {"name": ..., "arguments": {...}}, a list of them, or OpenAI's form of either; an empty list: none.
    """

    kind: Literal["tool_call"]
    arguments: Literal["equal", "contain", "ignore"] | Absent = Field(
        default=None, description="Whether arguments must be equal, may be more than the right ones, or do not count.  [default: equal]"
    )
    order: bool | Absent = Field(default=None, description="Whether several calls must come in the right order.  [default: false]")
    more: bool | Absent = Field(default=None, description="Whether further calls are allowed.  [default: false]")
    text: bool | Absent = Field(
        default=None, description="Whether calls that an answer writes as JSON, or in <tool_call> tags, are read too.  [default: false]"
    )
    case_sensitive: bool | Absent = Field(default=None, description=CASE)


class LabelSection(ComparingSection):
    """The answer names the right class. Precision, recall, F1, MCC and the confusion matrix are shown too."""

    kind: Literal["label"]
    labels: list[Text] | dict[str, list[Text]] | Absent = Field(
        default=None, description='The labels, or a table of each with its other names: {spam = ["junk"], ham = []}; by default any text.'
    )
    field: Text | Absent = Field(default=None, description="The name of the label in an answer that is JSON, such as result.label.")
    pattern: Text | Absent = Field(default=None, description="A regular expression of Python: what its last match caught is the label.")
    case_sensitive: bool | Absent = Field(default=None, description=CASE)
