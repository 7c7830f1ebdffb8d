"""Write the requests of a job as input files for a Batch API: {custom_id, method, url, body} lines. Nothing is sent.

OpenAI takes requests to one model in a file, at most 50,000 of them and 200 MB, and no custom_id twice: so each variant has files of its
own, a full one is followed by the next, and repeats have custom_ids of their own.
Source: https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import orjson

from batch.errors import RowError, StorageError
from batch.journal.disk import refusal
from batch.prompts import RequestBuilder
from batch.readers import Dataset
from batch.records import BadRow, Row
from batch.settings import Job
from batch.storage import replace_atomically

MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
_SHOWN = 3


@dataclass(slots=True)
class WrittenRequests:
    """What was written. `unsendable` counts tasks that cannot become requests; `examples` gives the first reasons."""

    paths: list[Path | str]
    requests: int = 0
    unsendable: int = 0
    examples: tuple[str, ...] = ()


def write_requests(job: Job, dataset: Dataset, folder: Path) -> WrittenRequests:
    """Write what the job would send into `folder`, whole files each; parts of an earlier export that are no longer needed go.

    Raises:
        InputError: the input cannot be read.
        StorageError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(refusal(error, folder)) from error
    written = WrittenRequests([])
    for variant in job.variants:
        stem = "batch-input" if len(job.variants) == 1 else f"batch-input.{variant.slug}"
        lines = _lines(job, dataset, RequestBuilder(variant, stream=False), written)
        part = 0
        for first in lines:
            part += 1
            path = _part(folder, stem, part)
            with replace_atomically(path) as file:
                left, size = MAX_REQUESTS, 0
                for line in chain([first], lines):
                    file.write(line)
                    left, size = left - 1, size + len(line)
                    if not left or size + len(line) > MAX_BYTES:
                        break
            written.paths.append(path)
        while (stale := _part(folder, stem, part := part + 1)).exists():
            stale.unlink()
    return written


def _part(folder: Path, stem: str, number: int) -> Path:
    return folder / (f"{stem}.jsonl" if number <= 1 else f"{stem}-{number}.jsonl")


def _lines(job: Job, dataset: Dataset, builder: RequestBuilder, written: WrittenRequests) -> Iterator[bytes]:
    for rows in dataset.batches():
        for row in rows:
            problem, line = _line(builder, row)
            if line is None:
                written.unsendable += job.run.repeats
                if problem is not None and len(written.examples) < _SHOWN:
                    written.examples += (problem,)
                continue
            for repeat in range(job.run.repeats):
                written.requests += 1
                yield b'{"custom_id":%s,%s' % (orjson.dumps(row.id if repeat == 0 else f"{row.id} (repeat {repeat})"), line)


def _line(builder: RequestBuilder, row: Row | BadRow) -> tuple[str | None, bytes | None]:
    """Return why the row cannot be sent, or its line after the custom_id."""
    if isinstance(row, BadRow):
        return row.message, None
    try:
        request = builder.build(row)
    except RowError as error:
        return str(error), None
    return None, b'"method":"POST","url":"/v1/%s","body":%s}\n' % (request.api.encode(), request.body)
