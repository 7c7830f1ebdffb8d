"""Watches one worker pool for people: what is in flight, which attempts failed, and what limits the pool. It decides nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Protocol

from batch.clock import Clock
from batch.engine.backlog import Backlog
from batch.engine.decisions import Decision, Fail, Retry
from batch.engine.endpoint_pool import EndpointPool
from batch.engine.halt import Halt
from batch.engine.limited_by import Cause, limited_by
from batch.engine.row_reader import RowReader
from batch.engine.work import PooledEndpoint, Work, rows_of
from batch.journal.attempts import FailedAttempt, Sequel
from batch.journal.watching import PoolSample, WatchFiles
from batch.policy.redaction import sample as beginning
from batch.policy.verdicts import Verdict
from batch.records import ErrorInfo, Exchange
from batch.tally import Tally

# Requests in flight that are named in the present state: the oldest ones.
SHOWN_IN_FLIGHT = 50
LIVE_INTERVAL_S = 1.0
# Samples become rarer as a session grows older, so that their number grows with the logarithm of its time: 8,000 in a night.
SAMPLES_PER_AGE = 2000
# A longer gap between two samples is no work: the process was suspended.
LONGEST_GAP_S = 5.0
_ANSWER_CHARACTERS = 8000
# The names by which providers and gateways give a request's id.
_REQUEST_IDS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "x-goog-request-id", "cf-ray", "x-ms-request-id")


class Traces(Protocol):
    """Takes each attempt that ended, for a tracing system."""

    def add(self, work: Work, endpoint: PooledEndpoint, exchange: Exchange, code: str, epoch: float) -> None:
        """Add an attempt, "ok" or with the code of its error. `epoch` is the wall time of monotonic second 0."""

    def finish(self) -> None:
        """Begin to send what waits, and return at once."""

    def close(self) -> None:
        """Wait until it is sent, for a few seconds at most."""


class PoolMonitor:
    """Watches one pool; `files` is None where nothing is kept, `traces` where none are sent. Call `watch` before anything is sent."""

    def __init__(self, files: WatchFiles | None, clock: Clock, traces: Traces | None = None) -> None:
        self.in_flight: dict[int, tuple[Work, PooledEndpoint, float]] = {}
        self.account: dict[Cause, float] = {}
        self._files, self._traces = files, traces
        self._counts_attempts = False
        self._clock = clock
        self._epoch = clock.wall() - clock.monotonic()
        self._began = self._last = clock.monotonic()
        self._live_at = -LIVE_INTERVAL_S
        self._sampled_at = self._began
        self._since: dict[Cause, float] = {}
        self._parts: tuple[EndpointPool, Backlog, RowReader, Halt] | None = None

    def watch(self, pool: EndpointPool, backlog: Backlog, reader: RowReader, halt: Halt, *, counts_attempts: bool) -> None:
        """Watch a pool with its queue, reader and pauses; those of another pass over the rows replace the former ones.

        `counts_attempts`: each attempt is counted, four entries for each row, which only metrics read.
        """
        self._parts, self._counts_attempts = (pool, backlog, reader, halt), counts_attempts
        self._last = self._clock.monotonic()

    def began(self, work: Work, endpoint: PooledEndpoint, now: float) -> None:
        """Take note of a request that leaves."""
        self.in_flight[id(work)] = work, endpoint, now

    def ended(self, work: Work) -> None:
        """Take note of a request that is not in flight any more."""
        self.in_flight.pop(id(work), None)

    def attempted(self, tally: Tally, work: Work, endpoint: PooledEndpoint, exchange: Exchange, code: str) -> None:
        """Count and trace an attempt that ended, "ok" or with the code of its error, where that is wanted."""
        if self._counts_attempts:
            first = None if exchange.first_token_at is None else exchange.first_token_at - exchange.sent_at
            tally.ended(endpoint.limiter.name, code, exchange.done_at - exchange.sent_at, first)
        if self._traces is not None:
            # No library's exception may end a run.
            with suppress(Exception):
                self._traces.add(work, endpoint, exchange, code, self._epoch)

    def followed(self, work: Work, exchange: Exchange, verdict: Verdict, decisions: Iterable[Decision]) -> Iterator[Decision]:
        """Pass the decisions on an attempt through, and keep the attempt with what followed."""
        sequel: Retry | Fail | None = None
        for decision in decisions:
            if isinstance(decision, Retry | Fail) and decision.work is work:
                sequel = decision
            yield decision
        self._keep(work, exchange, verdict.error, verdict.wait, sequel)

    def refused(self, work: Work, exchange: Exchange, decision: Decision) -> Iterator[Decision]:
        """Pass the decision on an answer that does not fit through, and keep the attempt."""
        yield decision
        sequel = decision if isinstance(decision, Retry | Fail) else None
        self._keep(work, exchange, None, None, sequel)

    def sample(self, is_behind: Callable[[str], bool]) -> None:
        """Add the time since the last call to the account. `is_behind` says whether a variant's journal waits for the disk."""
        now = self._clock.monotonic()
        gap, self._last = now - self._last, now
        if self._parts is None:
            return
        pool, backlog, reader, halt = self._parts
        waits_for_disk = any(map(is_behind, pool.variants))
        cause = limited_by(pool, backlog, exhausted=reader.exhausted, is_behind=waits_for_disk, now=now)
        if halt.paused:
            cause = "paused"
        if gap > LONGEST_GAP_S:
            cause = "idle"
        for account in (self.account, self._since):
            account[cause] = account.get(cause, 0.0) + gap
        if self._files is None:
            return
        if now - self._sampled_at >= max(1.0, (now - self._began) / SAMPLES_PER_AGE):
            self._keep_sample(pool, backlog, now)
        if now - self._live_at >= LIVE_INTERVAL_S:
            self._live_at = now
            self._files.flush()
            self._files.write_live(self._state(pool, backlog, halt, cause, now))

    def finish(self) -> None:
        """Begin what `close` waits for, so that several monitors wait together; nothing is in flight any more."""
        if self._traces is not None:
            with suppress(Exception):
                self._traces.finish()

    def close(self) -> None:
        """Write what waits; nothing is in flight any more."""
        if self._traces is not None:
            with suppress(Exception):
                self._traces.close()
        if self._files is None:
            return
        if self._parts is not None and self._since:
            pool, backlog, *_ = self._parts
            self._keep_sample(pool, backlog, self._clock.monotonic())
        self._files.close()

    def _keep_sample(self, pool: EndpointPool, backlog: Backlog, now: float) -> None:
        assert self._files is not None  # noqa: S101 - its callers have seen that
        self._sampled_at = now
        waiting = len(backlog) - len(backlog.ready)
        self._files.add_sample(PoolSample(self._epoch + now, len(self.in_flight), pool.limit, waiting, dict(self._since)))
        self._since.clear()

    def _state(self, pool: EndpointPool, backlog: Backlog, halt: Halt, cause: Cause, now: float) -> Mapping[str, Any]:
        return {
            "time": self._epoch + now,
            "began": self._epoch + self._began,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "pool": pool.name,
            "in_flight": len(self.in_flight),
            "limit": pool.limit,
            "waiting": len(backlog) - len(backlog.ready),
            "limited_by": cause,
            "paused": halt.paused,
            "account": dict(self.account),
            "endpoints": [_endpoint_state(endpoint, now) for endpoint in pool.endpoints],
            "oldest": [self._request_state(*each) for each in islice(self.in_flight.values(), SHOWN_IN_FLIGHT)],
        }

    def _request_state(self, work: Work, endpoint: PooledEndpoint, since: float) -> Mapping[str, Any]:
        task = work.task
        place = {"variant": task.variant, "row": task.ordinal, "id": task.id[:200], "repeat": task.repeat}
        return {**place, "attempt": work.tries, "endpoint": endpoint.limiter.name, "since": self._epoch + since}

    def _keep(self, *facts: Any) -> None:
        # Whatever a reply holds, its row has been decided on, and must not fail for what is kept of it.
        with suppress(Exception):
            self._add(*facts)

    def _add(self, work: Work, exchange: Exchange, error: ErrorInfo | None, asked: float | None, sequel: Retry | Fail | None) -> None:
        endpoint = work.endpoint
        error = error or (sequel.error if sequel is not None else None)
        if self._files is None or endpoint is None or error is None:
            return
        then: Sequel = "retried" if isinstance(sequel, Retry) else "failed" if sequel is not None else "set aside"
        redact = endpoint.client.redactor.text
        request_id = next((value for name in _REQUEST_IDS if (value := exchange.headers.get(name))), None)
        answer = _answer(exchange)
        self._files.add_attempt(
            FailedAttempt(
                time=self._epoch + exchange.done_at,
                variant=work.task.variant,
                row=work.task.ordinal,
                id=work.task.id,
                repeat=work.task.repeat,
                number=work.tries,
                endpoint=endpoint.limiter.name,
                status=exchange.status,
                kind=error.kind.value,
                code=error.code,
                message=error.message if rows_of(work) == 1 else f"with {rows_of(work) - 1} other rows: {error.message}",
                took_s=round(exchange.done_at - exchange.sent_at, 4),
                then="test" if work.is_probe else then,
                wait_s=round(max(0.0, sequel.due - exchange.done_at), 3) if isinstance(sequel, Retry) else None,
                asked_wait_s=asked,
                request_id=None if request_id is None else redact(request_id),
                answer=None if answer is None else redact(answer),
            )
        )


def _answer(exchange: Exchange) -> str | None:
    """Return the text of a reply, or else the beginning of its body; None for an empty one."""
    reply = exchange.reply
    if reply is not None and reply.error is None and reply.text is not None:
        return reply.text
    if reply is not None and reply.error is not None and reply.error.answer is not None:
        return reply.error.answer
    return beginning(exchange.body, _ANSWER_CHARACTERS) or None


def _endpoint_state(endpoint: PooledEndpoint, now: float) -> Mapping[str, Any]:
    limiter = endpoint.limiter
    return {
        "name": limiter.name,
        "in_flight": endpoint.in_flight,
        "limit": limiter.concurrency.limit,
        "paused_s": round(limiter.paused(now), 1),
        "learned_per_minute": round(60 * limiter.learned.rate(now), 1) if limiter.learned.is_active else None,
        "is_serving": limiter.breaker.closed and endpoint.refusal is None,
    }


def close_all(monitors: Iterable[PoolMonitor]) -> None:
    """Close the monitors of a session; what they wait for they wait for together."""
    closing = list(monitors)
    for monitor in closing:
        monitor.finish()
    for monitor in closing:
        monitor.close()
