"""The settings of a job, frozen: what `job/` makes of a TOML file and all other parts read.

Durations are in seconds. Texts that are templates hold Jinja2 source. No secret is ever in here: keys are named, not stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from batch.records import Api
from batch.settings.batch_api import BatchApi, BatchSettings, EngineName
from batch.settings.embedded import EmbeddedModelSettings
from batch.settings.files import FileSettings

# With `as`, the names are this module's too (PEP 484).
from batch.settings.inputs import InputFormat as InputFormat
from batch.settings.inputs import InputSettings as InputSettings
from batch.settings.notify import NotifySettings
from batch.settings.prices import Price as Price
from batch.settings.prices import TokenPrices as TokenPrices

PromptApi = Literal["chat/completions", "completions", "embeddings", "messages", "responses", "rerank", "score"]
"""The APIs for which a prompt makes requests; stored requests may be for others."""

OWN_MODEL = "*"
"""The model of a variant whose requests name their own."""

OutputFormat = Literal["jsonl", "parquet", "csv", "openai-batch"]
Durability = Literal["row", "group", "os"]
RowOrder = Literal["input", "prefix"]
Auto = Literal["auto"]
"""The value of a setting that is found out while the run goes."""

AuthHeader = Literal["bearer", "api-key", "x-api-key", "none"]
"""The header that carries the key."""

Metric = Literal["strict", "coverage", "difference"]
HttpEngine = Literal["asyncio", "httpx"]
SchemaSupport = Literal["enforced", "strict", "sent", "json_object"]
"""What an endpoint does with a JSON Schema for its answers: holds them to it; does so where strict is asked for; takes it and promises
nothing; takes none, and is asked for JSON only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSettings:
    """How a row becomes a request.

    For chat/completions, responses and messages (Anthropic's): `user` (and `system`), or `messages`: the name of a column of stored chats,
    or a tuple of messages whose strings are templates. For completions and embeddings: `text`. `tools` names a column of tool lists.
    `schema` is a JSON Schema that answers must fit: it is sent, with strict if `schema_strict`, and checked if `check_schema`.
    `function` names what made a column's texts; it decides the key of requests, not their bodies.
    `stored` says that the rows are whole requests, {custom_id, method, url, body}: then nothing else is set.
    `attached` are the files that go with the last message of the user, and how files are read. `cache` marks
    what all rows begin with for the provider's cache. `texts_per_request` is the most rows that share a request for embeddings. `query`
    and `documents` (rerank), `text_1` and `text_2` (score) are templates, or the name of a column where they insert nothing.
    """

    api: Api = "chat/completions"
    system: str | None = None
    user: str | None = None
    messages: str | tuple[Mapping[str, Any], ...] | None = None
    text: str | None = None
    tools: str | None = None
    function: str | None = None
    schema: Mapping[str, Any] | None = None
    schema_strict: bool = False
    check_schema: bool = True
    stored: bool = False
    attached: FileSettings = field(default_factory=FileSettings)
    cache: bool = False
    texts_per_request: int = 1
    query: str | tuple[str, ...] | None = None
    documents: str | tuple[str, ...] | None = None
    text_1: str | tuple[str, ...] | None = None
    text_2: str | tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """An endpoint to pace: a normalised base URL (…/v1, no trailing slash) and the name of the variable that holds its key.

    `more_urls` are those of further endpoints that serve the same models with the same key: with the first they are one pool.
    `auth` says which header carries the key. `renames` maps parameter names of the job file to the provider's own.
    `stream_usage` says whether `stream_options: {include_usage}` may be sent, `cuts_prompts` that it cuts prompts that are too long and
    says nothing. `audio_formats` are the formats of sounds that it takes, empty for all that are known, `cache_marks` the APIs
    whose messages take cache_control. `lists_all_models` is False where its list of models lacks names that work. `messages_auth` is the
    header of the key for the Messages API, where it is another; `batch` the Batch API. `embedded` is for `local`: its server fills it in.
    """

    name: str
    base_url: str
    more_urls: tuple[str, ...] = ()
    api_key_env: str | None = None
    auth: AuthHeader = "bearer"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    stream_usage: bool = True
    json_schema: SchemaSupport = "sent"
    cuts_prompts: bool = False
    lists_all_models: bool = True
    audio_formats: tuple[str, ...] = ()
    cache_marks: tuple[Api, ...] = ()
    messages_auth: AuthHeader | None = None
    batch: BatchApi | None = None
    embedded: EmbeddedModelSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One `[[model]]` entry after its sweep is expanded. `slug` is its name as a folder name, unique in the job.

    `parameters` go into the request body as they are (sweep and extra_body already merged, names not yet renamed). `price` is the one that
    the job gives; without it the price list is asked. `row_parameters` are the columns of parameters that each row has itself.
    """

    name: str
    slug: str
    provider: ProviderSettings
    model: str
    parameters: Mapping[str, Any]
    prompt: PromptSettings
    price: Price | None = None
    row_parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """PROVIDER/MODEL."""
        return f"{self.provider.name}/{self.model}"

    @property
    def rows_name_models(self) -> bool:
        """Whether rows name their models themselves."""
        return self.model == OWN_MODEL or "model" in self.row_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How the tasks are run.

    The time-outs are of one attempt, but for `task_timeout_s` (a task with all its attempts and waits, but not the outages in it),
    `outage_timeout_s` (how long an endpoint that serves nothing is waited for) and `grace_s` (what in-flight requests get on Ctrl-C).
    `flush_interval_s` is how long outcomes wait for each other where the run directory is on an object store.
    `engine` carries the run out. `processes` is how many share the rows, "auto" one for each core; all limits are of all of them together.
    `max_concurrency` bounds a concurrency of "auto"; the rates, and the `retry_share` of tasks, are of one endpoint and key.
    `max_failures` ends a session in which more rows than this failed: a number, or a share of its outcomes such as "10%" (judged from
    20 on). None ends only one whose first 20 outcomes of a model all failed for one reason that the next row would meet as well.
    `repair` is how often an answer that does not fit the prompt's schema is asked for again; None: once, where the endpoint itself does
    not promise answers that fit.
    `flex_fallback` sends a row at the standard tier once the flex tier has had its attempts; `hedge_after` sends a second request beside
    one that lasts longer than these seconds, or than this quantile of the answers so far ("p99").
    `race` names the score by which variants that can no longer win are stopped early; None stops none.
    `max_cost_usd` is for all sessions of a run together. `dedupe` sends equal requests once where their answers are equal too.
    `order` "prefix" sends rows that begin alike one after the other, and to the same endpoint of a pool.
    """

    engine: EngineName = "live"
    processes: int | Auto = 1
    concurrency: int | Auto = "auto"
    max_concurrency: int = 2000
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    attempts: int = 8
    retry_share: float = 0.5
    max_failures: int | str | None = None
    max_cost_usd: float | None = None
    repeats: int = 1
    repair: int | None = None
    race: str | None = None
    dedupe: bool = True
    order: RowOrder = "input"
    stream: bool = False
    durability: Durability = "group"
    flush_interval_s: float = 5.0
    http: HttpEngine = "asyncio"
    preflight: bool = True
    trust_env: bool = False
    connect_timeout_s: float = 10.0
    first_byte_timeout_s: float = 300.0
    idle_timeout_s: float = 60.0
    attempt_timeout_s: float = 600.0
    task_timeout_s: float = 3600.0
    outage_timeout_s: float = 600.0
    grace_s: float = 20.0
    max_reply_bytes: int = 64 * 1024 * 1024
    max_bytes_in_flight: int = 512 * 1024 * 1024
    metrics: str | None = None
    traces: str | None = None
    flex_fallback: bool = False
    hedge_after: float | str | None = None

    @property
    def most_in_flight(self) -> int:
        """The most requests that an endpoint can get at once."""
        return self.max_concurrency if self.concurrency == "auto" else self.concurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    """Where the run directory is (absolute), the format of the derived files, and the input columns to carry over.

    `names` are their names in the outputs, empty where all keep their own. `csv_guard` puts a ' before CSV formulas. `parts` is how many
    files each output has, `rows_per_part` the most rows of one.
    """

    dir: str
    format: OutputFormat = "jsonl"
    columns: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    csv_guard: bool = True
    parts: int | Auto = "auto"
    rows_per_part: int | None = None

    @property
    def carried(self) -> tuple[tuple[str, str], ...]:
        """The input column and the output name of each carried-over column."""
        return tuple(zip(self.columns, self.names or self.columns, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """The model that judges, and what it is asked. `variant` is what its requests are made of, but for messages and response format.

    `rubric` and `template` (which takes the place of all but the form of the verdict) are templates over the row's columns, `question`,
    `expected` and `completion` (pairwise: `first` and `second`). `question` is what the models were asked: a template, or a column's
    name; None: the last user message of the job's first variant. `scale` says what each step of a rating means, None: 1 to 5. `reasons`
    are asked for before the verdict. `structured` sends a JSON Schema. `baseline` is what pairs are made with, None: with each other.
    `retries` is how often an unreadable verdict is asked for again. `criteria` are rated one by one in one call. `images` are columns
    of pictures that the judge sees.
    """

    variant: Variant
    rubric: str = ""
    scale: Mapping[int, str] | None = None
    question: str | None = None
    template: str | None = None
    reasons: bool = True
    structured: bool = False
    baseline: str | None = None
    retries: int = 2
    criteria: Mapping[str, str] | None = None
    images: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """PROVIDER/MODEL of the judge."""
        return self.variant.full_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSettings:
    """One `[[score]]` entry. `name` is unique in the job, `kind` one of evaluation.scorers.KINDS, `options` that kind's own.

    `expected` is a template when it holds a "{", else a column's name. `cluster` is the column that groups rows which belong together,
    `slices` are the columns by whose values the rows are broken down. `judge` is set for the kinds that a model judges, `embedder` for
    the one for which a model embeds.
    """

    name: str
    kind: str
    expected: str | None = None
    cluster: str | None = None
    slices: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    judge: JudgeSettings | None = None
    embedder: Variant | None = None

    @property
    def asked(self) -> Variant | None:
        """The model that is asked for the marks; None for a scorer that needs none."""
        return self.judge.variant if self.judge is not None else self.embedder


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """One `[[gate]]` entry: a bound that `metric` of the score named `score` must keep, shown by its interval, not by its point.

    `variant` None means every variant (but `against`). `minimum` must not be above the interval's lower end, `maximum` not below its
    upper end. `difference` is the strict score less that of the variant `against`, or that of the same variant in `baseline`: a run
    directory, or a file that `score --save-baseline` wrote. `worse_rows` is how many rows may score lower than there.
    """

    score: str
    metric: Metric = "strict"
    variant: str | None = None
    against: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    baseline: str | None = None
    worse_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job, whole: its variants all read the same input. Scores and gates judge what was answered; they change no request."""

    name: str
    input: InputSettings
    variants: tuple[Variant, ...]
    run: RunSettings
    output: OutputSettings
    batch: BatchSettings = field(default_factory=BatchSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    scores: tuple[ScoreSettings, ...] = ()
    gates: tuple[GateSettings, ...] = ()
