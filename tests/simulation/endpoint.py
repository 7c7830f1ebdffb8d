"""The endpoint, in memory, under the seam of the HTTP engines; and the witness: what came, when, and whether it was allowed to come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from batch.policy.blame import ALONE_REFUSALS, DISTINCT_RETRIED
from batch.settings import RunSettings
from batch.transport.wire import Engine, Response, Target
from tests.simulation.weather import BROKE, WHOLE_BUT_ODD, Plight, Weather, plight
from tests.simulation.world import EPOCH, BrokenPromiseError, World, require

# A wait that no server means is not slept on (FAULTS.md, fault 2).
ABSURD_WAIT_S = 7 * 86_400.0
# By these, a page in place of an answer too, a gateway says that it reaches nothing: where nothing was ever served they cost no attempt.
OF_A_GATEWAY = frozenset({"502", "garbage"})
# Refused for the row's sake in words that say nothing of the row: an answered request that meets one shows that the endpoint is at fault.
NAMELESS = frozenset({"400"})


@dataclass
class Witness:
    """What one host saw in one session. Its judgement is made of the replies it gave, not of the client's own counts.

    `unfinished` counts the tasks of each request that may be sent in the session. One whose tasks all have answers may come again only as a
    test: while its model is in `refused`: when something of it was last refused, while nothing that came after that was served.
    """

    world: World
    run: RunSettings
    requests: int = 0
    unfinished: Counter[str] = field(default_factory=Counter)
    refused: dict[str, float] = field(default_factory=dict)
    condemned: set[str] = field(default_factory=set)
    tests: Counter[str] = field(default_factory=Counter)
    answered_tests: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    retried: set[str] = field(default_factory=set)
    not_before: float = 0.0
    ends_run_until: float = 0.0
    suspects: Counter[str] = field(default_factory=Counter)
    unready: bool = False
    last_meaning: dict[str, str] = field(default_factory=dict)
    refused_to_all: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    charged: Counter[str] = field(default_factory=Counter)
    forgiven: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)

    @property
    def suspicious(self) -> bool:
        """Whether the endpoint, and not the rows, must seem to be at fault."""
        return self.unready or sum(min(failures, self.run.repeats) for failures in self.suspects.values()) >= 3

    def _has_served(self, model: str) -> bool:
        return any(count and key.startswith(f"{model}|") for key, count in self.answered.items())

    def arrives(self, key: str) -> bool:
        """A request came; True when it may be a test of this endpoint with an answered request."""
        now = self.world.time()
        model = key.split("|", maxsplit=1)[0]
        self.requests += 1
        self.in_flight += 1
        self.sent[key] += 1
        self._require(
            self.in_flight <= self.run.most_in_flight, "6", f"{self.in_flight} requests at once, {self.run.most_in_flight} allowed"
        )
        # A model that was never served is tested with the answered row of another one.
        tests = model in self.refused or any(not self._has_served(other) for other in self.refused)
        is_test = tests and (self.answered[key] > 0 or self.unfinished[key] < self.run.repeats)
        # A wait that would end the run may be tested with an answered row before it is believed.
        early = self.not_before - now if is_test else max(self.not_before, self.ends_run_until) - now
        self._require(early <= 1e-6, "6 (waits)", f"{key} came {early:.3f} s before the server's wait was over")
        if self.answered[key] - self.answered_tests[key] >= self.unfinished[key]:
            self._require(is_test, "4 (tests)", f"{key} was answered and came again, and nothing of {model} was refused since")
        if is_test:
            self.tests[key] += 1
            return True
        if self.last_meaning.get(key) == "charged" and self.sent[key] > self.run.repeats and not self.suspicious:
            self.retried.add(key)
            allowed = max(20, 2 * self.run.most_in_flight) + self.run.retry_share * len(self.sent) * self.run.repeats + 1
            self._require(len(self.retried) <= allowed, "6 (budget)", f"{len(self.retried)} of {len(self.sent)} rows were retried")
        return False

    def ended(self, key: str, given: Plight, arrived: float, *, is_test: bool) -> None:
        """The client has what there is of the reply."""
        now = self.world.time()
        self.in_flight -= 1
        self.last_meaning[key] = given.meaning
        if given.name in BROKE:
            self.refused_to_all.add(key)
        if given.wait is not None:
            self._asked(-given.wait - EPOCH if given.wait < 0 else now + given.wait, now)
        model = key.split("|", maxsplit=1)[0]
        if given.meaning == "answered":
            if arrived >= self.refused.get(model, 0.0):
                self.refused.pop(model, None)
            self.condemned.discard(model)
            if is_test:
                self.ends_run_until = 0.0
            self.answered[key] += 1
            self.answered_tests[key] += is_test
        else:
            self.refused[model] = now
            self.failed.add(key)
        if given.meaning == "answered" or (given.meaning == "failed" and not (is_test and given.name in NAMELESS)):
            # A row refused in words of its own is no answer: what failed before it stays a suspicion.
            if given.meaning == "answered":
                self.suspects.clear()
            self.unready = False
            return
        if not given.name.startswith("429"):
            self.suspects[key] += 1
        self.unready = self.unready or given.meaning == "unready"
        if is_test:
            self.condemned.add(model)
            # The test has shown that the endpoint is to blame: each task of the rows that it refused gets another attempt.
            self.forgiven.update(dict.fromkeys(self.charged, self.run.repeats))
        elif given.meaning == "charged" and not (given.name in OF_A_GATEWAY and not self.answered):
            self._count_attempt(key)

    def _asked(self, until: float, now: float) -> None:
        """The client was asked to wait."""
        if self.run.outage_timeout_s <= until - now <= ABSURD_WAIT_S:
            self.ends_run_until = max(self.ends_run_until, until)
        elif until - now <= ABSURD_WAIT_S:
            self.not_before = max(self.not_before, until)

    def _count_attempt(self, key: str) -> None:
        """A row is given up after so many attempts; those that end while the endpoint seems to be at fault may be forgiven."""
        self.charged[key] += 1
        # Beside others that failed, a row that spent its attempts may be sent once more.
        once_more = self.run.repeats if len(self.failed) >= DISTINCT_RETRIED else 0
        allowed = self.run.attempts * self.run.repeats + self.forgiven[key] + once_more
        self._require(self.charged[key] <= allowed, "6 (attempts)", f"{key} got {self.charged[key]} attempts, {allowed} allowed")
        self.forgiven[key] += self.suspicious or bool(self.condemned)

    def _require(self, condition: bool, promise: str, text: str) -> None:
        try:
            require(condition, promise, text)
        except BrokenPromiseError as error:
            self.world.accuse(error)


class Endpoint(Engine):
    """All hosts of a session. Answers are made of what was asked, so that each can be told to be whole and of its own request."""

    def __init__(self, world: World, weather: Weather, run: RunSettings, poison: dict[str, str], unfinished: Counter[str]) -> None:
        self._world = world
        self._weather = weather
        self.run = run
        self._poison = poison
        self._unfinished = unfinished
        self.witnesses: dict[str, Witness] = {}
        self.last_progress = world.time()
        self._tests_that_count = ALONE_REFUSALS * len(poison)

    async def send(self, target: Target, body: bytes) -> Response:
        world = self._world
        if world.dead:
            await asyncio.get_running_loop().create_future()
        if target.method == "GET":
            return await self._models()
        document = orjson.loads(body)
        prompt = document["messages"][-1]["content"]
        key = f"{document['model']}|{prompt}|{document['temperature']}"
        witness = self._witness(urlsplit(target.url).hostname or "")
        given = self._choose(prompt, answer_to(document["model"], prompt, document["temperature"]), stream=bool(document.get("stream")))
        world.tick(f"{key} arrives: {given.name}")
        is_test = witness.arrives(key)
        exchange = _Exchange(world, witness, self, key, given, is_test)
        try:
            return await exchange.head()
        except BaseException:
            exchange.end()
            raise

    def ended(self, witness: Witness, key: str, given: Plight, arrived: float, *, is_test: bool) -> None:
        """One exchange is over."""
        if self._world.dead:
            return
        witness.ended(key, given, arrived, is_test=is_test)
        # After a broken promise nothing counts: a run that only tests must end too. An answered test finishes no row, but a row that is
        # refused each time is to blame only when several were answered.
        if (given.meaning in ("answered", "failed") or given.name in WHOLE_BUT_ODD) and self._world.broken is None:
            if not is_test:
                self.last_progress = self._world.time()
            elif self._tests_that_count > 0:
                self._tests_that_count -= 1
                self.last_progress = self._world.time()

    def _choose(self, prompt: str, answer: str, *, stream: bool) -> Plight:
        world, weather = self._world, self._weather
        now = world.time()
        name = next((name for begin, end, name in weather.outages if begin <= now < end), None) or self._poison.get(prompt)
        if name is None:
            name = world.chance.choices((*weather.faults, "ok"), (*weather.faults.values(), max(0.05, 1 - sum(weather.faults.values()))))[0]
        return plight(name, prompt, answer, world.chance, stream=stream, slowness=weather.slowness, now=now)

    def _witness(self, host: str) -> Witness:
        return self.witnesses.setdefault(host, Witness(self._world, self.run, unfinished=self._unfinished))

    async def close(self) -> None:
        """Nothing is open."""

    async def _models(self) -> Response:
        await asyncio.sleep(0.05)
        if self._weather.lists_models:
            return _Whole(200, orjson.dumps({"data": [{"id": "alpha"}, {"id": "beta"}]}))
        return _Whole(404, b"")


class _Whole:
    """A reply that is there."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self._pieces = [body] if body else []

    async def read(self) -> bytes | None:
        return self._pieces.pop() if self._pieces else None

    async def close(self) -> None:
        pass


