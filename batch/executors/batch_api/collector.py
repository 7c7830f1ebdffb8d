"""Turns the results of a batch into outcomes in the journal, by the same verdicts and checks as live answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio.lowlevel
import anyio.to_thread

from batch.clock import Clock
from batch.engine.answer_checks import AnswerSchemaCheck
from batch.engine.work import Work
from batch.executors.batch_api.builder import place_in
from batch.executors.batch_api.failures import BatchFailures
from batch.executors.batch_api.known import settled
from batch.executors.batch_api.money import BatchMoney
from batch.executors.batch_api.shard_files import RequestBodies, ShardFiles, TaskEntry
from batch.executors.batch_api.submissions import Submission
from batch.journal.index import ResumeIndex
from batch.policy.verdicts import Action, judge
from batch.providers.batch_replies import BatchObject, ResultLine, read_result
from batch.providers.lenient_json import parse
from batch.providers.replies import ReplyFormatError, read_error, read_reply
from batch.records import ErrorKind, Exchange, Fault, Reply
from batch.writers.values import json_bytes

_FLUSHED_AT = 256


@dataclass(slots=True)
class Collected:
    """What a batch gave. `rest` are its tasks without a final outcome; `refusal` is what a line says of the whole endpoint."""

    ok: int = 0
    failed: int = 0
    earlier: int = 0
    rest: list[TaskEntry] = field(default_factory=list)
    paid_usd: float = 0.0
    unknown: int = 0
    doubled: int = 0
    unreadable: int = 0
    refusal: str | None = None

    @property
    def faults(self) -> str:
        """What is wrong with the lines themselves; empty where nothing is."""
        found = {"with an unknown id": self.unknown, "with an id that came before": self.doubled, "that cannot be read": self.unreadable}
        return ", ".join(f"{count:,} {what}" for what, count in found.items() if count)


@dataclass(frozen=True, slots=True)
class _Joining:
    """A batch whose results are joined to its tasks: for each task whether it was `recorded` before, and whether its line was `seen`."""

    submission: Submission
    batch: BatchObject
    entries: list[TaskEntry]
    recorded: list[bool]
    seen: bytearray
    bodies: RequestBodies
    collected: Collected

    def missing(self) -> list[TaskEntry]:
        """Return the tasks without a line and without an outcome."""
        return [entry for entry, has, came in zip(self.entries, self.recorded, self.seen, strict=True) if not has and not came]


class Collector:
    """Collects batches. `indexes` are the journals as the session found them; `attempts` is the most that a task gets, to be set."""

    def __init__(
        self,
        files: ShardFiles,
        token: str,
        failures: BatchFailures,
        money: BatchMoney,
        checks: Mapping[str, AnswerSchemaCheck],
        indexes: Mapping[str, ResumeIndex],
        clock: Clock,
    ) -> None:
        self._files = files
        self._token = token
        self._recorder = failures.recorder
        self._money = money
        self._checks = checks
        self._indexes = indexes
        self._clock = clock
        self._failures = failures
        self.attempts = 1

    async def collect(self, submission: Submission, batch: BatchObject, lines: Iterable[Any]) -> Collected:
        """Journal the outcomes of a batch, durably. Raises StorageError, DamagedError; collecting it again is harmless."""
        entries = await anyio.to_thread.run_sync(list, self._files.entries(self._files.tasks(submission.number)))
        recorded = self._recorded(submission, entries)
        with RequestBodies(self._files.requests(submission.number)) as bodies:
            joining = _Joining(submission, batch, entries, recorded, bytearray(len(entries)), bodies, Collected(earlier=sum(recorded)))
            for count, line in enumerate(lines, 1):
                self._take(joining, line)
                if count % _FLUSHED_AT == 0:
                    self._recorder.flush()
                    await anyio.lowlevel.checkpoint()
        joining.collected.rest += joining.missing()
        await self._recorder.sync(submission.variant)
        return joining.collected

    def _recorded(self, submission: Submission, entries: list[TaskEntry]) -> list[bool]:
        """Find the tasks whose outcome an interrupted collection has journaled: those must not be counted twice."""
        return settled(self._indexes.get(submission.variant), entries)

    def _take(self, joining: _Joining, line: Any) -> None:
        submission, collected = joining.submission, joining.collected
        result = read_result(line)
        place = None if result is None else place_in(self._token, submission.number, result.custom_id)
        if result is None:
            collected.unreadable += 1
        elif place is None or place >= len(joining.entries):
            collected.unknown += 1
        elif joining.seen[place]:
            collected.doubled += 1
        else:
            joining.seen[place] = 1
            if joining.recorded[place]:
                return
            entry = joining.entries[place]
            if result.undone:
                collected.rest.append(entry)
                return
            work = entry.work(submission.variant, submission.api, joining.bodies.of(place))
            self._settle(work, result, self._exchange(work, joining.batch, submission, result), collected)

    def _settle(self, work: Work, result: ResultLine, exchange: Exchange, collected: Collected) -> None:
        tally = self._recorder.tallies[work.task.variant]
        work.tries += 1
        tally.requests += 1
        tally.retries += work.tries > 1
        verdict = judge(exchange, self._clock.wall())
        work.attempts += verdict.charged
        usage = exchange.reply.usage if exchange.reply else None
        collected.paid_usd += self._money.paid(work, usage, answered=verdict.action is Action.DONE or verdict.unusable)
        error = verdict.error
        if error is None:
            self._complete(work, exchange, collected)
            return
        if result.status is None and result.error is not None:
            # Such a line has no status of its own.
            error = replace(error, message=result.error.message, http_status=None)
        work.unusable += verdict.unusable
        if verdict.action is Action.STOP:
            collected.refusal = error.message
        if verdict.action is Action.FAIL or work.unusable > 1 or work.attempts >= self.attempts:
            self._failures.fail(work, error, exchange)
            collected.failed += 1
        else:
            collected.rest.append(TaskEntry.of(work))

    def _complete(self, work: Work, exchange: Exchange, collected: Collected) -> None:
        check = self._checks.get(work.task.variant)
        error = check.fault(exchange) if check is not None else None
        if check is None or error is None:
            self._recorder.completed(work, exchange)
            collected.ok += 1
        elif work.request.body and check.repair(work, exchange, error):
            self._recorder.tallies[work.task.variant].repairs += 1
            collected.rest.append(TaskEntry.of(work))
        else:
            self._failures.fail(work, error, exchange)
            collected.failed += 1

    def _exchange(self, work: Work, batch: BatchObject, submission: Submission, line: ResultLine) -> Exchange:
        wall, now = self._clock.wall(), self._clock.monotonic()
        began = batch.created_at or submission.created_at or wall
        ended = max(began, batch.ended_at or wall)
        body, reply, fault = _read(work, line)
        status = line.status if line.status is not None else 200
        return Exchange(status, {}, body, reply, fault, now - (wall - began), None, now - (wall - ended))


def _read(work: Work, line: ResultLine) -> tuple[bytes, Reply | None, Fault | None]:
    if line.error is not None:
        return b"", Reply(error=line.error), None
    body = json_bytes(line.body)
    if line.status is not None and not 200 <= line.status < 300:
        return body, Reply(error=read_error(line.body)), None
    try:
        return body, read_reply(work.task.request.api, body), None
    except ReplyFormatError as error:
        return body, None, Fault(ErrorKind.PROTOCOL, error.code, str(error), answered=True)


def read_lines(path: Path) -> Iterator[Any]:
    """Read the lines of a file of results; one that is not JSON is given as None. Raises OSError."""
    with path.open("rb") as file:
        for number, raw in enumerate(file):
            line = raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw
            if not line.strip():
                continue
            yield _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        return parse(line)
    except ValueError:
        return None
