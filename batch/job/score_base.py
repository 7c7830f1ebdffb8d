"""What `[[score]]` entries of every kind have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from batch.job.section import Absent, Section, Text

EXPECTED = "The column with the right value (a list: several right ones), or a template such as {{ city }}."
CASE = "Whether upper and lower case differ.  [default: false]"


class ScoreSection(Section):
    """The settings of every kind of score."""

    name: Text | Absent = Field(
        default=None, description="The score's name in tables and file names: letters, digits, _ - and .; by default the kind."
    )
    cluster: Text | Absent = Field(
        default=None, description="The column that groups rows which belong together, such as questions on one document."
    )
    slices: list[Text] = Field(default_factory=list, description="Columns by whose values the scores are broken down.")
    cut_off: Literal["score", "wrong", "unscored"] | Absent = Field(
        default=None, description="What becomes of answers that the token limit cut off; by default they are unscored."
    )
    thinking: Text | Absent = Field(
        default=None, description="A tag around thinking beside the usual ones (<think>, [THINK], <reasoning>, ...), as in PLAN."
    )
    weights: Text | Absent = Field(
        default=None, description="The column with the weight of each row: a weighted score is shown beside the plain one."
    )
    macro: list[Text] | Absent = Field(
        default=None, description="Columns over whose groups the score is averaged too, each group alike, such as subject."
    )
    figures: Text | Absent = Field(
        default=None,
        description='"file.py:name", relative to this file; called as name(rows) with all answers of a model, it gives a number, or a '
        "dict of numbers by name, of your own; shown with intervals.",
    )


class ComparingSection(ScoreSection):
    """A scorer that compares the answer with the right value."""

    expected: Text = Field(description=EXPECTED)
