"""The shape of a job file, as pydantic models; the JSON Schema for editors comes from them too.

Values are checked here one by one. Checks that need two settings (templates, providers, names) are in prompts.py, endpoints.py and
variants.py.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from batch.job.batch_model import BatchSection
from batch.job.file_model import FilesSection
from batch.job.input_model import InputSection
from batch.job.notify_model import NotifySection
from batch.job.parameters_model import Parameters
from batch.job.patience_model import FLEX_FALLBACK, HEDGE_AFTER, HedgeAfter, seconds
from batch.job.score_model import AnyScore, GateSection
from batch.job.section import Absent, NotNegative, PriceSection, Seconds, Section, Text, Whole
from batch.settings import (
    AuthHeader,
    Auto,
    Durability,
    HttpEngine,
    OutputFormat,
    PromptApi,
    PromptSettings,
    RowOrder,
    RunSettings,
    SchemaSupport,
)
from batch.settings.batch_api import BatchFamily, EngineName
from batch.settings.embedded import EmbeddedModelSettings

_RUN = RunSettings()
_PROMPT = PromptSettings()
_Texts = str | Annotated[list[str], Field(min_length=1)] | Absent
_EMBEDDED = EmbeddedModelSettings()
_METRICS = r"^(\S*:\d{1,5}|.+\.prom)$"


class PromptSection(FilesSection):
    """How a row becomes a request; texts are Jinja2 templates over the row's columns."""

    api: PromptApi = Field(default="chat/completions", description="Which API is called.")
    system: str | Absent = Field(default=None, description="The system message, a template. Goes with user.")
    user: str | Absent = Field(default=None, description="The user message, a template such as {{ question }}.")
    messages: Text | Annotated[list[dict[str, Any]], Field(min_length=1)] | Absent = Field(
        default=None,
        description="Whole chats: the name of a column that holds them, or a list of {role, content} tables whose texts are templates.",
    )
    text: str | Absent = Field(default=None, description="The text to complete or to embed, a template. For completions and embeddings.")
    tools: Text | Absent = Field(default=None, description="The column with each row's list of tools.")
    schema_: Text | dict[str, Any] | Absent = Field(
        alias="schema",
        default=None,
        description="A JSON Schema that answers must fit, or the file with it, relative to this one: sent as response_format, and checked.",
    )
    schema_strict: bool | Absent = Field(
        default=None,
        description="Whether strict = true goes with the schema.  [default: where the schema is in the form that OpenAI demands for it]",
    )
    cache: bool = Field(
        default=False,
        description="Whether what all rows begin with is marked for the provider's cache (cache_control: Anthropic, OpenRouter).",
    )
    function: Text | Absent = Field(
        default=None,
        description="What made the texts in a column, such as a function and its version: another name makes other requests of the same"
        " texts. Set by batch.run for a prompt that is a function.",
    )
    check_schema: bool = Field(default=True, description="Whether answers are checked against the schema as they come.")
    query: str | Absent = Field(default=None, description="For rerank: what documents are ranked by, a template or a column's name.")
    documents: _Texts = Field(default=None, description="For rerank: the column with each row's list of documents, or templates of them.")
    text_1: _Texts = Field(default=None, description="For score: a template, a column's name, or templates.")
    text_2: _Texts = Field(default=None, description="For score: what is scored against text_1, given in the same ways.")
    texts_per_request: Annotated[int, Field(ge=1, le=2048)] = Field(
        default=_PROMPT.texts_per_request,
        description="The most rows that share a request for embeddings. If one fails, each of its rows is tried alone.",
    )


class ProviderSection(Section):
    """An endpoint that no preset covers, or changes to a preset."""

    preset: Text | Absent = Field(default=None, description="The preset to build on; by default the one of the same name, if there is one.")
    base_url: Text | Annotated[list[Text], Field(min_length=1)] | Absent = Field(
        default=None,
        description="The URL that /chat/completions is joined to, with or without /v1, or unix: and the absolute path of a socket; may hold"
        " ${VAR}. A list is a pool of endpoints.",
    )
    exact_url: bool = Field(default=False, description="Whether base_url is meant as it is, with no version in its path.")
    api_key_env: Text | Absent = Field(default=None, description="The name of the environment variable that holds the key.")
    auth: AuthHeader | Absent = Field(default=None, description="Which header carries the key.")
    headers: dict[str, str] = Field(
        default_factory=dict, description="Extra headers. A secret among them stands as ${VAR}; the key goes by api_key_env."
    )
    query: dict[str, str] = Field(default_factory=dict, description="Query parameters of each request. May hold ${VAR}.")
    renames: dict[str, str] = Field(default_factory=dict, description="Request parameters that this provider calls by another name.")
    options: list[Text] = Field(
        default_factory=list, description="Names of request parameters that this provider takes beyond the common ones."
    )
    json_schema: SchemaSupport | Absent = Field(
        default=None,
        description="What the endpoint does with prompt.schema: holds answers to it (enforced), does so with strict (strict), promises"
        " nothing (sent, the default without a preset), or takes none, so that only JSON is asked for (json_object).",
    )
    batch: BatchFamily | Absent = Field(
        default=None,
        description="The kind of its Batch API: files (as OpenAI's), inline, or jobs (as Mistral's).  [default: the preset's]",
    )
    stream_usage: bool | Absent = Field(default=None, description="Whether stream_options = {include_usage = true} may be sent.")
    model_path: Text | Absent = Field(default=None, description="Only for local: a GGUF file, relative to this file.")
    chat_template: Text | Absent = Field(
        default=None,
        description="Only for local: a Jinja file that makes a prompt of a chat, relative to this file. [default: the one in the weights]",
    )
    parallel: Annotated[int, Field(ge=1, le=256)] = Field(
        default=_EMBEDDED.parallel, description="Only for local: rows answered at the same time."
    )
    context: Annotated[int, Field(ge=16)] = Field(
        default=_EMBEDDED.context, description="Only for local: tokens of context for each of them."
    )
    threads: Whole | Absent = Field(default=None, description="Only for local: CPU threads.")
    embedding: bool = Field(default=_EMBEDDED.embedding, description="Only for local: serve embeddings instead of answers.")


