"""The calls of a Batch API: upload, create, look, list, cancel, results. The differences of providers are in their rows of data."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from batch.clock import Clock
from batch.executors.batch_api.submissions import Submission
from batch.policy.verdicts import Verdict, judge
from batch.providers.batch_replies import OVER_LIMIT, BatchObject, read_batch, read_batches, read_file_id, read_files
from batch.records import Exchange
from batch.settings.batch_api import BatchApi
from batch.transport.control import ControlCall, ControlClient, FileBody

_PAGE = 100
# Batches older than this before the intent are none of the run's: clocks of two machines differ by less.
_CLOCKS_DIFFER_S = 3600.0
_MOST_PAGES = 50


@dataclass(frozen=True, slots=True)
class BatchReply:
    """How a call ended: its exchange, what that means, and the reply's document where it is JSON."""

    exchange: Exchange
    verdict: Verdict
    document: Any = None

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.verdict.error is None

    @property
    def was_refused(self) -> bool:
        """Whether it is certain that the call had no effect: it was never sent, or the provider itself refused it."""
        fault, status = self.exchange.fault, self.exchange.status
        if status is None:
            return fault is not None and not fault.sent
        # A 408, and what gateways say, may come after the provider has acted.
        return 400 <= status < 500 and status != 408

    @property
    def is_over_limit(self) -> bool:
        """Whether it was refused because too many tokens are enqueued already."""
        error = self.exchange.reply.error if self.exchange.reply is not None else None
        return self.was_refused and error is not None and OVER_LIMIT in (error.code, error.type)

    @property
    def message(self) -> str:
        """Why it did not succeed."""
        return "" if self.verdict.error is None else self.verdict.error.message


