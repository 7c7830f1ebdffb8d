"""The tables of a job as TypedDicts, for editors and type checkers. Made by `make docs` from the job file's schema: do not edit.

What each key means stands in docs/job-file.md. Request parameters of one provider alone go beside those of ModelDict, or into extra_body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Required, TypedDict

from batch.app.score_types import GateDict, PriceDict, ScoreDict

PromptFunction = Callable[[dict[str, Any]], Any]


class InputDict(TypedDict, total=False):
    """Where the rows are."""

    path: str | list[str]
    job: str
    run: str
    variant: str
    explode: str
    group: str
    sql: str
    id: str
    format: Literal["auto", "jsonl", "csv", "parquet", "arrow", "openai-batch"]
    delimiter: str
    encoding: str
    where: str
    sample: int
    seed: int
    limit: int


class PromptDict(TypedDict, total=False):
    """How a row becomes a request; texts are Jinja2 templates over the row's columns."""

    images: str | list[str]
    audio: str | list[str]
    files: str | list[str]
    detail: Literal["auto", "low", "high", "original"]
    max_pixels: int
    max_file_bytes: int
    files_dir: str
    api: Literal["chat/completions", "completions", "embeddings", "messages", "responses", "rerank", "score"]
    system: str
    user: str | PromptFunction
    messages: str | list[dict[str, Any]] | PromptFunction
    text: str | PromptFunction
    tools: str
    schema: str | dict[str, Any]
    schema_strict: bool
    cache: bool
    function: str
    check_schema: bool
    query: str
    documents: str | list[str]
    text_1: str | list[str]
    text_2: str | list[str]
    texts_per_request: int


class ProviderDict(TypedDict, total=False):
    """An endpoint that no preset covers, or changes to a preset."""

    preset: str
    base_url: str | list[str]
    exact_url: bool
    api_key_env: str
    auth: Literal["bearer", "api-key", "x-api-key", "none"]
    headers: dict[str, str]
    query: dict[str, str]
    renames: dict[str, str]
    options: list[str]
    json_schema: Literal["enforced", "strict", "sent", "json_object"]
    batch: Literal["files", "inline", "jobs"]
    stream_usage: bool
    model_path: str
    chat_template: str
    parallel: int
    context: int
    threads: int
    embedding: bool


class ColumnDict(TypedDict, total=False):
    """A table."""

    column: Required[str]


class ModelDict(TypedDict, total=False):
    """A model with its request parameters: a variant of its own, or several with a sweep."""

    temperature: float | ColumnDict
    top_p: float | ColumnDict
    max_tokens: int | ColumnDict
    max_completion_tokens: int | ColumnDict
    max_output_tokens: int | ColumnDict
    frequency_penalty: float | ColumnDict
    presence_penalty: float | ColumnDict
    logit_bias: dict[str, float] | ColumnDict
    logprobs: bool | int | ColumnDict
    top_logprobs: int | ColumnDict
    seed: int | ColumnDict
    stop: str | list[str] | ColumnDict
    user: str | ColumnDict
    response_format: dict[str, Any] | ColumnDict
    tools: list[dict[str, Any]] | ColumnDict
    tool_choice: str | dict[str, Any] | ColumnDict
    parallel_tool_calls: bool | ColumnDict
    reasoning_effort: str | ColumnDict
    verbosity: str | ColumnDict
    modalities: list[str] | ColumnDict
    audio: dict[str, Any] | ColumnDict
    prediction: dict[str, Any] | ColumnDict
    web_search_options: dict[str, Any] | ColumnDict
    service_tier: str | ColumnDict
    store: bool | ColumnDict
    metadata: dict[str, str] | ColumnDict
    safety_identifier: str | ColumnDict
    prompt_cache_key: str | ColumnDict
    prompt_cache_retention: str | ColumnDict
    suffix: str | ColumnDict
    echo: bool | ColumnDict
    best_of: int | ColumnDict
    dimensions: int | ColumnDict
    top_n: int | ColumnDict
    return_documents: bool | ColumnDict
    max_tokens_per_doc: int | ColumnDict
    encoding_format: Literal["float", "base64"] | ColumnDict
    id: Required[str]
    name: str
    sweep: dict[str, list[Any]]
    extra_body: dict[str, Any]
    prompt: PromptDict | PromptFunction
    price: PriceDict
    model: ColumnDict


class RunDict(TypedDict, total=False):
    """How the tasks are run."""

    processes: int | Literal["auto"]
    concurrency: int | Literal["auto"]
    max_concurrency: int
    requests_per_minute: int
    tokens_per_minute: int
    attempts: int
    retry_share: float
    max_failures: int | str
    max_cost_usd: float
    repeats: int
    repair: int
    race: bool | str
    order: Literal["input", "prefix"]
    dedupe: bool
    stream: bool
    durability: Literal["row", "group", "os"]
    flush_interval_s: float
    http: Literal["asyncio", "httpx"]
    preflight: bool
    trust_env: bool
    connect_timeout_s: float
    first_byte_timeout_s: float
    idle_timeout_s: float
    attempt_timeout_s: float
    task_timeout_s: float
    outage_timeout_s: float
    grace_s: float
    max_bytes_in_flight: int
    max_reply_bytes: int
    metrics: str
    traces: str
    flex_fallback: bool
    hedge_after: float | str
    engine: Literal["live", "ray", "batch-api"]


class OutputDict(TypedDict, total=False):
    """Where and how results are written."""

    dir: str
    format: Literal["jsonl", "parquet", "csv", "openai-batch"]
    columns: list[str]
    csv_guard: bool
    parts: int | Literal["auto"]
    rows_per_part: int


class NotifyDict(TypedDict, total=False):
    """Who hears of the run's end, of a stop, and of the half of its budget."""

    webhook: str
    command: str


class BatchDict(TypedDict, total=False):
    """How a provider's Batch API is used (engine = "batch-api")."""

    window: str
    max_requests: int
    poll_s: float
    max_wait: str
    rest: Literal["live", "batch", "leave"]
    keep_files: bool
    webhook: str
    webhook_secret_env: str


class JobDict(TypedDict, total=False):
    """A promptmill job: which rows go to which models, and where the answers are written."""

    name: str
    extends: str
    input: Required[InputDict]
    prompt: PromptDict | PromptFunction
    provider: dict[str, ProviderDict]
    model: Required[list[ModelDict]]
    run: RunDict
    output: OutputDict
    notify: NotifyDict
    batch: BatchDict
    score: list[ScoreDict]
    gate: list[GateDict]