class ModelSection(Parameters):
    """A model with its request parameters: a variant of its own, or several with a sweep."""

    id: Text = Field(
        description="PROVIDER/MODEL; the model part may hold slashes, as in anyscale/mistralai/Mistral-7B-Instruct-v0.1. PROVIDER/* where"
        " each request names its own (openai-batch)."
    )
    name: Text | Absent = Field(default=None, description="The variant's name in results and folders; by default the id.")
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default_factory=dict, description="A grid: a list of values for each parameter; each combination is a variant."
    )
    extra_body: dict[str, Any] = Field(default_factory=dict, description="Sent in the request body as it is, unchecked.")
    prompt: PromptSection | Absent = Field(default=None, description="What this model's prompt changes in [prompt].")
    price: PriceSection | Absent = Field(
        default=None,
        description="US dollars for a million tokens: {input = 0.25, output = 2.0}. [default: the list price, where it is known]",
    )


class RunSection(Section):
    """How the tasks are run."""

    processes: Annotated[int, Field(ge=1, le=1024)] | Auto = Field(
        default=_RUN.processes,
        description='Worker processes that share the rows; "auto" is one for each core. Limits apply to all processes together.',
    )
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | Auto = Field(
        default=_RUN.concurrency, description='Requests in flight at the same time; "auto" adapts to what the endpoint can take.'
    )
    max_concurrency: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=_RUN.max_concurrency, description='The most requests in flight under concurrency = "auto".'
    )
    requests_per_minute: Whole | Absent = Field(
        default=_RUN.requests_per_minute, description="The most requests sent to an endpoint in a minute, spread evenly."
    )
    tokens_per_minute: Whole | Absent = Field(
        default=_RUN.tokens_per_minute,
        description="The most tokens sent to and got from an endpoint in a minute: estimated before, corrected by usage.",
    )
    attempts: Annotated[int, Field(ge=1, le=100)] = Field(default=_RUN.attempts, description="The most attempts that a task gets.")
    retry_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=_RUN.retry_share,
        description="The share of an endpoint's tasks that may need another attempt, beyond a floor of 20 or twice the concurrency. The run"
        " stops where more do; 1 never stops it.",
    )
    max_failures: Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$", examples=["10%"])] | Absent = Field(
        default=_RUN.max_failures,
        description='Stop when more rows than this failed: a number, or a share such as "10%". Without it a run stops only when the'
        ' first 20 rows of a model all fail for the same reason; "100%" never stops.',
    )
    max_cost_usd: Annotated[float, Field(gt=0)] | Absent = Field(
        default=_RUN.max_cost_usd,
        description="The most US dollars that the run may cost, all its sessions together. A request's highest possible cost is reserved"
        " before it is sent. Needs prices for all models.",
    )
    repeats: Annotated[int, Field(ge=1, le=10_000)] = Field(default=_RUN.repeats, description="How often each row is sent to each model.")
    repair: Annotated[int, Field(ge=0, le=10)] | Absent = Field(
        default=_RUN.repair,
        description="How often to ask again for an answer that does not fit prompt.schema, naming the mistake."
        "  [default: 1, and 0 where the endpoint itself promises answers that fit]",
    )
    race: bool | Text | Absent = Field(
        default=_RUN.race,
        description="Stop models early that can no longer win, by the [[score]] of this name, or by the first one that needs no judge"
        " (true). Their other rows are not sent. Only with processes = 1.",
    )
    order: RowOrder = Field(
        default=_RUN.order,
        description='In which order rows are sent; "prefix": those that begin alike one after the other, and to one endpoint of a pool:'
        " servers reuse what they computed. Outputs are in the order of the input in any case.",
    )
    dedupe: bool = Field(
        default=_RUN.dedupe,
        description="Send equal requests once, and give all their rows the one answer; only at temperature = 0 or for embeddings,"
        " without repeats, and in one process.",
    )
    stream: bool = Field(
        default=_RUN.stream, description="Stream the answers: adds the time to the first token, and answers cut short are seen."
    )
    durability: Durability = Field(
        default=_RUN.durability, description="When outcomes are synced to disk: each row, every half second, or when the system likes."
    )
    flush_interval_s: Seconds = Field(
        default=_RUN.flush_interval_s,
        description="Seconds between writes where the run directory is on an object store: one object is put for"
        " all outcomes of that time, sooner at 8 MiB.",
    )
    http: HttpEngine = Field(
        default=_RUN.http,
        description="The HTTP engine: promptmill's own, or httpx, which has HTTP/2 and SOCKS proxies where these extras are installed.",
    )
    preflight: bool = Field(default=_RUN.preflight, description="Whether to list the endpoint's models before anything is sent.")
    trust_env: bool = Field(default=_RUN.trust_env, description="Whether to use HTTP_PROXY, HTTPS_PROXY and NO_PROXY.")
    connect_timeout_s: Seconds = Field(default=_RUN.connect_timeout_s, description="Seconds to connect.")
    first_byte_timeout_s: Seconds = seconds("first_byte_timeout_s", "Seconds until an answer begins.")
    idle_timeout_s: Seconds = Field(default=_RUN.idle_timeout_s, description="Seconds without data within an answer.")
    attempt_timeout_s: Seconds = seconds("attempt_timeout_s", "Seconds for one attempt.")
    task_timeout_s: Seconds = seconds("task_timeout_s", "Seconds for a task with all its attempts and waits.")
    outage_timeout_s: Seconds = seconds("outage_timeout_s", "Seconds to wait for an endpoint that serves nothing.")
    grace_s: NotNegative = Field(default=_RUN.grace_s, description="Seconds that requests in flight get when the run is interrupted.")
    max_bytes_in_flight: Annotated[int, Field(ge=1024)] = Field(
        default=_RUN.max_bytes_in_flight,
        description="The most bytes of requests in flight, which are in memory: fewer are sent at a time where they are large (pictures).",
    )
    max_reply_bytes: Annotated[int, Field(ge=1024)] = Field(default=_RUN.max_reply_bytes, description="The longest reply that is read.")
    metrics: Annotated[str, Field(pattern=_METRICS, examples=["127.0.0.1:9464", "run.prom"])] | Absent = Field(
        default=_RUN.metrics,
        description='Where Prometheus finds the counts: "127.0.0.1:9464", or a text file for node_exporter, "/var/lib/…/run.prom".',
    )
    traces: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$", examples=["http://127.0.0.1:4318"])] | Absent = Field(
        default=_RUN.traces,
        description="The OpenTelemetry collector that gets a span for each attempt, by OTLP over HTTP; without /v1/traces.",
    )
    flex_fallback: bool = FLEX_FALLBACK
    hedge_after: HedgeAfter | Absent = HEDGE_AFTER
    engine: EngineName = Field(default=_RUN.engine, description="What carries the run out; as --engine, which overrides it.")


