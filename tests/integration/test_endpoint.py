"""`batch.Endpoint`: complete and stream, async and sync."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import anyio
import pytest

import batch
from batch import Endpoint
from batch.app.resolve import resolve
from batch.errors import APIError, NetworkError, ProtocolError, SetupError
from batch.job import provider_settings
from batch.providers.presets import PRESETS
from tests.support.processes import unused_port
from tests.support.scripted import HANG, RESET, Action, Received, ScriptedEndpoint, chat_reply, error, http
from tests.support.scripts import happens
from tests.support.streams import STREAM_END, delta, event, sse_text, stream_head

LOADING = error(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch.app.endpoint.backoff", lambda attempt, random: 0.0)


async def test_complete() -> None:
    """A prompt becomes one user message; parameters of the endpoint and of the call go with it."""
    with ScriptedEndpoint() as server:
        async with Endpoint("my/model", base_url=server.origin, temperature=0, top_p=0.5) as model:
            answer = await model.complete("hello", top_p=1.0)
    assert (answer.text, answer.finish_reason, answer.attempts) == ("answer to hello", "stop", 1)
    assert answer.usage == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert answer.response["object"] == "chat.completion"
    assert answer.latency_s > 0
    assert server.requests[0].path == "/v1/chat/completions"
    assert "authorization" not in server.requests[0].headers
    assert server.requests[0].json() == {
        "model": "my/model",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0,
        "top_p": 1.0,
    }


async def test_messages_and_other_apis() -> None:
    """Messages are sent as they are; completions and embeddings take their text."""
    with ScriptedEndpoint() as server:
        async with Endpoint("m", base_url=server.url) as chat:
            messages = [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "u"}]}]
            await chat.complete(messages)
            assert server.requests[-1].json()["messages"] == messages
            assert await chat.models() == ["test-model"]
        async with Endpoint("m", base_url=server.url, api="completions") as completions:
            assert (await completions.complete("x")).text == "answer to x"
        async with Endpoint("m", base_url=server.url, api="embeddings") as embeddings:
            assert (await embeddings.complete("x")).embedding == [0.5, -0.25]


async def test_stream() -> None:
    """A stream gives the chunks as they come, usage included."""
    with ScriptedEndpoint() as server:
        async with Endpoint("m", base_url=server.url) as model:
            chunks = [chunk async for chunk in model.stream("hello")]
    assert "".join(chunk.text for chunk in chunks) == "answer to hello"
    assert chunks[-1].usage is not None
    sent = server.requests[0].json()
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})


async def test_stream_of_a_server_that_does_not() -> None:
    """A plain reply to a stream's request is one chunk."""
    with ScriptedEndpoint(lambda _: [chat_reply("Paris")]) as server:
        async with Endpoint("m", base_url=server.url) as model:
            chunks = [chunk async for chunk in model.stream("hello")]
    assert [(chunk.text, chunk.finish_reason) for chunk in chunks] == [("Paris", "stop")]


async def test_retries_until_it_is_answered() -> None:
    """What may pass is tried again; the attempts are counted."""
    script: list[list[Action]] = [[error(500)], [RESET], [http(200, b"<html>")], [chat_reply("Paris")]]
    with ScriptedEndpoint(lambda received: script[received.number - 1]) as server:
        async with Endpoint("m", base_url=server.url, attempts=4) as model:
            answer = await model.complete("x")
    assert (answer.text, answer.attempts, len(server.requests)) == ("Paris", 4, 4)


async def test_attempts_end() -> None:
    """Promise 6: after its attempts a call gives up, with the last error."""
    with ScriptedEndpoint(lambda _: [error(500, "oops")]) as server:
        async with Endpoint("m", base_url=server.url, attempts=3) as model:
            with pytest.raises(APIError, match="oops") as caught:
                await model.complete("x")
    assert (len(server.requests), caught.value.info.code, caught.value.info.http_status) == (3, "server_error", 500)


async def test_what_is_not_tried_again() -> None:
    """A bad request and a refused key are told at once."""
    for status, code in ((400, "bad_request"), (401, "authentication")):
        with ScriptedEndpoint(lambda _, status=status: [error(status, "no")]) as server:  # type: ignore[misc]
            async with Endpoint("m", base_url=server.url) as model:
                with pytest.raises(APIError) as caught:
                    await model.complete("x")
        assert (len(server.requests), caught.value.info.code) == (1, code)


async def test_loading_is_waited_out() -> None:
    """Fault 12: a server that is loading costs no attempts."""
    with ScriptedEndpoint(lambda received: [LOADING] if received.number < 9 else [chat_reply()]) as server:
        async with Endpoint("m", base_url=server.url, attempts=1) as model:
            assert (await model.complete("x")).text == "ok"
    assert len(server.requests) == 9


async def test_outages_end() -> None:
    """Fault 13: an endpoint that cannot be reached is waited for, but not for ever."""
    async with Endpoint("m", base_url=f"http://127.0.0.1:{unused_port()}", outage_timeout_s=0.05) as model:
        with pytest.raises(NetworkError) as caught:
            await model.complete("x")
    assert caught.value.info.code == "connect"


@pytest.mark.parametrize("status", [429, 500])
async def test_too_long_a_wait_is_not_slept_on(status: int) -> None:
    """Fault 2: a server that asks for an hour gets its error raised, not an hour's sleep, and not an early attempt."""
    with ScriptedEndpoint(lambda _: [error(status, "later", {"retry-after": "3600"})]) as server, anyio.fail_after(10):
        async with Endpoint("m", base_url=server.url) as model:
            with pytest.raises(APIError, match="later"):
                await model.complete("x")
    assert len(server.requests) == 1


