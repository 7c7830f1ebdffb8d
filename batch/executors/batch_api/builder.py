"""Divides work into batches within the limits of its provider: one API and one model each, and bounds on requests, inputs and bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO

import orjson

from batch.executors.batch_api.shard_files import ShardFiles, TaskEntry
from batch.executors.batch_api.submissions import Submission, Submissions
from batch.journal.disk import storage_errors
from batch.providers.batch_apis import MAX_INPUTS, inputs_of
from batch.records import Request
from batch.settings import OWN_MODEL, Variant
from batch.settings.batch_api import BatchApi
from batch.storage import open_regular, sync_directory


@dataclass(slots=True)
class _Growing:
    """A batch that still gets requests."""

    submission: Submission
    requests: BinaryIO
    tasks: BinaryIO
    hash: Any = field(default_factory=lambda: blake2b(digest_size=16))
    inputs: int = 0


class ShardBuilder:
    """Writes the batches of one endpoint; `finish` gives those that have all their requests to `done`.

    `max_requests` may be lowered while it works: when the provider's limit of enqueued tokens was met. Every method raises StorageError.
    """

    def __init__(
        self,
        endpoint: str,
        api: BatchApi,
        max_requests: int,
        files: ShardFiles,
        submissions: Submissions,
        done: Callable[[Submission], None],
    ) -> None:
        self.max_requests = max_requests
        self._endpoint = endpoint
        self._api = api
        self._files = files
        self._submissions = submissions
        self._done = done
        self._growing: dict[tuple[str, str, str], _Growing] = {}
        self._full: list[_Growing] = []

    def fits(self, request: Request) -> bool:
        """Whether a batch of its own would have room for the request."""
        return len(request.body) + _HEAD_BYTES <= self._api.max_bytes

    def add(self, variant: Variant, request: Request, entry: TaskEntry, reserved_usd: float) -> Submission:
        """Add a request to a batch; returns the batch."""
        model, inputs = _model_of(variant, request), _inputs_of(request)
        group = (variant.slug, request.api, model)
        growing = self._growing.get(group)
        if growing is not None and self._is_full(growing, len(request.body), inputs):
            self._full.append(self._growing.pop(group))
            growing = None
        if growing is None:
            growing = self._growing[group] = self._begin(variant, request, model)
        submission = growing.submission
        line = self._line(submission, request, entry)
        with storage_errors(self._files.requests(submission.number)):
            growing.requests.write(line)
            growing.tasks.write(entry.line())
        growing.hash.update(line)
        growing.inputs += inputs
        submission.requests += 1
        submission.bytes += len(line)
        submission.reserved_usd += reserved_usd
        return submission

    @property
    def has_full(self) -> bool:
        """Whether batches wait for `finish`, which got all their requests."""
        return bool(self._full)

    def finish(self, *, everything: bool = False) -> None:
        """Make full batches durable and give them away, and with `everything` those that still get requests. Blocks for the disk."""
        if everything:
            self._full += self._growing.values()
            self._growing.clear()
        while self._full:
            self._seal(self._full[0])
            self._full.pop(0)

    def discard(self) -> None:
        """Close the batches that still get requests and drop them; their files are removed by the next session."""
        for growing in (*self._growing.values(), *self._full):
            growing.requests.close()
            growing.tasks.close()
        self._growing.clear()
        self._full.clear()

    def _is_full(self, growing: _Growing, size: int, inputs: int) -> bool:
        submission = growing.submission
        return (
            submission.requests >= self.max_requests
            or submission.bytes + size + _HEAD_BYTES > self._api.max_bytes
            or (inputs > 0 and growing.inputs + inputs > MAX_INPUTS)
        )

    def _begin(self, variant: Variant, request: Request, model: str) -> _Growing:
        number = self._submissions.take_number()
        submission = Submission(number, variant.slug, variant.name, self._endpoint, request.api, model)
        with storage_errors(self._files.folder):
            opened = [
                open(path, "wb", opener=open_regular)  # noqa: SIM115 - closed by _seal
                for path in (self._files.requests(number), self._files.tasks(number))
            ]
        return _Growing(submission, opened[0], opened[1])

    def _seal(self, growing: _Growing) -> None:
        submission = growing.submission
        with storage_errors(self._files.folder):
            for file in (growing.requests, growing.tasks):
                # Durable before the intent is: a batch whose tasks are unknown cannot be collected.
                file.flush()
                os.fsync(file.fileno())
                file.close()
            sync_directory(self._files.folder)
        submission.digest = growing.hash.hexdigest()
        self._files.publish(self._files.requests(submission.number), self._files.tasks(submission.number))
        self._done(submission)

    def _line(self, submission: Submission, request: Request, entry: TaskEntry) -> bytes:
        body = request.body if entry.mended is None else entry.mended.encode()
        if self._api.names_model:
            body = _without_model(body)
        name = custom_id(self._submissions.token, submission.number, submission.requests)
        head: dict[str, Any] = {"custom_id": name}
        if self._api.family == "files":
            head |= {"method": "POST", "url": self._api.url_of(request.api)}
        # A line break can only stand between two tokens of JSON.
        body = body.replace(b"\r", b" ").replace(b"\n", b" ")
        # The lines of a file are divided by its line breaks, and there is none after the last: they become the commas of a list.
        start = b"\n" if submission.requests else b""
        return start + orjson.dumps(head)[:-1] + b',"' + self._api.body_key.encode() + b'":' + body + b"}"


# What a line has beside the body, at most.
_HEAD_BYTES = 256


def custom_id(token: str, number: int, place: int) -> str:
    """Name the request at `place` of a batch: at most 64 of [A-Za-z0-9_-], as all providers take."""
    return f"pm-{token}-{number:06d}-{place:06d}"


def place_in(token: str, number: int, name: str) -> int | None:
    """Return the place that a custom_id names; None for one that is not of this batch."""
    prefix = f"pm-{token}-{number:06d}-"
    rest = name.removeprefix(prefix)
    return int(rest) if rest != name and rest.isascii() and rest.isdecimal() and custom_id(token, number, int(rest)) == name else None


def _model_of(variant: Variant, request: Request) -> str:
    if variant.model != OWN_MODEL:
        return variant.model
    return str(orjson.loads(request.body).get("model"))


def _inputs_of(request: Request) -> int:
    """Return how many inputs a request embeds; 0 for other APIs."""
    return inputs_of(orjson.loads(request.body)) if request.api == "embeddings" else 0


def _without_model(body: bytes) -> bytes:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    document.pop("model", None)
    return orjson.dumps(document)
