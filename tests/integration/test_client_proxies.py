"""Proxies of the environment: used only where the user asks, never for this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batch.transport.proxies import is_bypassed, proxies_of_environment
from tests.support.processes import unused_port
from tests.support.scripted import ScriptedEndpoint
from tests.support.scripts import ENGINES, open_client, request

VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]

every_engine = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedEndpoint]:
    """A proxy that answers in the place of whatever it is asked for; HTTP_PROXY names it."""
    with ScriptedEndpoint() as endpoint:
        monkeypatch.setenv("http_proxy", endpoint.origin)
        yield endpoint


@every_engine
async def test_used_with_trust_env(engine: str, proxy: ScriptedEndpoint) -> None:
    """With trust_env requests to other machines go through the proxy."""
    async with open_client("http://far.invalid/v1", http=engine, trust_env=True) as client:
        exchange = await client.exchange(request())
    assert exchange.status == 200
    assert proxy.requests[0].path == "http://far.invalid/v1/chat/completions"


@every_engine
async def test_not_used_without(engine: str, proxy: ScriptedEndpoint) -> None:
    """Without trust_env the environment counts for nothing."""
    async with open_client("http://far.invalid/v1", http=engine) as client:
        exchange = await client.exchange(request())
    assert exchange.fault is not None
    assert (exchange.fault.code, proxy.requests) == ("resolve", [])


@every_engine
async def test_this_machine_is_bypassed(engine: str, proxy: ScriptedEndpoint) -> None:
    """Fault 30: an endpoint on this machine is reached straight, proxy or not."""
    with ScriptedEndpoint() as endpoint:
        async with open_client(endpoint.url, http=engine, trust_env=True) as client:
            assert (await client.exchange(request())).status == 200
    assert (len(endpoint.requests), proxy.requests) == (1, [])


@every_engine
async def test_no_proxy(engine: str, proxy: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts in NO_PROXY are reached straight."""
    monkeypatch.setenv("no_proxy", "far.invalid")
    async with open_client("http://far.invalid/v1", http=engine, trust_env=True) as client:
        await client.exchange(request())
    assert proxy.requests == []


@every_engine
async def test_a_proxy_that_is_down(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not there is a fault of its own kind, and nothing was sent."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    async with open_client("http://far.invalid/v1", http=engine, trust_env=True) as client:
        exchange = await client.exchange(request())
    assert exchange.fault is not None
    assert exchange.fault.code in {"proxy", "connect"}
    assert exchange.fault.sent is False


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """ALL_PROXY fills in where there is no other; a proxy without a scheme is an http one."""
    assert proxies_of_environment() == {}
    monkeypatch.setenv("ALL_PROXY", "any:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://secure:2")
    assert proxies_of_environment() == {"http": "http://any:1", "https": "http://secure:2"}


@pytest.mark.parametrize(
    ("host", "bypassed"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("near.example", True),
        ("10.0.0.1", False),
    ],
)
def test_is_bypassed(host: str, bypassed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 30: this machine under all its names, and what NO_PROXY says."""
    monkeypatch.setenv("NO_PROXY", ".example")
    assert is_bypassed(host) is bypassed