class _Exchange:
    """One request's reply, given piece by piece."""

    def __init__(self, world: World, witness: Witness, endpoint: Endpoint, key: str, given: Plight, is_test: bool) -> None:
        self._world, self._witness, self._endpoint = world, witness, endpoint
        self._is_test = is_test
        self._arrived = world.time()
        self._key, self._given = key, given
        self._is_over = False
        self._is_whole = False
        self._pieces = self._body()
        self.status = given.status or 0
        self.headers = {name.lower(): value for name, value in dict(given.headers).items()}

    async def head(self) -> Response:
        given = self._given
        await asyncio.sleep(given.seconds)
        if given.status is None:
            if given.hangs:
                await asyncio.get_running_loop().create_future()
            assert given.ending is not None
            raise given.ending
        self._is_whole = not given.body
        return self

    async def read(self) -> bytes | None:
        return await anext(self._pieces, None)

    async def _body(self) -> AsyncGenerator[bytes, None]:
        given = self._given
        size = max(1, -(-len(given.body) // given.pieces))
        try:
            for start in range(0, len(given.body), size):
                if start:
                    await asyncio.sleep(given.gap)
                self._is_whole = start + size >= len(given.body)
                yield given.body[start : start + size]
            if given.hangs:
                await asyncio.get_running_loop().create_future()
            if given.ending is not None:
                raise given.ending
        finally:
            self.end()

    async def close(self) -> None:
        await self._pieces.aclose()
        self.end()

    def end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._world.tick(f"{self._key} ends: {self._given.name}")
            if self._is_whole or self._given.meaning in ("charged", "unready"):
                self._endpoint.ended(self._witness, self._key, self._given, self._arrived, is_test=self._is_test)
            else:
                self._witness.in_flight -= 1


def answer_to(model: str, prompt: str, temperature: float) -> str:
    """The one right answer to a request."""
    return f"{model} answers {prompt} at {temperature}"
