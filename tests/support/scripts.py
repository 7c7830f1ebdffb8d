"""Parts of handlers for scripted endpoints, a client for tests over a real HTTP engine, and certificates for TLS on loopback."""

from __future__ import annotations

import datetime as dt
import ipaddress
import random
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from batch.clock import SystemClock
from batch.records import Api, Exchange, Request
from batch.settings import ProviderSettings, RunSettings
from batch.transport.client import Client
from batch.transport.engines import open_engine
from tests.support.scripted import PATIENCE_S, Action, Handler, Received, ScriptedEndpoint, Sleep, answer, error


def after(seconds: float) -> Handler:
    """Rows are answered after a while."""
    return for_rows(lambda received: [Sleep(seconds), *answer(received)])


def row_number(received: Received) -> int:
    """The row of a JobFolder's question."""
    return int(received.prompt.split()[-1])


def for_rows(handler: Handler) -> Handler:
    """`handler` for rows; the list of models is given as it should be."""

    def handle(received: Received) -> Iterable[Action]:
        return handler(received) if received.body else answer(received)

    return handle


def refuse_every_third(received: Received) -> Iterable[Action]:
    """Rows r0, r3, r6, … have a prompt that is too long."""
    if received.body and row_number(received) % 3 == 0:
        return [error(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})]
    return answer(received)


class Tries:
    """Counts how often each row came: `of` gives 1 for its first attempt."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def of(self, received: Received) -> int:
        """Which attempt of its row this is."""
        self._counts[received.prompt] += 1
        return self._counts[received.prompt]


def first_attempts(faults: dict[int, Sequence[Action]]) -> Handler:
    """Rows whose first attempt meets these actions; all else is answered."""
    tries = Tries()

    def handler(received: Received) -> Iterable[Action]:
        fault = faults.get(row_number(received))
        return fault if tries.of(received) == 1 and fault is not None else answer(received)

    return for_rows(handler)


def until(condition: Callable[[], bool]) -> Iterator[Action]:
    """Keep the request waiting until `condition` holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "what the endpoint waits for did not come"
        yield Sleep(0.005)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "what is waited for did not come"
        time.sleep(0.01)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until `condition` holds; the process must be alive until then."""

    def holds() -> object:
        met = condition()
        assert met or process.poll() is None, process.communicate()
        return met

    wait_until(holds)


def wait_for_requests(endpoint: ScriptedEndpoint, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until the endpoint has seen this many requests; the run must be alive until then."""
    wait_for(lambda: len(endpoint.requests) >= number, process)


def wait_for_line(text: str, process: subprocess.Popen[str]) -> None:
    """Wait until the process has written a line with this to stderr."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if text in line:
            return
    raise AssertionError(f"{text!r} was not said: {''.join(said)}")


class Deck:
    """Deals `shares` (out of `size`) of faults in an order that the seed decides: each `size` requests hold exactly their share."""

    def __init__(self, shares: Sequence[tuple[int, Callable[[Received], Iterable[Action]]]], *, size: int = 100, seed: int = 1) -> None:
        self._cards: list[Handler] = [card for share, card in shares for _ in range(share)]
        self._cards += [answer] * (size - len(self._cards))
        self._random = random.Random(seed)
        self._hand: list[Handler] = []

    def __call__(self, received: Received) -> Iterable[Action]:
        """The next card's actions."""
        if not self._hand:
            self._hand = self._random.sample(self._cards, len(self._cards))
        return self._hand.pop()(received)


KEY = "sk-canary-0123456789"
TLS = Path(__file__).parent / "tls"
TEST_CA = TLS / "ca.pem"
ENGINES = ["asyncio", "httpx"]


def request(api: Api = "chat/completions", **body: Any) -> Request:
    """A request with this body."""
    content = {"messages": [{"role": "user", "content": "hi"}]} if api == "chat/completions" else {"prompt": "hi", "input": "hi"}
    return Request(api, orjson.dumps({"model": "test-model", **content, **body}), bytes(16))


@asynccontextmanager
async def open_client(base_url: str, *, key: str | None = KEY, provider: dict[str, Any] | None = None, **run: Any) -> AsyncIterator[Client]:
    """A client with these run settings, its engine closed at the end."""
    settings = RunSettings(**run)
    async with open_engine(settings, 64) as engine:
        endpoint = ProviderSettings(name="test", base_url=base_url, **(provider or {}))
        yield Client(endpoint, key, settings, clock=SystemClock(), engine=engine)


async def attempt(engine: str, *script: Action, **run: Any) -> Exchange:
    """One exchange with an endpoint that does this."""
    with ScriptedEndpoint(lambda _: script) as endpoint:
        async with open_client(endpoint.url, http=engine, **run) as client:
            return await client.exchange(request())


def codes(exchange: Exchange) -> tuple[int | None, str | None]:
    """The status of an exchange, and the code of its fault."""
    return exchange.status, exchange.fault and exchange.fault.code


def tls_server() -> ssl.SSLContext:
    """TLS for a scripted endpoint, with a certificate for 127.0.0.1 and localhost that only TEST_CA vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    return context


async def happens(happened: Callable[[], object]) -> None:
    """Wait until `happened` is true, which must be."""
    with anyio.fail_after(PATIENCE_S):
        while not happened():  # noqa: ASYNC110 - it happens in another thread
            await anyio.sleep(0.005)


DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority that lives as long as the object. Its certificate is in the file `ca`, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._name, self._key).add_extension(basic, critical=True)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def server(self, host: str, *, expired: bool = False) -> ssl.SSLContext:
        """TLS for a server with a certificate for `host`, a name or an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        builder = self._builder(subject, key, ago=3 if expired else 1)
        certificate = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False).sign(self._key, hashes.SHA256())
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self._folder / f"{host}-{expired}.pem"
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ago: int = 1) -> x509.CertificateBuilder:
        begin = dt.datetime.now(dt.UTC) - ago * DAY
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + 2 * DAY)
        )
