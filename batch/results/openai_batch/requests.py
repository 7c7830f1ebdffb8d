"""Write the requests of a job as input files for a Batch API: {custom_id, method, url, body} lines. Nothing is sent.

OpenAI takes requests to one endpoint and one model in a file, at most 50,000 of them, 50,000 inputs of embeddings and 200 MB, and no
custom_id twice: so each variant, and each endpoint and model that its rows name, has its own files, a full one is followed by the next, and
repeats have their own custom_ids.
Source: https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import orjson

from batch.errors import RowError, StorageError
from batch.journal.disk import refusal
from batch.prompts import RequestBuilder
from batch.providers.batch_apis import MAX_INPUTS, OPENAI, inputs_of
from batch.readers import Dataset
from batch.readers.builders import request_builder
from batch.records import BadRow, Request, Row
from batch.settings import Job, Variant
from batch.storage import replace_atomically

MAX_REQUESTS = OPENAI.max_requests
MAX_BYTES = OPENAI.max_bytes
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
        files: dict[str, _Parts] = {}
        with ExitStack() as stack:
            for line in _lines(job, dataset, variant, written):
                if line.group not in files:
                    files[line.group] = stack.enter_context(_Parts(folder, f"{stem}.{line.group}" if line.group else stem))
                files[line.group].write(line)
        for parts in files.values():
            # Only a file of several endpoints and models needs their names.
            written.paths += parts.renamed(stem) if len(files) == 1 else parts.paths
            parts.remove_stale()
        if len(files) > 1:
            _Parts(folder, stem).remove_stale()
    return written


@dataclass(frozen=True, slots=True)
class _Line:
    """A request as a line; `group` names its endpoint and model in a file name, `inputs` counts what it embeds."""

    text: bytes
    group: str
    inputs: int


class _Parts(AbstractContextManager["_Parts"]):
    """The files of one endpoint and model: a full one is closed and the next begun."""

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder = folder
        self._stem = stem
        self.paths: list[Path] = []
        self._file: AbstractContextManager[BinaryIO] | None = None
        self._write: Callable[[bytes], object] | None = None
        self._requests = self._inputs = self._bytes = 0

    def write(self, line: _Line) -> None:
        """Append a request. Raises StorageError."""
        full = self._requests + 1 > MAX_REQUESTS or self._inputs + line.inputs > MAX_INPUTS or self._bytes + len(line.text) > MAX_BYTES
        if self._write is None or full:
            self.__exit__(None, None, None)
            path = _part(self._folder, self._stem, len(self.paths) + 1)
            self._file = replace_atomically(path)
            self._write = self._file.__enter__().write
            self.paths.append(path)
            self._requests = self._inputs = self._bytes = 0
        self._write(line.text)
        self._requests, self._inputs, self._bytes = self._requests + 1, self._inputs + line.inputs, self._bytes + len(line.text)

    def renamed(self, stem: str) -> list[Path]:
        """Rename the written files to `stem`. Raises StorageError."""
        paths = [_part(self._folder, stem, number) for number in range(1, len(self.paths) + 1)]
        try:
            for path, target in zip(self.paths, paths, strict=True):
                path.replace(target)
        except OSError as error:
            raise StorageError(refusal(error, self._folder)) from error
        self.paths, self._stem = paths, stem
        return paths

    def remove_stale(self) -> None:
        """Remove the parts of an earlier export that are no longer needed."""
        part = len(self.paths)
        while (stale := _part(self._folder, self._stem, part := part + 1)).exists():
            stale.unlink()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        file, self._file, self._write = self._file, None, None
        if file is not None:
            file.__exit__(kind, error, traceback)


def _part(folder: Path, stem: str, number: int) -> Path:
    return folder / (f"{stem}.jsonl" if number <= 1 else f"{stem}-{number}.jsonl")


def _lines(job: Job, dataset: Dataset, variant: Variant, written: WrittenRequests) -> Iterator[_Line]:
    builder = request_builder(variant, stream=False)
    for rows in dataset.batches():
        for row in rows:
            problem, request = _request(builder, row)
            if request is None:
                written.unsendable += job.run.repeats
                if problem is not None and len(written.examples) < _SHOWN:
                    written.examples += (problem,)
                continue
            group, inputs = _group_and_inputs(request, stored=variant.prompt.stored)
            for repeat in range(job.run.repeats):
                written.requests += 1
                custom_id = orjson.dumps(row.id if repeat == 0 else f"{row.id} (repeat {repeat})")
                text = b'{"custom_id":%s,"method":"POST","url":"/v1/%s","body":%s}\n' % (custom_id, request.api.encode(), request.body)
                yield _Line(text, group, inputs)


def _group_and_inputs(request: Request, *, stored: bool) -> tuple[str, int]:
    """Return a name for the endpoint and model of a stored request, and how many inputs a request embeds."""
    if not stored and request.api != "embeddings":
        return "", 0
    body = orjson.loads(request.body)
    inputs = inputs_of(body) if request.api == "embeddings" else 0
    return (_file_name(f"{request.api} {body.get('model')}") if stored else ""), inputs


def _file_name(text: str) -> str:
    """Return a form of `text` for file names; a hash distinguishes texts of the same form."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80]
    exact = slug == text.replace(" ", "-", 1).replace("chat/", "chat-", 1)
    return slug if exact else f"{slug}-{blake2b(text.encode(errors='surrogatepass'), digest_size=4).hexdigest()}"


def _request(builder: RequestBuilder, row: Row | BadRow) -> tuple[str | None, Request | None]:
    """Return why the row cannot be sent, or its request."""
    if isinstance(row, BadRow):
        return row.message, None
    try:
        return None, builder.build(row)
    except RowError as error:
        return str(error), None