async def test_stream_is_tried_again_only_before_the_first_token() -> None:
    """A stream that fails before its first token is tried again; one cut later raises, since what was given cannot be taken back."""

    def script(received: Received) -> Iterable[Action]:
        if received.number == 1:
            return [stream_head() + event(delta(role="assistant", content="")) + STREAM_END]
        return [stream_head() + event(delta(content="Par")) + STREAM_END]

    seen: list[str] = []

    async def listen(model: Endpoint) -> None:
        async for chunk in model.stream("x"):
            seen.append(chunk.text)  # noqa: PERF401 - the loop raises

    with ScriptedEndpoint(script) as server:
        async with Endpoint("m", base_url=server.url) as model:
            with pytest.raises(ProtocolError) as caught:
                await listen(model)
    assert ("".join(seen), len(server.requests), caught.value.info.code) == ("Par", 2, "truncated_stream")


async def test_leaving_a_stream_closes_it() -> None:
    """Who stops listening frees the connection."""
    with ScriptedEndpoint(lambda _: [stream_head() + event(delta(content="Par")), HANG]) as server:
        async with Endpoint("m", base_url=server.url) as model:
            chunks = model.stream("x")
            assert (await anext(chunks)).text == "Par"
            await chunks.aclose()
            await happens(lambda: not server.open_connections)


async def test_many_at_once() -> None:
    """Calls on one Endpoint run side by side."""
    with ScriptedEndpoint() as server:
        async with Endpoint("m", base_url=server.url) as model:
            answers = await asyncio.gather(*(model.complete(str(n)) for n in range(50)))
    assert [answer.text for answer in answers] == [f"answer to {n}" for n in range(50)]


def test_sync_twins() -> None:
    """The sync twins do the same; inside `with` they keep their connection."""
    with ScriptedEndpoint() as server:
        with Endpoint("m", base_url=server.url) as model:
            assert [model.complete_sync(str(n)).text for n in range(3)] == ["answer to 0", "answer to 1", "answer to 2"]
            assert "".join(chunk.text for chunk in model.stream_sync("x y")) == "answer to x y"
        assert server.connections == 1
        alone = Endpoint("m", base_url=server.url)
        assert alone.complete_sync("z").text == "answer to z"
        assert "".join(chunk.text for chunk in alone.stream_sync("z")) == "answer to z"


def test_leaving_a_sync_stream() -> None:
    """A sync stream may be left in mid-answer, and the Endpoint used again."""
    replies: list[list[Action]] = [[stream_head() + event(delta(content="Par")), HANG], [sse_text("done")]]
    with ScriptedEndpoint(lambda received: replies[received.number - 1]) as server, Endpoint("m", base_url=server.url) as model:
        for chunk in model.stream_sync("x"):
            assert chunk.text == "Par"
            break
        assert "".join(chunk.text for chunk in model.stream_sync("x")) == "done"


async def test_outside_its_context() -> None:
    """A call outside `async with` says how it is meant."""
    with pytest.raises(RuntimeError, match="async with"):
        await Endpoint("m", base_url="http://127.0.0.1:1").complete("x")


async def test_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN 10: the anyscale preset takes the service's URL and key from the environment; the model id keeps its slashes."""
    with ScriptedEndpoint() as server:
        monkeypatch.setenv("ANYSCALE_BASE_URL", server.origin)
        monkeypatch.setenv("ANYSCALE_API_KEY", "sk-anyscale-0123")
        async with Endpoint("anyscale/mistralai/Mistral-7B-Instruct-v0.1") as model:
            await model.complete("x")
    assert server.requests[0].json()["model"] == "mistralai/Mistral-7B-Instruct-v0.1"
    assert server.requests[0].headers["authorization"] == "Bearer sk-anyscale-0123"


@pytest.mark.parametrize(
    ("model", "base_url", "environ", "said"),
    [
        ("gpt-5-mini", None, {}, "names no provider"),
        ("nowhere/x", None, {}, "names no provider"),
        ("local/smollm2", None, {}, "promptmill serve"),
        ("anyscale/x", None, {}, "ANYSCALE_BASE_URL"),
        ("anyscale/x", None, {"ANYSCALE_BASE_URL": "http://h"}, "ANYSCALE_API_KEY"),
        ("anyscale/x", None, {"ANYSCALE_BASE_URL": "https://api.endpoints.anyscale.com/v1", "ANYSCALE_API_KEY": "k"}, "2024-08-01"),
        ("m", "ftp://h", {}, "http://"),
    ],
)
def test_setup_errors(model: str, base_url: str | None, environ: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said when the Endpoint is made, by name."""
    monkeypatch.delenv("ANYSCALE_BASE_URL", raising=False)
    monkeypatch.delenv("ANYSCALE_API_KEY", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match=said):
        batch.Endpoint(model, base_url=base_url)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"local"}))
def test_a_provider_means_the_same_as_in_a_job(name: str) -> None:
    """An Endpoint of a preset has the settings that a job of this preset has: one mapping serves both."""
    environ = {"ANYSCALE_BASE_URL": "https://a.example", "AZURE_OPENAI_ENDPOINT": "https://b.example"}
    key = PRESETS[name].api_key_env
    settings, model, value = resolve(f"{name}/vendor/m", None, None, environ | ({key: "sk-0123456789"} if key else {}))
    assert (settings, model, value) == (provider_settings(name, environ), "vendor/m", "sk-0123456789" if key else None)
