"""Fuzzing: mutated replies of all APIs through reading, verdict, cost, counting, the journal line and the outputs' line."""

from __future__ import annotations

import random
import time

import orjson
import pytest

from batch import errors
from batch.clock import SystemClock
from batch.engine.recorder import count
from batch.journal.lines import decode, encode
from batch.policy.cut_prompts import cut_prompt
from batch.policy.pricing import WorstCase, cost_of
from batch.policy.rate_limiter import RateLimiter
from batch.policy.usage import added
from batch.policy.verdicts import Action, judge
from batch.providers.replies import read_reply
from batch.records import Exchange, Outcome
from batch.settings import Price, PromptSettings, ProviderSettings, RunSettings, TokenPrices, Variant
from batch.tally import Tally
from batch.transport.client import Client
from batch.transport.wire import Engine, Response, Target
from tests.support.mutations import MutatedReply, mutated_reply
from tests.support.scripts import KEY, request

PRICE = Price(rates=TokenPrices(input=1.0, output=2.0, cached_input=0.5, cache_write=1.25))
VARIANT = Variant(
    name="v", slug="v", provider=ProviderSettings(name="p", base_url="http://x/v1"), model="m", parameters={}, prompt=PromptSettings()
)
KNOWN_CODES = set((errors.__doc__ or "").replace("│", " ").split())


class Replay(Engine):
    """Gives a drawn reply piece by piece, as an HTTP engine does."""

    def __init__(self) -> None:
        self.reply: MutatedReply | None = None

    async def send(self, target: Target, body: bytes) -> Response:
        assert self.reply is not None
        return _Replayed(self.reply)

    async def close(self) -> None:
        pass


class _Replayed:
    def __init__(self, reply: MutatedReply) -> None:
        self.status, self.headers = reply.status, reply.headers
        self._pieces = list(reversed(reply.pieces))
        self._broken = reply.broken

    async def read(self) -> bytes | None:
        if self._pieces:
            return self._pieces.pop()
        if self._broken:
            raise ConnectionResetError(104, "reset by peer")
        return None

    async def close(self) -> None:
        pass


def follow(exchange: Exchange, reply: MutatedReply) -> None:
    """Everything that a run does with an exchange; each step must bear any reply."""
    asked = request(reply.api)
    verdict = judge(exchange, 1.8e9)
    usage = exchange.reply.usage if exchange.reply else None
    assert (verdict.action is Action.DONE) == (verdict.error is None)
    assert verdict.error is None or verdict.error.code in KNOWN_CODES
    rates = RateLimiter(1000, 100_000)
    ticket = rates.sent(asked.body, 0.0)
    rates.ended(ticket, exchange.headers, usage, 1.0, refused=exchange.status == 429)
    assert rates.hold(1.0) >= 0.0
    WorstCase(PRICE, VARIANT).observe(asked, usage)
    cost = cost_of(PRICE, usage)
    assert cost is None or cost == cost
    cut_prompt(asked.body, usage)
    done = verdict.action is Action.DONE
    outcome = Outcome(
        0,
        "r0",
        0,
        bytes(16),
        1,
        verdict.error,
        api=reply.api,
        finish_reason=exchange.reply.finish_reason if exchange.reply else None,
        http_status=exchange.status,
        usage=added({"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}, usage),
        cost_usd=cost,
        response=exchange.body if done else None,
    )
    tally = Tally()
    count(tally, outcome)
    assert tally.prompt_tokens >= 0
    assert tally.completion_tokens >= 0
    line = encode(outcome, is_json=True)
    orjson.loads(line)
    assert line.count(b"\n") == 1
    assert decode(line).usage == outcome.usage
    if done:
        stored = decode(line).response
        assert stored is not None
        again = read_reply(reply.api, stored)
        assert again.error is None
        assert (again.text, again.finish_reason) == (exchange.reply and exchange.reply.text, outcome.finish_reason)


async def sweep(seed: int, number: int) -> dict[str, int]:
    """Follow `number` mutated replies; how they ended, by code."""
    engine = Replay()
    clients = [
        Client(VARIANT.provider, KEY, RunSettings(stream=stream, max_reply_bytes=200_000), clock=SystemClock(), engine=engine)
        for stream in (False, True)
    ]
    endings: dict[str, int] = {}
    for index in range(number):
        chance = random.Random(f"{seed}:{index}")
        engine.reply = mutated_reply(chance)
        exchange = await chance.choice(clients).exchange(request(engine.reply.api))
        try:
            assert exchange.fault is None or exchange.fault.bug is None, exchange.fault
            follow(exchange, engine.reply)
        except Exception as error:
            raise AssertionError(f"seed {seed}, reply {index}: {type(error).__name__}: {error}\n{engine.reply}") from error
        code = "ok" if exchange.fault is None and exchange.reply and exchange.reply.error is None else "not ok"
        endings[code] = endings.get(code, 0) + 1
    return endings


async def test_mutated_replies_end_no_more_than_their_attempt() -> None:
    """Fault 61: whatever is in a reply, it becomes a verdict, a cost and a journal line of strict JSON, and never an exception."""
    seed = 20261127
    print(f"seed {seed}")
    endings = await sweep(seed, 1500)
    assert min(endings["ok"], endings["not ok"]) > 200  # both sides of the reading are tried


@pytest.mark.long
async def test_forty_thousand_mutated_replies() -> None:
    """Fault 61, at full size, with a seed of its own each time."""
    seed = time.time_ns()
    print(f"seed {seed}")
    endings = await sweep(seed, 40_000)
    print(endings)
    assert sum(endings.values()) == 40_000
