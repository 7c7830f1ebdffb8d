"""The tables of a job's scores as TypedDicts, for editors and type checkers. Made by `make docs` from the job file's schema: do not edit.

What each key means stands in docs/job-file.md. Request parameters of one provider alone go beside those of ModelDict, or into extra_body.
"""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict


class StandardDict(TypedDict, total=False):
    """What it costs at the standard tier, for rows of another tier that run.flex_fallback sends there."""

    input: Required[float]
    output: float
    per_request: float
    cached_input: float


class PriceDict(TypedDict, total=False):
    """US dollars for a million tokens: {input = 0.25, output = 2.0}. [default: the list price, where it is known]."""

    input: Required[float]
    output: float
    per_request: float
    cached_input: float
    standard: StandardDict


class ScoreDict(TypedDict, total=False):
    """How the answers are judged: the keys of all kinds of scores."""

    name: str
    cluster: str
    slices: list[str]
    cut_off: Literal["score", "wrong", "unscored"]
    thinking: str
    weights: str
    macro: list[str]
    figures: str
    expected: str
    kind: Required[
        Literal[
            "exact",
            "contains",
            "regex",
            "choice",
            "number",
            "math",
            "token_f1",
            "rouge_l",
            "edit",
            "bleu",
            "chrf",
            "python",
            "embedding",
            "judge",
            "pairwise",
            "panel",
            "json",
            "json_schema",
            "json_fields",
            "tool_call",
            "label",
        ]
    ]
    case_sensitive: bool
    punctuation: bool
    articles: bool
    squad: bool
    whole_words: bool
    need: Literal["any", "all"]
    pattern: str
    ignore_case: bool
    which: Literal["first", "last", "only"]
    labels: str | list[str] | dict[str, list[str]]
    options: str
    tolerance: float
    relative: float
    percent: Literal["lenient", "strict"]
    decimal: Literal["auto", "point", "comma"]
    language: str
    tokenize: str
    function: str
    model: str
    threshold: float
    parameters: dict[str, Any]
    price: PriceDict
    judge: str | list[str]
    vote: Literal["mean", "median", "majority"]
    rubric: str
    question: str
    images: str | list[str]
    template: str
    reasons: bool
    structured: bool
    retries: int
    scale: dict[str, Any]
    criteria: dict[str, Any]
    baseline: str
    of: list[str] | dict[str, float]
    fences: bool
    schema: str
    embedded: bool
    fields: list[str]
    arguments: Literal["equal", "contain", "ignore"]
    order: bool
    more: bool
    text: bool
    field: str


class GateDict(TypedDict, total=False):
    """A bound on a score; when it is broken, score and compare end with exit code 3."""

    score: Required[str]
    metric: Literal["strict", "coverage", "difference"]
    variant: str
    against: str
    min: float
    max: float
    baseline: str
    max_worse_rows: int