class OutputSection(Section):
    """Where and how results are written."""

    dir: Text | Absent = Field(
        default=None, description="The run directory, relative to the job file; by default runs/NAME. May hold ${VAR}."
    )
    format: OutputFormat = Field(
        default="jsonl", description="The format of completions and errors; openai-batch is that of OpenAI's Batch API."
    )
    columns: list[Text] = Field(
        default_factory=list, description='Input columns that are carried over, unchanged; "id as my_id" carries one under another name.'
    )
    csv_guard: bool = Field(
        default=True, description="Whether CSV text that a spreadsheet would run as a formula gets a ' before it; never a number or an id."
    )
    parts: Annotated[int, Field(ge=1, le=100_000)] | Auto = Field(
        default="auto", description='How many files completions and errors have each; "auto" is one up to 100,000 answers, then some 40.'
    )
    rows_per_part: Annotated[int, Field(ge=1)] | Absent = Field(default=None, description="The most rows of such a file, instead of parts.")


class JobFile(Section):
    """A promptmill job: which rows go to which models, and where the answers are written."""

    name: Text | Absent = Field(default=None, description="The job's name; by default the file's name without .toml.")
    extends: Text | Absent = Field(default=None, description="Another job file that this one builds on, relative to this one.")
    input: InputSection
    prompt: PromptSection | Absent = None
    provider: dict[str, ProviderSection] = Field(default_factory=dict, description="Endpoints by name; only needed where no preset serves.")
    model: list[ModelSection] = Field(min_length=1, description="The models; each is a variant of its own.")
    run: RunSection = Field(default_factory=RunSection, description="How the tasks are run.")
    output: OutputSection = Field(default_factory=OutputSection, description="Where and how results are written.")
    notify: NotifySection = Field(
        default_factory=NotifySection, description="Who hears of the run's end, of a stop, and of the half of its budget."
    )
    batch: BatchSection = Field(default_factory=BatchSection, description='How a provider\'s Batch API is used (engine = "batch-api").')
    score: list[AnyScore] = Field(default_factory=list, description="How the answers are judged; changes no request.")
    gate: list[GateSection] = Field(
        default_factory=list, description="Bounds on scores: score and compare end with exit code 3 when one is broken."
    )
