"""The provider, in memory, under the seam of the control plane; and the witness: no request is ever in two batches that carry it out."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from batch.records import ErrorKind, Exchange, Fault
from batch.transport.control import ControlCall, FileBody, _read_reply
from tests.simulation.endpoint import answer_to
from tests.simulation.world import EPOCH, BrokenPromiseError, World, require

# Less than the client allows a list to lag behind (BatchTimes.settle_s at one look a second).
LONGEST_LAG_S = 0.9
OPEN = ("validating", "in_progress", "cancelling")


@dataclass(frozen=True)
class Climate:
    """What goes wrong at the provider in one session: shares of calls by their plight, and of batches by their fate."""

    lost: float = 0.0
    lost_after: float = 0.0
    late: float = 0.0
    refused: float = 0.0
    broken: float = 0.0
    fates: Mapping[str, float] = field(default_factory=lambda: {"completed": 1.0})
    odd_lines: float = 0.0

    @classmethod
    def drawn(cls, chance: random.Random) -> Climate:
        """A climate of one session."""
        share = chance.choice((0.0, 0.05, 0.2))
        fates = {"completed": 1.0, "expired": chance.random(), "cancelled": 0.3 * chance.random(), "over limit": 0.2 * chance.random()}
        return cls(share, share, share, share / 2, share / 2, fates, chance.choice((0.0, 0.3)))


@dataclass
class SimBatch:
    """A batch: what became of each of its lines is decided when it ends. `visible_at` is when lists have it."""

    id: str
    file: str
    document: dict[str, Any]
    lines: list[dict[str, Any]]
    created_at: float
    visible_at: float
    ends_at: float
    fate: str
    status: str = "in_progress"
    output: str | None = None
    errors: str | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)


class SimProvider:
    """A provider of OpenAI's shape, over all sessions of a history. `poison` has prompts that are refused, by how."""

    def __init__(self, world: World, poison: Mapping[str, str]) -> None:
        self._world = world
        self._poison = poison
        self.climate = Climate()
        self.files: dict[str, tuple[str, bytes]] = {}
        self.batches: dict[str, SimBatch] = {}
        self.live_answers: set[str] = set()
        self._late: list[tuple[float, dict[str, Any]]] = []
        self._count = 0

    async def call(self, call: ControlCall) -> Exchange:
        """One call, with its plight."""
        world, chance, climate = self._world, self._world.chance, self.climate
        sent_at = world.time()
        what = f"{call.method} {call.path.partition('?')[0]}"
        world.tick(f"{what} is sent")
        await self._alive()
        await asyncio.sleep(0.01 + 0.2 * chance.random())
        plight = chance.random()
        if plight < climate.lost:
            return self._lost(sent_at, f"{what}: lost on its way", sent=chance.random() < 0.7)
        if plight < climate.lost + climate.broken:
            return self._exchange(call, 500, {"error": {"message": "broken"}}, sent_at)
        if plight < climate.lost + climate.broken + climate.refused:
            return self._exchange(call, 429, {"error": {"message": "slow down"}}, sent_at)
        if call.path == "batches" and call.method == "POST" and chance.random() < climate.late:
            # Something between here and there gives up, and the creation takes place later.
            assert isinstance(call.body, bytes)
            self._late.append((world.time() + chance.choice((0.5, 1.5, 2.5, 3.5, 5.0)), json.loads(call.body)))
            world.tick(f"{what} is late")
            await asyncio.sleep(0.2)
            return self._lost(sent_at, f"{what}: 504", status=504)
        try:
            status, body = self._carried_out(call)
        except BrokenPromiseError as error:
            world.accuse(error)
            status, body = 400, {"error": {"message": str(error)}}
        world.tick(f"{what} is done: {status}")
        await self._alive()
        await asyncio.sleep(0.01 + 0.1 * chance.random())
        if chance.random() < climate.lost_after:
            return self._lost(sent_at, f"{what}: its reply is lost")
        return self._exchange(call, status, body, sent_at)

    async def _alive(self) -> None:
        if self._world.dead:
            await asyncio.get_running_loop().create_future()

    def _lost(self, sent_at: float, text: str, *, sent: bool = True, status: int | None = None) -> Exchange:
        self._world.log(text)
        fault = None if status is not None else Fault(ErrorKind.NETWORK, "reset", text, sent=sent)
        reply = _read_reply(status, b"{}", ControlCall("GET", ""))[0] if status is not None else None
        return Exchange(status, {}, b"", reply, fault, sent_at, None, self._world.time())

    def _exchange(self, call: ControlCall, status: int, body: Any, sent_at: float) -> Exchange:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        if call.into is not None and status == 200:
            call.into.write_bytes(raw)
            raw = b""
        reply, fault = _read_reply(status, raw, call)
        return Exchange(status, {}, raw, reply, fault, sent_at, None, self._world.time())

    def _carried_out(self, call: ControlCall) -> tuple[int, Any]:
        self.pass_time()
        parts = urlsplit(call.path)
        match (call.method, *parts.path.split("/")):
            case ("POST", "files"):
                return self._upload(call.body)
            case ("GET", "files"):
                return 200, {"data": [{"id": file, "filename": name} for file, (name, _) in self.files.items()]}
            case ("DELETE", "files", file):
                return (200, {"deleted": True}) if self.files.pop(file, None) is not None else (404, {"error": {"message": "no such file"}})
            case ("GET", "files", file, "content"):
                return (200, self.files[file][1]) if file in self.files else (404, {"error": {"message": "no such file"}})
            case ("POST", "batches"):
                return self._create(json.loads(call.body))  # type: ignore[arg-type]
            case ("GET", "batches"):
                return 200, self._page(parse_qs(parts.query))
            case ("GET", "batches", name) if name in self.batches:
                return 200, self._described(self.batches[name])
            case ("POST", "batches", name, "cancel") if name in self.batches:
                return self._cancel(self.batches[name])
        return 404, {"error": {"message": "no such thing"}}

    def pass_time(self) -> None:
        """What has happened since the last call: creations that were late, and batches that have ended."""
        now = self._world.time()
        due = [document for at, document in self._late if at <= now]
        self._late = [(at, document) for at, document in self._late if at > now]
        for document in due:
            self._world.log(f"late: batch of {document['input_file_id']}")
            self._create(document)
        for batch in self.batches.values():
            if batch.status in OPEN and batch.ends_at <= now:
                self._end(batch)

    def _upload(self, body: Any) -> tuple[int, Any]:
        assert isinstance(body, FileBody)
        self._count += 1
        name = body.head.decode().partition('filename="')[2].partition('"')[0]
        file = f"file-{self._count}"
        self.files[file] = (name, Path(body.path).read_bytes())
        return 200, {"id": file, "filename": name}

    def _create(self, document: dict[str, Any]) -> tuple[int, Any]:
        world, chance = self._world, self._world.chance
        file = document["input_file_id"]
        if file not in self.files:
            return 400, {"error": {"message": f"Invalid input_file_id: {file}"}}
        lines = [json.loads(line) for line in self.files[file][1].splitlines()]
        for line in lines:
            key = key_of(line["body"])
            holder = next((each.id for each in self.batches.values() if self._has(each, key)), None)
            require(holder is None, "14", f"{key} is submitted, and batch {holder} has it")
            require(key not in self.live_answers, "14", f"{key} is submitted, and was answered live")
        self._count += 1
        now = world.time()
        fate = chance.choices([*self.climate.fates], [*self.climate.fates.values()])[0]
        ends_at = now + chance.choice((0.3, 3.0, 20.0))
        batch = SimBatch(f"batch-{self._count}", file, document, lines, now, now + LONGEST_LAG_S * chance.random(), ends_at, fate)
        self.batches[batch.id] = batch
        return 200, self._described(batch)

    def _has(self, batch: SimBatch, key: str) -> bool:
        """Whether a batch carries a request out, or has."""
        if batch.status in OPEN:
            return any(key_of(line["body"]) == key for line in batch.lines)
        return key in batch.answered

    def has(self, key: str) -> bool:
        """Whether any batch carries a request out, or has."""
        self.pass_time()
        return any(self._has(batch, key) for batch in self.batches.values())

    def _page(self, query: Mapping[str, list[str]]) -> Any:
        now = self._world.time()
        newest = [batch for batch in reversed(self.batches.values()) if batch.visible_at <= now]
        after = query.get("after", [""])[0]
        start = next((at + 1 for at, batch in enumerate(newest) if batch.id == after), 0)
        # Pages of three, whatever is asked for.
        page = newest[start : start + 3]
        return {"data": [self._described(batch) for batch in page], "has_more": len(newest) > start + 3}

    def _cancel(self, batch: SimBatch) -> tuple[int, Any]:
        if batch.status not in OPEN:
            return 409, {"error": {"message": "it has ended"}}
        batch.fate, batch.status, batch.ends_at = "cancelled", "cancelling", self._world.time() + 1.0
        return 200, self._described(batch)

    def _end(self, batch: SimBatch) -> None:
        chance = self._world.chance
        bad = [number for number, line in enumerate(batch.lines, 1) if self._poison.get(prompt_of(line["body"])) == "413"]
        if bad or batch.fate == "over limit":
            batch.status = "failed"
            batch.problems = [{"code": "invalid_request", "message": "too long", "line": number} for number in bad]
            batch.problems = batch.problems or [{"code": "token_limit_exceeded", "message": "too much is enqueued", "line": None}]
            return
        batch.status = batch.fate
        done = len(batch.lines) if batch.fate == "completed" else round(chance.random() * len(batch.lines))
        output, errors = [], []
        for place, line in enumerate(batch.lines):
            body, name = line["body"], line["custom_id"]
            prompt = prompt_of(body)
            if place >= done:
                errors.append({"custom_id": name, "response": None, "error": {"code": f"batch_{batch.fate}", "message": batch.fate}})
            elif prompt in self._poison:
                refusal = {"status_code": 400, "body": {"error": {"message": "bad", "type": "invalid_request_error"}}}
                errors.append({"custom_id": name, "response": refusal, "error": None})
            else:
                batch.answered.add(key_of(body))
                output.append({"custom_id": name, "response": {"status_code": 200, "body": chat(answer_of(body))}, "error": None})
        chance.shuffle(output)
        if output and chance.random() < self.climate.odd_lines:
            # A line of another batch, with that one's number, and one that is there twice; both with an answer to something else.
            head, _, place = output[0]["custom_id"].rpartition("-")
            stranger = f"{head[:-6]}{int(head[-6:]) + 50:06d}-{place}"
            response = {"status_code": 200, "body": chat("the answer to something else")}
            output.insert(0, {"custom_id": stranger, "response": response, "error": None})
            output.append({**output[-1], "response": response})
        batch.output = self._keep(output) if output else chance.choice((None, ""))
        batch.errors = self._keep(errors) if errors else None

    def _keep(self, lines: list[dict[str, Any]]) -> str:
        self._count += 1
        self.files[f"file-{self._count}"] = ("results.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
        return f"file-{self._count}"

    def _described(self, batch: SimBatch) -> dict[str, Any]:
        return {
            "id": batch.id,
            "status": batch.status,
            "input_file_id": batch.file,
            "output_file_id": batch.output,
            "error_file_id": batch.errors,
            "errors": {"data": batch.problems} if batch.problems else None,
            "created_at": EPOCH + batch.created_at,
            "request_counts": {"total": len(batch.lines), "completed": len(batch.answered), "failed": 0},
            "metadata": batch.document.get("metadata"),
        }

    @property
    def unused_uploads(self) -> set[str]:
        """The uploads of the client that no batch was made of."""
        return {file for file, (name, _) in self.files.items() if name.startswith("promptmill-")} - {
            batch.file for batch in self.batches.values()
        }


class SimControl:
    """The control plane's client, in the place of ControlClient."""

    def __init__(self, provider: SimProvider) -> None:
        self._provider = provider

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def call(self, call: ControlCall) -> Exchange:
        return await self._provider.call(call)


def prompt_of(body: Mapping[str, Any]) -> str:
    """The prompt of a request."""
    return str(body["messages"][-1]["content"])


def key_of(body: Mapping[str, Any]) -> str:
    """How the witness knows a request; as the endpoint's."""
    return f"{body['model']}|{prompt_of(body)}|{body['temperature']}"


def answer_of(body: Mapping[str, Any]) -> str:
    """The one right answer to a request; as the endpoint's."""
    return answer_to(body["model"], prompt_of(body), body["temperature"])


def chat(text: str) -> dict[str, Any]:
    """A chat completion."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
