"""The base of all tables of the job file. Values are strict: "5" is not a number and true is not 1."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

Absent = SkipJsonSchema[None]
Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A table of the job file: unknown keys are errors."""

    # Validators are built when first used: a run without scores needs none of the twenty kinds.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True)


class RatesSection(Section):
    """What a model costs at one service tier, in US dollars for a million tokens."""

    input: NotNegative = Field(description="Prompt tokens.")
    output: NotNegative | Absent = Field(default=None, description="Tokens of answers, reasoning included. Embeddings have none.")
    per_request: NotNegative = Field(default=0.0, description="Each request, or each search unit of a rerank by Cohere, in US dollars.")
    cached_input: NotNegative | Absent = Field(
        default=None, description="Prompt tokens that the provider read from its cache. [default: as input]"
    )


class PriceSection(RatesSection):
    """What a model costs, in US dollars for a million tokens."""

    standard: RatesSection | Absent = Field(
        default=None, description="What it costs at the standard tier, for rows of another tier that run.flex_fallback sends there."
    )
