"""The budget of bytes for large replies in flight, and which bodies are streams."""

from __future__ import annotations

import anyio
import pytest

from batch.clock import SystemClock
from batch.records import Exchange
from batch.settings import ProviderSettings, RunSettings
from batch.transport.client import Client
from batch.transport.decoding import is_stream
from batch.transport.engines import open_engine
from batch.transport.reply_budget import FREE_BYTES, ReplyBudget
from batch.transport.wire import Engine, Response, Target
from tests.support.scripted import PATIENCE_S, ScriptedEndpoint, chat_reply
from tests.support.scripts import request

MIB = 1024 * 1024


def test_small_replies_need_no_room() -> None:
    """A reply of usual size is never held up."""
    budget = ReplyBudget(limit=0)
    assert all(budget.has_room(object(), FREE_BYTES) for _ in range(1000))


def test_the_first_always_continues() -> None:
    """The reply that asked first may exceed the budget, so that one at least ends; the next waits for it."""
    budget = ReplyBudget(limit=3 * MIB)
    first, second = object(), object()
    assert budget.has_room(first, 2 * MIB)
    assert not budget.has_room(second, 2 * MIB)
    assert budget.has_room(first, 60 * MIB)
    budget.release(first)
    assert budget.has_room(second, 2 * MIB)


class Counting(Engine):
    """Counts the bytes that were read of replies whose exchange has not ended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.now = self.most = 0

    async def send(self, target: Target, body: bytes) -> Response:
        """The reply, counted."""
        return _Counted(self, await self._engine.send(target, body))

    async def close(self) -> None:
        """The engine is another's."""


class _Counted:
    def __init__(self, counter: Counting, response: Response) -> None:
        self._counter, self._response = counter, response
        self.status, self.headers = response.status, response.headers
        self.close = response.close

    async def read(self) -> bytes | None:
        piece = await self._response.read()
        self._counter.now += len(piece or b"")
        self._counter.most = max(self._counter.most, self._counter.now)
        return piece


async def test_large_replies_wait_for_each_other() -> None:
    """Promise 8: of 12 replies of 5 MiB at once at most the budget and one more are in memory; all are read whole."""
    size, limit, number = 5 * MIB, 8 * MIB, 12
    with ScriptedEndpoint(lambda _: [chat_reply("x" * size)]) as endpoint:
        async with open_engine(RunSettings(), number) as engine:
            counting = Counting(engine)
            provider = ProviderSettings(name="test", base_url=endpoint.url)
            client = Client(provider, None, RunSettings(), clock=SystemClock(), engine=counting, budget=ReplyBudget(limit))
            read: list[Exchange] = []

            async def ask() -> None:
                exchange = await client.exchange(request())
                counting.now -= len(exchange.body)
                read.append(exchange)

            with anyio.fail_after(PATIENCE_S):
                async with anyio.create_task_group() as group:
                    for _ in range(number):
                        group.start_soon(ask)
    assert [len(exchange.reply.text or "") for exchange in read if exchange.reply] == [size] * number
    assert counting.most <= limit + size + number * (FREE_BYTES + MIB)
    assert counting.most < number * size / 2


@pytest.mark.parametrize(
    ("head", "labelled", "streamed"),
    [
        (b"", True, None),
        (b"\n\n ", True, None),
        (b"\xef\xbb", False, None),
        (b"\xef\xbb\xbfdata: {", False, True),
        (b"da", False, None),
        (b"data:", False, None),
        (b"data: x", False, False),
        (b"data: x", True, True),
        (b'data: {"a"', False, True),
        (b": ping\n", False, True),
        (b"event: message\n", False, True),
        (b'\n {"a"', True, False),
        (b"[", True, False),
        (b"<html>", True, True),
        (b"<html>", False, False),
        (b"detail", False, False),
    ],
)
def test_the_bytes_decide_what_is_a_stream(head: bytes, labelled: bool, streamed: bool | None) -> None:
    """Fault 66: the first bytes show what a body is; the label counts for what shows nothing."""
    assert is_stream(head, labelled=labelled) is streamed
