"""A provider with a Batch API, on loopback: files and batches with the semantics that providers document, and their faults on demand.

Nothing moves by time: a batch takes one step each time that it is looked at, and `plan` says what becomes of it.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.scripted import CLOSE, HANG, Action, Received, ScriptedEndpoint, chat_body, error, http


@dataclass
class Plan:
    """What becomes of a batch: how many looks it is open, the share of its requests that is done, and its last status.

    `refuse` maps places of requests to (status, body) of their own. `shuffled`, `doubled` and `unknown` are what is wrong with the lines.
    """

    looks: int = 1
    done: float = 1.0
    status: str = "completed"
    refuse: Mapping[int, tuple[int, Any]] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    shuffled: bool = True
    doubled: int = 0
    unknown: int = 0
    absent: str | None = None


@dataclass
class Batch:
    """A batch of the server's."""

    id: str
    file: str
    document: dict[str, Any]
    lines: list[dict[str, Any]]
    plan: Plan
    looks: int = 0
    status: str = "validating"
    cancelled: bool = False
    output: str | None = None
    error: str | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What the client said of it."""
        return self.document.get("metadata") or {}


Answer = Callable[[dict[str, Any]], Any]


def answer_to(body: dict[str, Any]) -> Any:
    """Answer a chat as the scripted endpoint does live."""
    return json.loads(chat_body(f"answer to {body['messages'][-1]['content']}"))


class BatchServer:
    """The server: a context manager. `plans` are for the batches in their order, `plan` for all others.

    `lose` maps the number of a call to create (from 1) to when its connection is cut: "before" it counts, or "after" it. `limit_requests`
    bounds the requests that may be enqueued; `limit_when` says whether that is found at create or after it.
    """

    def __init__(self, plan: Plan | None = None, *, answer: Answer = answer_to) -> None:
        self.plan = plan or Plan()
        self.plans: list[Plan] = []
        self.answer = answer
        self.files: dict[str, tuple[str, bytes]] = {}
        self.batches: dict[str, Batch] = {}
        self.deleted: list[str] = []
        self.live: list[dict[str, Any]] = []
        self.lose: dict[int, str] = {}
        self.lose_uploads: dict[int, str] = {}
        self.refuse_creates: list[bytes] = []
        self.limit_requests: int | None = None
        self.limit_when = "create"
        self.prefix = "/v1/"
        self.creates = 0
        self.uploads = 0
        self.looked: dict[str, int] = {}
        self.stall: str | None = None
        self.stalled = False
        self.lock = threading.RLock()
        self._ids = itertools.count(1)
        self._draw = random.Random(5)
        self.endpoint = ScriptedEndpoint(self._handle)

    def __enter__(self) -> Self:
        self.endpoint.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.endpoint.__exit__()

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        return self.endpoint.url

    @property
    def unused_uploads(self) -> list[str]:
        """The uploads that no batch was made of."""
        used = {batch.file for batch in self.batches.values()}
        return [file for file, (name, _) in self.files.items() if name.startswith("promptmill-") and file not in used]

    @property
    def sent_ids(self) -> list[str]:
        """The custom_ids of all requests that batches were made of."""
        return [line["custom_id"] for batch in self.batches.values() for line in batch.lines]

    def _handle(self, received: Received) -> Iterable[Action]:
        if self.stall is not None and f"{received.method} {received.path}".startswith(self.stall):
            # The connection stays open while the test kills the client: what was asked has its effect.
            self.stall = None
            self._carried_out(received)
            self.stalled = True
            return [HANG]
        return self._carried_out(received)

    def _carried_out(self, received: Received) -> list[Action]:
        with self.lock:
            parts = urlsplit(received.path)
            path, query = parts.path.removeprefix(self.prefix), parse_qs(parts.query)
            if path.endswith("chat/completions"):
                self.live.append(received.json())
                return [http(200, json.dumps(self.answer(received.json())).encode())]
            if path == "files":
                return self._upload(received) if received.method == "POST" else [self._list_files(query)]
            if path.startswith("files/"):
                return [self._file(received, *path.split("/")[1:])]
            if path == "batches":
                return self._create(received) if received.method == "POST" else [self._list(query)]
            if path.startswith("batches/"):
                return [self._batch(received, *path.split("/")[1:])]
            return [error(404, "no such path")]

    # Files

    def _upload(self, received: Received) -> list[Action]:
        self.uploads += 1
        when = self.lose_uploads.get(self.uploads)
        if when == "before":
            return [CLOSE]
        boundary = re.search("boundary=(.+)", received.headers["content-type"])[1].encode()  # type: ignore[index]
        parts = received.body.split(b"--" + boundary)
        fields = {}
        for part in parts[1:-1]:
            head, _, body = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="([^"]+)"', head)[1].decode()  # type: ignore[index]
            fields[name] = (head, body.removesuffix(b"\r\n"))
        if fields["purpose"][1] != b"batch":
            return [error(400, "purpose must be batch")]
        filename = re.search(rb'filename="([^"]+)"', fields["file"][0])[1].decode()  # type: ignore[index]
        file = f"file-{next(self._ids)}"
        self.files[file] = (filename, fields["file"][1])
        reply = {"id": file, "object": "file", "bytes": len(fields["file"][1]), "filename": filename, "purpose": "batch"}
        return [CLOSE] if when == "after" else [http(200, json.dumps(reply).encode())]

    def _list_files(self, query: Mapping[str, list[str]]) -> bytes:
        data = [{"id": file, "filename": name, "bytes": len(body), "purpose": "batch"} for file, (name, body) in self.files.items()]
        return http(200, json.dumps({"object": "list", "data": data, "has_more": False}).encode())

    def _file(self, received: Received, file: str, content: str = "") -> bytes:
        if file not in self.files:
            return error(404, "No such File object")
        if received.method == "DELETE":
            del self.files[file]
            self.deleted.append(file)
            return http(200, json.dumps({"id": file, "object": "file", "deleted": True}).encode())
        return http(200, self.files[file][1], content_type="application/octet-stream")

    # Batches

    def _create(self, received: Received) -> list[Action]:
        self.creates += 1
        if self.lose.get(self.creates) == "before":
            return [CLOSE]
        if self.refuse_creates:
            return [self.refuse_creates.pop(0)]
        document = received.json()
        file = document.get("input_file_id")
        if file not in self.files:
            return [error(400, f"Invalid input_file_id: {file}")]
        lines = [json.loads(line) for line in self.files[file][1].splitlines() if line.strip()]
        enqueued = sum(len(batch.lines) for batch in self.batches.values() if batch.status in OPEN)
        over = self.limit_requests is not None and enqueued + len(lines) > self.limit_requests
        if over and self.limit_when == "create":
            body = {"error": {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "type": "invalid_request_error"}}
            return [error(400, body)]
        batch = self._made("batch_", file, document, lines)
        problems = list(batch.plan.errors) + validation_errors(lines, document)
        if over:
            problems = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None, "param": None}]
        if problems:
            batch.plan = Plan(batch.plan.looks, status="failed", errors=problems)
        return self._created(batch)

    def _made(self, kind: str, file: str, document: dict[str, Any], lines: list[dict[str, Any]]) -> Batch:
        plan = self.plans.pop(0) if self.plans else self.plan
        batch = Batch(f"{kind}{next(self._ids)}", file, document, lines, plan)
        self.batches[batch.id] = batch
        return batch

    def _created(self, batch: Batch) -> list[Action]:
        """Reply to the call that made a batch, unless that reply is to be lost."""
        return [CLOSE] if self.lose.get(self.creates) == "after" else [http(200, json.dumps(self.describe(batch)).encode())]

    def _list(self, query: Mapping[str, list[str]]) -> bytes:
        newest = list(reversed(self.batches.values()))
        after = query.get("after", [None])[0]
        if after is not None:
            newest = newest[[batch.id for batch in newest].index(after) + 1 :]
        limit = int(query.get("limit", ["20"])[0])
        page = [self.describe(batch) for batch in newest[:limit]]
        return http(200, json.dumps({"object": "list", "data": page, "has_more": len(newest) > limit}).encode())

    def _batch(self, received: Received, name: str, verb: str = "") -> bytes:
        batch = self.batches.get(name)
        if batch is None:
            return error(404, "No batch found with that id")
        if verb == "cancel":
            if batch.status in OPEN:
                batch.cancelled, batch.status = True, "cancelling"
                return http(200, json.dumps(self.describe(batch)).encode())
            return error(409, "Cannot cancel a batch that has ended")
        self.looked[name] = self.looked.get(name, 0) + 1
        self._step(batch)
        return http(200, json.dumps(self.describe(batch)).encode())

    def _step(self, batch: Batch) -> None:
        if batch.status not in OPEN:
            return
        batch.looks += 1
        if batch.cancelled:
            self._end(batch, "cancelled", batch.plan.done if batch.plan.done < 1 else 0.5)
        elif batch.looks >= batch.plan.looks:
            self._end(batch, batch.plan.status, batch.plan.done)
        else:
            batch.status = "in_progress"

    def _end(self, batch: Batch, status: str, share: float) -> None:
        batch.status = status
        if status == "failed":
            return
        done = round(len(batch.lines) * share)
        output, errors = [], []
        for place, line in enumerate(batch.lines):
            number = f"batch_req_{batch.id}_{place}"
            if place >= done:
                code = "batch_expired" if status == "expired" else "batch_cancelled"
                errors.append({"id": number, "custom_id": line["custom_id"], "response": None, "error": {"code": code, "message": status}})
            elif place in batch.plan.refuse:
                code_of, body = batch.plan.refuse[place]
                response = {"status_code": code_of, "request_id": number, "body": body}
                errors.append({"id": number, "custom_id": line["custom_id"], "response": response, "error": None})
            else:
                response = {"status_code": 200, "request_id": number, "body": self.answer(line["body"])}
                output.append({"id": number, "custom_id": line["custom_id"], "response": response, "error": None})
        if batch.plan.shuffled:
            self._draw.shuffle(output)
        output += output[: batch.plan.doubled]
        output += [{**output[0], "custom_id": f"another-{at}"} for at in range(batch.plan.unknown)]
        absent = batch.plan.absent
        batch.output = self._keep("output", output) if output else absent
        batch.error = self._keep("error", errors) if errors else absent

    def _keep(self, kind: str, lines: list[dict[str, Any]]) -> str:
        name = f"file-{kind}-{next(self._ids)}"
        self.files[name] = (f"{kind}.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
        return name

    def describe(self, batch: Batch) -> dict[str, Any]:
        """The batch object."""
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.document.get("endpoint"),
            "input_file_id": batch.file,
            "completion_window": batch.document.get("completion_window"),
            "status": batch.status,
            "output_file_id": batch.output,
            "error_file_id": batch.error,
            "errors": {"object": "list", "data": batch.plan.errors} if batch.status == "failed" else None,
            "created_at": int(time.time()),
            "completed_at": int(time.time()) if batch.status not in OPEN else None,
            "request_counts": {"total": len(batch.lines), "completed": batch.looks, "failed": 0},
            "metadata": batch.document.get("metadata"),
        }


OPEN = frozenset({"validating", "in_progress", "finalizing", "cancelling"})


def validation_errors(lines: list[dict[str, Any]], document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What OpenAI checks of an input file."""
    found = []
    seen: set[str] = set()
    models = {line["body"].get("model") for line in lines}
    for number, line in enumerate(lines, 1):
        if set(line) != {"custom_id", "method", "url", "body"} or line["method"] != "POST":
            found.append({"code": "invalid_json_line", "message": "not a request", "line": number, "param": None})
        elif line["url"] != document.get("endpoint"):
            found.append({"code": "url_mismatch", "message": "another endpoint", "line": number, "param": "url"})
        elif line["custom_id"] in seen:
            found.append({"code": "duplicate_custom_id", "message": "again", "line": number, "param": "custom_id"})
        elif not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", line["custom_id"]):
            found.append({"code": "invalid_custom_id", "message": "not safe", "line": number, "param": "custom_id"})
        elif "refuse this line" in json.dumps(line["body"]):
            found.append({"code": "invalid_request", "message": "this line is refused", "line": number, "param": None})
        seen.add(line["custom_id"])
    if len(models) > 1:
        found.append({"code": "model_mismatch", "message": "one model a file", "line": None, "param": "body.model"})
    if not lines:
        found.append({"code": "empty_batch", "message": "no requests", "line": None, "param": None})
    return found