class BatchProvider:
    """One provider's Batch API, by `api`, its row of data. `token` names the run in all that the provider sees."""

    def __init__(self, client: ControlClient, api: BatchApi, clock: Clock, token: str) -> None:
        self.api = api
        self._client = client
        self._clock = clock
        self._token = token

    async def call(self, call: ControlCall) -> BatchReply:
        """Make a call and judge its end. Raises StorageError."""
        exchange = await self._client.call(call)
        document = None
        if exchange.body and exchange.status is not None and exchange.status // 100 == 2 and exchange.fault is None:
            document = orjson.loads(exchange.body)
        return BatchReply(exchange, judge(exchange, self._clock.wall()), document)

    # Files

    def file_name(self, submission: Submission) -> str:
        """Name the upload of a batch, so that it can be found when the reply was lost."""
        return f"promptmill-{self._token}-{submission.number:06d}.jsonl"

    async def upload(self, submission: Submission, path: Path) -> tuple[BatchReply, str | None]:
        """Upload the requests; returns the file's id."""
        boundary = f"promptmill{secrets.token_hex(12)}"
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="'
        head = f'{part}purpose"\r\n\r\n{self.api.purpose}\r\n'
        if self.api.purpose != "batch":
            # Together wants the name beside the file.
            head += f'{part}file_name"\r\n\r\n{self.file_name(submission)}\r\n'
        head += f'{part}file"; filename="{self.file_name(submission)}"\r\nContent-Type: application/jsonl\r\n\r\n'
        body = FileBody(head.encode(), path, f"\r\n--{boundary}--\r\n".encode())
        answer = await self.call(ControlCall("POST", "files", body, f"multipart/form-data; boundary={boundary}"))
        return answer, read_file_id(answer.document) if answer.ok else None

    async def uploads(self, submission: Submission) -> tuple[BatchReply, list[str]]:
        """Find the uploads that have the name of a batch."""
        query = urlencode({"purpose": self.api.purpose, "limit": 10_000, "order": "desc"})
        answer = await self.call(ControlCall("GET", f"files?{query}"))
        name = self.file_name(submission)
        return answer, [file for file, named in read_files(answer.document) if named == name]

    async def remove_file(self, file_id: str) -> BatchReply:
        """Remove a file from the provider."""
        return await self.call(ControlCall("DELETE", f"files/{quote(file_id, safe='')}"))

    # Batches

    async def create(self, submission: Submission, requests: Path, window: str | None) -> tuple[BatchReply, BatchObject | None]:
        """Create a batch; never repeated by itself."""
        if self.api.family == "inline":
            body: bytes | FileBody = self._inline(submission, requests)
        else:
            body = orjson.dumps(self._document(submission, window))
        answer = await self.call(ControlCall("POST", self.api.path, body))
        return answer, read_batch(answer.document) if answer.ok else None

    async def look(self, batch_id: str) -> tuple[BatchReply, BatchObject | None]:
        """Look at a batch."""
        answer = await self.call(ControlCall("GET", self._address(batch_id)))
        return answer, read_batch(answer.document) if answer.ok else None

    async def cancel(self, batch_id: str) -> BatchReply:
        """Ask the provider to cancel a batch."""
        return await self.call(ControlCall("POST", f"{self._address(batch_id)}/cancel", b"{}"))

    async def batches(self, since: float) -> AsyncIterator[tuple[BatchReply, list[BatchObject]]]:
        """List batches, newest first, page by page, as far as they may have been created since then (seconds since the epoch)."""
        after: str | None = None
        for _ in range(_MOST_PAGES):
            answer = await self.call(ControlCall("GET", f"{self.api.path}?{urlencode(self._page(after))}"))
            found, after = read_batches(answer.document)
            yield answer, found
            is_old = bool(found) and all(b.created_at is not None and b.created_at < since - _CLOCKS_DIFFER_S for b in found)
            if not answer.ok or after is None or is_old:
                return

    async def results(self, batch: BatchObject, paths: list[Path]) -> AsyncIterator[tuple[BatchReply, Path]]:
        """Fetch the files of results into `paths`, one after the other."""
        if self.api.results == "results":
            calls = [f"{self._address(batch.id)}/results"]
        else:
            calls = [f"files/{quote(each, safe='')}/content" for each in batch.files]
        for address, path in zip(calls, paths, strict=False):
            yield await self.call(ControlCall("GET", address, into=path)), path

    def is_of(self, batch: BatchObject, submission: Submission) -> bool:
        """Whether a batch of the provider's list was made of this submission."""
        metadata = batch.metadata or {}
        if metadata.get("run") == self._token:
            return str(metadata.get("shard")) == str(submission.number) and metadata.get("digest") == submission.digest
        return submission.file_id is not None and submission.file_id in batch.inputs

    def _address(self, batch_id: str) -> str:
        return f"{self.api.path}/{quote(batch_id, safe='')}"

    def _page(self, after: str | None) -> Mapping[str, Any]:
        name = "after_id" if self.api.results == "results" else "after"
        return {"limit": _PAGE, **({name: after} if after else {})}

    def _document(self, submission: Submission, window: str | None) -> dict[str, Any]:
        metadata = {"run": self._token, "shard": str(submission.number), "digest": submission.digest}
        endpoint = self.api.url_of(submission.api)
        window = window or self.api.window
        if self.api.family == "jobs":
            hours = {} if window is None else {"timeout_hours": int(window.rstrip("h"))}
            return {"input_files": [submission.file_id], "endpoint": endpoint, "model": submission.model, "metadata": metadata, **hours}
        asked = {} if window is None else {"completion_window": window}
        return {"input_file_id": submission.file_id, "endpoint": endpoint, **asked, "metadata": metadata}

    def _inline(self, submission: Submission, requests: Path) -> FileBody:
        # OpenRouter reads the body as a stream: what stands before the requests must come first.
        named = {"endpoint": self.api.url_of(submission.api), "model": submission.model} if self.api.names_model else {}
        head = orjson.dumps(named)[:-1] + (b"," if named else b"") + b'"requests":['
        return FileBody(head, requests, b"]}", commas=True)
