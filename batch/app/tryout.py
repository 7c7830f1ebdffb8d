"""`try`: send and stream one row of a job; nothing is journaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import anyio

from batch.clock import SystemClock
from batch.engine import endpoints
from batch.errors import InputError, JobError, Problem
from batch.job import LoadedJob
from batch.policy.redaction import RedactedStream, Redactor
from batch.policy.verdicts import judge
from batch.prompts import AnswerSchema
from batch.prompts.schemas import fault_of
from batch.readers import Dataset
from batch.readers.builders import request_builder
from batch.records import BadRow, Chunk, ErrorInfo, Exchange, Row, Task
from batch.settings import Variant


@dataclass(frozen=True, slots=True)
class TryResult:
    """The result of one row; `error` is None for an answer."""

    task: Task
    row: Row
    exchange: Exchange
    error: ErrorInfo | None


def try_row(
    loaded: LoadedJob,
    ordinal: int,
    on_request: Callable[[Task], None],
    on_chunk: Callable[[Chunk], None],
    *,
    variant: str | None = None,
) -> TryResult:
    """Send one row of the job, streamed, to its first variant or the one named. Raises as `run` does, and RowError."""
    row = _row(Dataset(loaded.job.input), ordinal)
    return anyio.run(partial(_try, loaded, _variant(loaded, variant), row, on_request, on_chunk))


async def _try(
    loaded: LoadedJob, variant: Variant, row: Row, on_request: Callable[[Task], None], on_chunk: Callable[[Chunk], None]
) -> TryResult:
    settings = replace(loaded.job.run, stream=True, concurrency=1)
    task = Task(row.ordinal, row.id, variant.name, 0, request_builder(variant, stream=True).build(row))
    on_request(task)
    keys = endpoints.read_keys([variant])
    clock = SystemClock()
    async with endpoints.started([variant]) as (ready,), endpoints.clients([[ready.provider]], keys, settings, clock) as ((client,),):
        if settings.preflight:
            await endpoints.check_models(client, [ready], lambda _: None)
        show = _Redacted(client.redactor, on_chunk)
        exchange = await client.exchange(task.request, show.chunk)
        show.close()
    return TryResult(task, row, exchange, judge(exchange, clock.wall()).error or _misfit(variant, exchange))


def _misfit(variant: Variant, exchange: Exchange) -> ErrorInfo | None:
    """Check the answer against the prompt's schema; None when it fits."""
    schema = variant.prompt.schema if variant.prompt.check_schema else None
    return None if schema is None or exchange.reply is None else fault_of(AnswerSchema(schema), exchange.reply)


class _Redacted:
    """Passes on chunks without the secrets, which an endpoint may spread over several chunks."""

    def __init__(self, redactor: Redactor, on_chunk: Callable[[Chunk], None]) -> None:
        self._text, self._reasoning = RedactedStream(redactor), RedactedStream(redactor)
        self._on_chunk = on_chunk

    def chunk(self, chunk: Chunk) -> None:
        self._on_chunk(replace(chunk, text=self._text.feed(chunk.text), reasoning=self._reasoning.feed(chunk.reasoning)))

    def close(self) -> None:
        rest = Chunk(text=self._text.close(), reasoning=self._reasoning.close())
        if rest != Chunk():
            self._on_chunk(rest)


def _variant(loaded: LoadedJob, name: str | None) -> Variant:
    variants = {variant.name: variant for variant in loaded.job.variants}
    if name is None:
        return loaded.job.variants[0]
    if name not in variants:
        raise JobError([Problem(loaded.source, "variant", f"there is no {name!r}", "there are: " + ", ".join(variants))])
    return variants[name]


def _row(dataset: Dataset, ordinal: int) -> Row:
    seen = 0
    for batch in dataset.batches():
        if ordinal < seen + len(batch):
            row = batch[ordinal - seen]
            if isinstance(row, BadRow):
                raise InputError(f"{row.file}:{row.line}: {row.message}")
            return row
        seen += len(batch)
    raise InputError(f"there is no row {ordinal}: the input has {seen:,} rows, counted from 0")
