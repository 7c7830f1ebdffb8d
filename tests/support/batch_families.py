"""Other kinds of Batch APIs on loopback: requests within the call, Mistral's jobs, Anthropic's Message Batches with its live API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.batch_server import OPEN, Batch, BatchServer, Plan
from tests.support.scripted import CLOSE, Action, Received, error, http


class InlineServer(BatchServer):
    """OpenRouter's: endpoint and model must stand before the requests, and the results are in the batch. There is no list of files."""

    def _create(self, received: Received) -> list[Action]:
        self.creates += 1
        document = received.json()
        if list(document)[:2] != ["endpoint", "model"]:
            return [error(400, "endpoint and model must come first")]
        lines = document.pop("requests")
        if any(set(line) != {"custom_id", "body"} or "model" in line["body"] for line in lines):
            return [error(400, "not a request")]
        if self.lose.get(self.creates) == "before":
            return [CLOSE]
        return self._created(self._made("batch_", "", document, lines))

    def describe(self, batch: Batch) -> dict[str, Any]:
        found = super().describe(batch)
        for name in ("input_file_id", "output_file_id", "error_file_id", "metadata"):
            del found[name]
        files = [self.files[name][1] for name in (batch.output, batch.error) if name]
        return found | {"results": [json.loads(line) for file in files for line in file.splitlines()]}


WORDS = {"validating": "QUEUED", "in_progress": "RUNNING", "completed": "SUCCESS", "expired": "TIMEOUT_EXCEEDED"}


class JobServer(BatchServer):
    """Mistral's: the model is the job's, statuses are in upper case, output_file and error_file, and lines of {custom_id, body}."""

    def _carried_out(self, received: Received) -> list[Action]:
        path = received.path.replace("/v1/batch/jobs", "/v1/batches", 1)
        moved = Received(received.number, received.connection, received.turn, received.method, path, received.headers, received.body)
        return super()._carried_out(moved)

    def _create(self, received: Received) -> list[Action]:
        self.creates += 1
        document = received.json()
        if self.lose.get(self.creates) == "before":
            return [CLOSE]
        if set(document) != {"input_files", "endpoint", "model", "metadata", "timeout_hours"}:
            return [error(422, {"detail": [{"loc": ["body"], "msg": "unexpected fields"}]})]
        file = document["input_files"][0]
        if file not in self.files:
            return [error(404, "no such file")]
        lines = [json.loads(line) for line in self.files[file][1].splitlines()]
        return self._created(self._made("job-", file, document, lines))

    def describe(self, batch: Batch) -> dict[str, Any]:
        return {
            "id": batch.id,
            "object": "batch",
            "input_files": [batch.file],
            "metadata": batch.document["metadata"],
            "endpoint": batch.document["endpoint"],
            "model": batch.document["model"],
            "output_file": batch.output,
            "error_file": batch.error,
            "errors": [],
            "status": WORDS.get(batch.status, batch.status.upper()),
            "created_at": int(time.time()),
            "total_requests": len(batch.lines),
            "completed_requests": batch.looks,
            "succeeded_requests": batch.looks,
            "failed_requests": 0,
        }


def message(body: dict[str, Any]) -> dict[str, Any]:
    """A message that answers the last text of a request."""
    last = body["messages"][-1]["content"]
    text = last if isinstance(last, str) else last[-1].get("text", "")
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": f"answer to {text}"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1, "output_tokens": 3},
    }


def message_events(body: dict[str, Any]) -> bytes:
    """The same message as a stream."""
    whole = message(body)
    text = whole["content"][0]["text"]
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in (text[:6], text[6:])),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


class MessagesServer(BatchServer):
    """Anthropic's: /v1/messages live, and Message Batches, which name nothing of one's own."""

    def __init__(self, plan: Plan | None = None) -> None:
        super().__init__(plan, answer=message)
        self.requests: list[Received] = []

    def _handle(self, received: Received) -> Iterable[Action]:
        parts = urlsplit(received.path)
        path, query = parts.path.removeprefix("/v1/"), parse_qs(parts.query)
        if received.headers.get("x-api-key") != "secret-key" or "anthropic-version" not in received.headers:
            return [error(401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}})]
        self.requests.append(received)
        if path == "messages":
            body = received.json()
            if "max_tokens" not in body or any(each["role"] not in ("user", "assistant") for each in body["messages"]):
                return [error(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "not a message"}})]
            self.live.append(body)
            if body.get("stream"):
                return [http(200, message_events(body), content_type="text/event-stream")]
            return [http(200, json.dumps(message(body)).encode())]
        with self.lock:
            if path == "messages/batches":
                return self._create(received) if received.method == "POST" else [self._list(query)]
            if path.startswith("messages/batches/"):
                return [self._message_batch(received, *path.split("/")[2:])]
        return [error(404, "no such path")]

    def _create(self, received: Received) -> list[Action]:
        self.creates += 1
        document = received.json()
        if set(document) != {"requests"} or any(set(line) != {"custom_id", "params"} for line in document["requests"]):
            return [error(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "not a batch"}})]
        if self.lose.get(self.creates) == "before":
            return [CLOSE]
        return self._created(self._made("msgbatch_", "", {}, document["requests"]))

    def _message_batch(self, received: Received, name: str, verb: str = "") -> bytes:
        if verb != "results":
            return self._batch(received, name, verb)
        batch = self.batches[name]
        done = round(len(batch.lines) * batch.plan.done)
        lines = []
        for place, line in enumerate(batch.lines):
            result: dict[str, Any] = {"type": "expired"}
            if place < done:
                result = {"type": "succeeded", "message": message(line["params"])}
            if place in batch.plan.refuse:
                inner = {"type": batch.plan.refuse[place][1], "message": "no"}
                result = {"type": "errored", "error": {"type": "error", "error": inner}}
            lines.append({"custom_id": line["custom_id"], "result": result})
        return http(200, "".join(json.dumps(line) + "\n" for line in reversed(lines)).encode())

    def _end(self, batch: Batch, status: str, share: float) -> None:
        batch.status = status

    def describe(self, batch: Batch) -> dict[str, Any]:
        ended = batch.status not in OPEN
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {"processing": 0 if ended else len(batch.lines), "succeeded": len(batch.lines) if ended else 0, "errored": 0},
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "results_url": f"http://elsewhere.invalid/{batch.id}" if ended else None,
        }
