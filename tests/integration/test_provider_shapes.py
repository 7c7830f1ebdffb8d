"""What each kind of provider is sent on the wire: path, key, query, headers, parameters under their right names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import batch
from batch.policy.cut_prompts import cut_prompt
from batch.providers.presets import PRESETS
from tests.support.jobs import JobFolder, run_here
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply, error
from tests.support.scripts import for_rows, row_number


def sent_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, Any], **model: Any) -> Received:
    """The request that a job for this provider sends."""
    if key := PRESETS[name].api_key_env:
        monkeypatch.setenv(key, "sk-canary")
    with ScriptedEndpoint(lambda r: [chat_reply("ok") if r.body else error(404, {"detail": "no list of models"})]) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1)
        table = {key: value.replace("HERE", endpoint.origin) if isinstance(value, str) else value for key, value in settings.items()}
        result = batch.run(
            {
                "input": {"path": str(folder.path / "rows.jsonl")},
                "prompt": {"user": "{{ text }}"},
                "provider": {name: table},
                "model": [{"id": f"{name}/test-model", **model}],
                "output": {"dir": str(folder.directory)},
            }
        )
        assert result.exit_code == 0
        return next(received for received in endpoint.requests if received.body)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"local"}))
def test_every_preset_sends_a_plain_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each preset's key goes in its header, servers without one get none, and max_tokens and seed go under the names that it knows."""
    received = sent_by(tmp_path, monkeypatch, name, {"base_url": "HERE"}, max_tokens=7, seed=3)
    body = received.json()
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    keys = {header: received.headers.get(header) for header in ("authorization", "api-key")}
    local = PRESETS[name].api_key_env is None
    azure = {"authorization": None, "api-key": "sk-canary"}
    bearer = {"authorization": None if local else "Bearer sk-canary", "api-key": None}
    assert keys == (azure if name == "azure" else bearer)
    assert body["max_completion_tokens" if name in {"openai", "azure"} else "max_tokens"] == 7
    assert body["random_seed" if name == "mistral" else "seed"] == 3


def test_azures_dated_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment's URL gets no version, its api-version goes into the query, the key into api-key."""
    provider = {"base_url": "HERE/openai/deployments/gpt-4o", "query": {"api-version": "2024-10-21"}}
    received = sent_by(tmp_path, monkeypatch, "azure", provider)
    assert received.path == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert received.headers["api-key"] == "sk-canary"


def test_openrouters_headers_and_routing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its headers go along when they are set, and its routing is a parameter."""
    provider = {"base_url": "HERE/api/v1", "headers": {"HTTP-Referer": "https://your.app", "X-Title": "Your app"}}
    received = sent_by(tmp_path, monkeypatch, "openrouter", provider, provider={"order": ["a"], "allow_fallbacks": False})
    assert received.path == "/api/v1/chat/completions"
    assert (received.headers["http-referer"], received.headers["x-title"]) == ("https://your.app", "Your app")
    assert received.json()["provider"] == {"order": ["a"], "allow_fallbacks": False}


def test_vllms_own_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the OpenAI SDK takes as extra_body stands in the body itself, known options and others alike."""
    parameters = {"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}, "extra_body": {"not_yet_known": [1]}}
    body = sent_by(tmp_path, monkeypatch, "vllm", {"base_url": "HERE"}, **parameters).json()
    assert (body["top_k"], body["chat_template_kwargs"], body["not_yet_known"]) == (5, {"enable_thinking": False}, [1])
    assert "extra_body" not in body


def test_geminis_and_anthropics_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their compatible endpoints have paths of their own, which are kept; Gemini's settings are nested as it wants them."""
    google = {"google": {"thinking_config": {"thinking_budget": 0}}}
    gemini = sent_by(tmp_path, monkeypatch, "gemini", {"base_url": "HERE/v1beta/openai/"}, extra_body={"extra_body": google})
    assert (gemini.path, gemini.json()["extra_body"]) == ("/v1beta/openai/chat/completions", google)
    (tmp_path / "second").mkdir()
    claude = sent_by(
        tmp_path / "second", monkeypatch, "anthropic", {"base_url": "HERE"}, thinking={"type": "enabled", "budget_tokens": 2000}
    )
    assert (claude.path, claude.json()["thinking"]["budget_tokens"]) == ("/v1/chat/completions", 2000)


def test_a_service_without_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With exact_url nothing is added to the path."""
    assert sent_by(tmp_path, monkeypatch, "vllm", {"base_url": "HERE/llm", "exact_url": True}).path == "/llm/chat/completions"


def test_ollama_that_cuts_prompts_is_told_of_once(tmp_path: Path) -> None:
    """A prompt of which a server read far too few tokens is told, once; of other providers nothing is thought."""

    def handler(received: Received) -> Iterable[Action]:
        tokens = 2048 if row_number(received) >= 3 else 10_000
        return [chat_reply(usage={"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1})]

    rows = [{"id": f"r{number}", "text": "word " * 8000 + str(number)} for number in range(6)]
    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, provider='preset = "ollama"', concurrency=1)
        session = run_here(folder)
        (told,) = session.notices
        assert told.startswith("house seems to cut prompts: row 3 (id r3) has 40,001 characters, and only 2,048 tokens were read")
        other = JobFolder(tmp_path, endpoint.url, rows=rows)
        other.directory = tmp_path / "runs" / "other"
        assert run_here(other).notices == []


@pytest.mark.parametrize(
    ("body", "usage", "found"),
    [
        (b'{"messages":[{"role":"user","content":"' + b"x" * 50_000 + b'"}]}', {"prompt_tokens": 4096}, (50_000, 4096)),
        (b'{"prompt":"' + b"x" * 50_000 + b'"}', {"prompt_tokens": 4096}, (50_000, 4096)),
        (b'{"messages":[{"role":"user","content":"' + b"x" * 3_000 + b'"}]}', {"prompt_tokens": 5}, None),
        (b'{"messages":[{"role":"user","content":"' + b"x" * 50_000 + b'"}]}', {"prompt_tokens": 10_000}, None),
        (b'{"messages":[{"role":"user","content":"' + b"x" * 50_000 + b'"}]}', {"prompt_tokens": 0}, None),
        (b'{"messages":[{"role":"user","content":"' + b"x" * 50_000 + b'"}]}', None, None),
        (
            b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"' + b"x" * 50_000 + b'"}}]}]}',
            {"prompt_tokens": 99},
            None,
        ),
    ],
)
def test_what_speaks_for_a_cut_prompt(body: bytes, usage: dict[str, int] | None, found: tuple[int, int] | None) -> None:
    """Only text counts, short prompts never do, and a server that tells no tokens is not suspected."""
    assert cut_prompt(body, usage) == found
