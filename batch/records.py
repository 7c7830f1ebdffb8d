"""The data that flows through a run: row → request → task → exchange → outcome.

Every stage knows these records and not the other stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Literal, Self

from batch.media import Media
from batch.record_class import record_class

Api = Literal["chat/completions", "completions", "embeddings", "responses", "moderations", "messages", "rerank", "score"]
STREAMED: frozenset[Api] = frozenset({"chat/completions", "completions", "messages", "responses"})
"""The APIs whose answers can be streamed here."""
CHATS: frozenset[Api] = frozenset({"chat/completions", "messages", "responses"})
"""The APIs that take a chat: messages with roles."""
SCORING: frozenset[Api] = frozenset({"rerank", "score"})
"""The APIs that score texts against another text."""
ANSWERLESS: frozenset[Api] = frozenset({"embeddings", "moderations", "rerank", "score"})
"""The APIs that generate no text: their answers have no tokens."""


class InputFile(str):
    """A file's path, with the `label` that errors show: its name, with folders where another file has the same name.

    `partitions` are the columns that its folders name (year=2026/…). Files that rows name are relative to `folder`, None: to its own.
    """

    __slots__ = ("folder", "label", "partitions")
    label: str
    partitions: Mapping[str, str | None]
    folder: str | None

    def __new__(cls, path: str, label: str, partitions: Mapping[str, str | None] | None = None, folder: str | None = None) -> Self:
        """Label a path."""
        file = super().__new__(cls, path)
        file.label, file.partitions, file.folder = label, partitions or {}, folder
        return file

    def __reduce__(self) -> tuple[type[InputFile], tuple[str, str, Mapping[str, str | None], str | None]]:
        return InputFile, (str(self), self.label, self.partitions, self.folder)


def place(file: str, line: int) -> str:
    """Format where a record is, for messages: `countries.jsonl:17`."""
    if isinstance(file, InputFile):
        return f"{file.label}:{line}"
    # An object's address may have options, which hold addresses in their turn.
    return f"{PurePath(file.partition('?')[0] if '://' in file else file).name}:{line}"


@record_class(frozen=True, slots=True)
class Row:
    """One input record.

    `ordinal` is its place in the whole input from 0; `id` the user's key as text, or the ordinal.
    `file` and `line` (from 1; for Parquet the row's number in its file) are where it was read.
    `padded` is True for Parquet, where a struct's absent field is stored as null.
    """

    ordinal: int
    id: str
    columns: Mapping[str, Any]
    file: str
    line: int
    padded: bool = False


@dataclass(frozen=True, slots=True)
class BadRow:
    """An input record that cannot be read; it takes an ordinal and becomes an error of kind input.

    `digest` is the 16-byte hash of the raw record, so that a corrected line counts as a new one. `message` begins with the place.
    `id` is its place and ordinal where the job names an id column, else the ordinal. `code` is bad_row or bad_id.
    """

    ordinal: int
    id: str
    message: str
    file: str
    line: int
    digest: bytes
    code: str = "bad_row"


@dataclass(frozen=True, slots=True)
class InputOffset:
    """Where in the input the row `ordinal` stands, so that reading can begin there.

    `file` is its place among the files, `record` and `line` count the file's records and lines before it. `offset` is where the
    format begins to read: a byte (JSONL), a row group (Parquet); its first record is `record`.
    """

    ordinal: int
    file: int = 0
    record: int = 0
    line: int = 0
    offset: int = 0


@record_class(frozen=True, slots=True)
class Request:
    """The JSON body that is sent for a task.

    `key` is a 16-byte hash of everything that decides the answer: provider, API, model, body (but not whether it is streamed).
    `media` are the files that were put into the body, None where there are none, or the row has them as messages.
    """

    api: Api
    body: bytes
    key: bytes
    media: Media | None = None


@record_class(frozen=True, slots=True)
class Task:
    """(row, variant, repeat): the unit that is sent, retried and journaled."""

    ordinal: int
    id: str
    variant: str
    repeat: int
    request: Request


class ErrorKind(StrEnum):
    """Whose fault a failed outcome is."""

    NETWORK = "network"
    API = "api"
    PROTOCOL = "protocol"
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why a task failed: `code` is promptmill's own stable name (see errors.py), `message` is for the user and redacted."""

    kind: ErrorKind
    code: str
    message: str
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class ReplyError:
    """The error object that an endpoint put into a body, whatever its envelope.

    `answer` is the text that the model generated and the endpoint refused to give as an answer (Groq: failed_generation).
    """

    message: str
    code: str | None = None
    type: str | None = None
    status: int | None = None
    answer: str | None = None


@record_class(frozen=True, slots=True)
class Reply:
    """A reply body of the OpenAI protocol, read.

    `usage` is the endpoint's own object (of the responses API also under a chat's names). `embedding` is set for the
    embeddings API only, `scores` by index for those that score texts.
    `error` is set when the body is an error object, also inside a 200. `refusal` is what OpenAI's models say instead of an answer that
    would fit a schema. `finish_reason` is the protocol's own word where the endpoint's dialect has another (providers/endings.py).
    `answers` counts the answers or vectors in the reply, of which this is the first. `doubted` says what of the endpoint's usage cannot
    be, and was omitted. `tier` is the service tier that answered, by the endpoint's own word.
    """

    text: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    reasoning: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    embedding: list[float] | None = None
    scores: list[float | None] | None = None
    model: str | None = None
    error: ReplyError | None = None
    refusal: str | None = None
    answers: int = 1
    doubted: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong on the wire: `code` is a name of the network or protocol family in errors.py.

    `sent` is False only when it is certain that the endpoint never got the request (so no double billing is possible).
    `answered` is True when the endpoint gave its answer whole, in a form that cannot be read: the next one may be paid for in vain too.
    `bug` is the traceback, without data, of an exception that was not expected.
    """

    kind: ErrorKind
    code: str
    message: str
    sent: bool = True
    answered: bool = False
    bug: str | None = None


@record_class(frozen=True, slots=True)
class Exchange:
    """How one attempt ended, as seen on the wire. Times are monotonic seconds.

    `status` is None when no status line came. `headers` has lower-case names. `body` is the whole reply, or a sample of it when
    it cannot be read; a stream is reassembled into the body that the plain reply would have had.
    `reply` is None when there is no body that can be read. `fault` may stand beside a status (a body cut short).
    """

    status: int | None
    headers: Mapping[str, str]
    body: bytes
    reply: Reply | None
    fault: Fault | None
    sent_at: float
    first_token_at: float | None
    done_at: float


@record_class(frozen=True, slots=True)
class Outcome:
    """A task's final record. Times are seconds since the epoch; `response` is the reply body, verbatim JSON.

    `doubled` counts attempts that were repeated although the endpoint may have answered and billed them. An answer that does not fit the
    job's schema is kept in `response` too, beside its error; `usage` is of all answers that the task got. `cost_usd` is for all attempts
    whose usage is known, `extra_usd` the most that the others may have cost.
    `tier` is the service tier that answered, where the endpoint names it or the row was sent at another one than it asked for.
    `copy_of` is the row whose equal request was sent instead. `answer` is (first byte, length) of the completion within `response`, as JSON
    text, where a completion line shows nothing else of the reply.
    """

    ordinal: int
    id: str
    repeat: int
    key: bytes
    attempts: int
    error: ErrorInfo | None = None
    api: Api | None = None
    finish_reason: str | None = None
    http_status: int | None = None
    sent: float | None = None
    first_token: float | None = None
    done: float | None = None
    usage: Mapping[str, Any] | None = None
    cost_usd: float | None = None
    response: bytes | None = None
    doubled: int = 0
    extra_usd: float = 0.0
    copy_of: int | None = None
    answer: tuple[int, int] | None = None
    tier: str | None = None

    @property
    def ok(self) -> bool:
        """Whether this is a completion."""
        return self.error is None


@record_class(frozen=True, slots=True)
class Chunk:
    """One event of a streamed answer: what it adds. `tool_calls` are the raw deltas; empty strings mean nothing was added."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer, as `Endpoint.complete()` gives it. `response` is the endpoint's own JSON object."""

    text: str | None
    tool_calls: list[dict[str, Any]] | None
    reasoning: str | None
    finish_reason: str | None
    usage: Mapping[str, Any] | None
    embedding: list[float] | None
    response: dict[str, Any]
    attempts: int
    latency_s: float
    first_token_s: float | None


@dataclass(frozen=True, slots=True)
class BeatenVariant:
    """A variant that a race stopped: which one beat it, after how many rows, with which wealth against it (1/wealth bounds its p)."""

    variant: str
    beaten_by: str
    after_rows: int
    wealth: float
