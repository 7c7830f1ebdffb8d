"""The engine's pace against a model of an endpoint, event by event, with a seed."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field, replace

from batch.engine.limiter import EndpointLimiter
from batch.engine.work import Work
from batch.policy.verdicts import Action, Verdict
from batch.records import ErrorInfo, ErrorKind, Exchange, Reply, Request, Task
from batch.settings import RunSettings
from tests.simulation_pace.servers import Model, Server

BODY = b'{"model":"m","messages":[{"role":"user","content":"a question of some length, as they are"}]}'
REPLY_S = 0.03  # what a refusal takes
BIN_S = 5.0


@dataclass
class Trace:
    """What was seen: answers and tokens in bins of BIN_S seconds; (time, limit, in flight) at their ends."""

    sent: int = 0
    refused: int = 0
    refusals: list[float] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    tokens: dict[int, float] = field(default_factory=dict)
    states: list[tuple[float, int, int]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)

    def throughput(self, begin: float, end: float) -> float:
        """Tokens per second between two times."""
        return sum(self.tokens.get(number, 0) for number in range(int(begin / BIN_S), int(end / BIN_S))) / (end - begin)

    def refused_share(self, begin: float) -> float:
        """The share of requests that were refused, of those sent after `begin`."""
        return sum(at >= begin for at in self.refusals) / max(1, sum(at >= begin for at in self.arrivals))

    def mean_in_flight(self, begin: float, end: float) -> float:
        """Mean number in flight between two times."""
        seen = [flight for at, _, flight in self.states if begin <= at < end]
        return sum(seen) / len(seen)


class Play:
    """One run of endless rows against one model."""

    def __init__(self, model: Model, run: RunSettings, seed: int) -> None:
        self.model, self.server, self.trace = model, Server(model), Trace()
        self.random = random.Random(seed)
        self.pace = EndpointLimiter("model", run, rng=random.Random(seed + 1))
        self.now, self.in_flight, self.number = 0.0, 0, 0
        self.retries: list[tuple[float, int, Work]] = []
        self.replies: list[tuple[float, int, Work, float]] = []
        self.flying: dict[int, tuple[Work, float, float]] = {}

    def run(self) -> Trace:
        """Play it to its end."""
        next_state = 0.0
        while self.now < self.model.duration:
            self._send()
            wake = self.now + self.pace.hold(self.now) if self.pace.hold(self.now) > 0 else math.inf
            if self.in_flight < self.pace.concurrency.limit and wake == math.inf:
                wake = self.now
            moment = min(wake, next_state, self.server.next_done(self.now), self.replies[0][0] if self.replies else math.inf)
            if self.model.queues or self.model.per_minute is None:
                moment = min(moment, math.floor(self.now / 10 + 1) * 10.0)  # when slots may change
            done = self.server.next_done(self.now) <= moment
            self.now = max(moment, self.now)
            if self.now >= next_state:
                self.trace.states.append((self.now, self.pace.concurrency.limit, self.in_flight))
                next_state += 1.0
            if done:
                self._answer(self.server.finish(self.now))
            else:
                self.server.advance(self.now)
            while self.replies and self.replies[0][0] <= self.now:
                self._refuse()
        return self.trace

    def _send(self) -> None:
        while self.in_flight < self.pace.concurrency.limit and self.pace.hold(self.now) <= 0:
            if self.retries and self.retries[0][0] <= self.now:
                work = heapq.heappop(self.retries)[2]
            else:
                work = Work(Task(self.number, str(self.number), "m", 1, Request("chat/completions", BODY, b"k" * 16)))
            self.number += 1
            work.ticket = self.pace.sent(work.task, work.request, self.now, first=work.tries == 0, retried=False)
            work.tries += 1
            self.in_flight += 1
            self.trace.sent += 1
            self.trace.arrivals.append(self.now)
            tokens = max(1.0, self.random.lognormvariate(math.log(self.model.median_tokens), self.model.sigma))
            if self.server.admit(self.number, tokens, self.now):
                self.flying[self.number] = (work, self.now, tokens)
            else:
                self.trace.refused += 1
                self.trace.refusals.append(self.now)
                heapq.heappush(self.replies, (self.now + REPLY_S, self.number, work, self.now))

    def _answer(self, request: int) -> None:
        work, sent_at, tokens = self.flying.pop(request)
        self.in_flight -= 1
        reply = Reply(usage={"prompt_tokens": 20, "completion_tokens": int(tokens)})
        exchange = Exchange(200, self.server.left(), b"", reply, None, sent_at, None, self.now)
        self.pace.ended(work.ticket, exchange)
        self.pace.served("m", exchange)
        number = int(self.now / BIN_S)
        self.trace.answers[number] = self.trace.answers.get(number, 0) + 1
        self.trace.tokens[number] = self.trace.tokens.get(number, 0) + tokens

    def _refuse(self) -> None:
        _, request, work, sent_at = heapq.heappop(self.replies)
        self.in_flight -= 1
        exchange = Exchange(429, self.server.left(), b"", None, None, sent_at, None, self.now)
        self.pace.ended(work.ticket, exchange)
        error = ErrorInfo(ErrorKind.API, "rate_limit", "too many", 429)
        verdict = Verdict(
            Action.RETRY, error, 1.0 if self.model.tells_wait else None, charged=True, reduce_concurrency=True, may_be_billed_twice=False
        )
        due, _ = self.pace.postpone(work.task, work.tries, verdict, sent_at, self.now)
        due = max(due, self.now + self.pace.paused(self.now))
        heapq.heappush(self.retries, (due, request, work))


def play(model: Model, seed: int = 1, **settings: object) -> Trace:
    """One run of `model` with these settings."""
    run = replace(RunSettings(concurrency="auto", max_concurrency=1000), **settings)  # type: ignore[arg-type]
    return Play(model, run, seed).run()
