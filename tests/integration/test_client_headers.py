"""What goes out with a request and to whom, what of the reply is kept, and whose certificate is believed, over every HTTP engine."""

from __future__ import annotations

from typing import Any

import pytest

from batch.errors import SetupError
from batch.policy.verdicts import Action, judge
from batch.transport.engines.h1.tls import tls_context
from tests.support.scripted import ScriptedEndpoint, chat_body, chat_reply, error, http
from tests.support.scripts import ENGINES, KEY, TEST_CA, attempt, codes, open_client, request, tls_server

pytestmark = pytest.mark.parametrize("engine", ENGINES)


async def test_a_plain_reply(engine: str) -> None:
    """The reply comes whole and verbatim, over one kept connection, with our headers and none of the engine's own."""
    with ScriptedEndpoint() as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            exchanges = [await client.exchange(request()) for _ in range(3)]
    assert {codes(exchange) for exchange in exchanges} == {(200, None)}
    assert exchanges[0].body == chat_body("answer to hi")
    assert exchanges[0].reply is not None
    assert exchanges[0].reply.text == "answer to hi"
    assert exchanges[0].sent_at <= exchanges[0].done_at
    assert (endpoint.connections, endpoint.requests[0].path) == (1, "/v1/chat/completions")
    headers = endpoint.requests[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["accept-encoding"] == "identity"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("promptmill/")
    assert endpoint.requests[0].body == request().body


async def test_redirect_is_refused(engine: str) -> None:
    """Fault 27, promise 12: a redirect is not followed, and the other host sees neither key nor request."""
    with ScriptedEndpoint() as other:
        exchange = await attempt(engine, http(307, b"", {"location": other.url}))
        assert not other.requests
    verdict = judge(exchange, 0.0)
    assert (exchange.status, verdict.action, verdict.error and verdict.error.code) == (307, Action.STOP, "redirect")


async def test_cookies_are_not_kept(engine: str) -> None:
    """Nothing that an endpoint sets comes back to it."""
    with ScriptedEndpoint(lambda _: [chat_reply(headers={"set-cookie": "a=b; path=/"})]) as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            for _ in range(2):
                await client.exchange(request())
    assert "cookie" not in endpoint.requests[1].headers


async def test_bad_certificate(engine: str) -> None:
    """Fault 31: a certificate that nobody known vouches for fails, and stops the run."""
    with ScriptedEndpoint(tls=tls_server()) as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            exchange = await client.exchange(request())
    assert (codes(exchange), endpoint.requests) == ((None, "tls"), [])
    assert judge(exchange, 0.0).action is Action.STOP


async def test_own_certificate_authority(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 31: SSL_CERT_FILE is the way to trust an authority of one's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TEST_CA))
    tls_context.cache_clear()
    with ScriptedEndpoint(tls=tls_server()) as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            assert codes(await client.exchange(request())) == (200, None)
    tls_context.cache_clear()


async def test_key_echoed(engine: str) -> None:
    """Fault 29, promise 12: a key that the endpoint throws back is in nothing that the client gives."""
    bodies = [
        error(401, f"bad key {KEY}"),
        error(500, f"<html>{KEY}</html>".encode()),
        http(200, f"<html>{KEY}</html>".encode()),
        http(302, b"", {"location": f"https://elsewhere.example/?{KEY}"}),
        chat_reply(f"your key is {KEY}"),
        error(400, b'{"error":{"message":"\\u0073' + KEY[1:].encode() + b'"}}'),
    ]
    for body in bodies:
        exchange = await attempt(engine, body)
        assert KEY not in repr((exchange.body, exchange.reply, exchange.fault, judge(exchange, 0.0)))


@pytest.mark.parametrize(
    ("provider", "header", "value"),
    [
        ({"auth": "bearer"}, "authorization", f"Bearer {KEY}"),
        ({"auth": "api-key"}, "api-key", KEY),
        ({"auth": "none"}, "authorization", None),
        ({"headers": {"X-Title": "mill"}}, "x-title", "mill"),
        ({"headers": {"user-agent": "mine"}}, "user-agent", "mine"),
    ],
)
async def test_headers(engine: str, provider: dict[str, Any], header: str, value: str | None) -> None:
    """The key goes where the provider wants it, and its own headers come over ours."""
    with ScriptedEndpoint() as endpoint:
        async with open_client(f"{endpoint.origin}/a/b", http=engine, provider={**provider, "query": {"api-version": "1 2"}}) as client:
            await client.exchange(request("embeddings"))
    assert endpoint.requests[0].headers.get(header) == value
    assert endpoint.requests[0].path in {"/a/b/embeddings?api-version=1+2", "/a/b/embeddings?api-version=1%202"}


async def test_a_key_that_is_no_header(engine: str) -> None:
    """A key with a line break in it is told of at once, without the key."""
    with pytest.raises(SetupError) as caught:
        async with open_client("http://127.0.0.1/v1", http=engine, key="sk-secret\r\nX: y"):
            pass
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["completions", "embeddings"])
async def test_other_apis(engine: str, path: Any) -> None:
    """Completions and embeddings are read as chats are."""
    with ScriptedEndpoint() as endpoint:
        async with open_client(endpoint.url, http=engine) as client:
            exchange = await client.exchange(request(path))
    assert exchange.reply is not None
    assert exchange.reply.text == "answer to hi" or exchange.reply.embedding == [0.5, -0.25]
