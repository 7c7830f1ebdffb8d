"""Which requests may share an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batch.policy.dedupe import is_repeatable, may_repeat, shares_failure
from batch.records import ErrorInfo, ErrorKind, Request
from batch.settings import PromptSettings, ProviderSettings, Variant


def variant(*, stored: bool = False, **parameters: Any) -> Variant:
    """A variant with these parameters."""
    prompt = PromptSettings(stored=True) if stored else PromptSettings(user="x")
    provider = ProviderSettings(name="house", base_url="http://127.0.0.1:1/v1")
    return Variant(name="m", slug="m", provider=provider, model="m", parameters=parameters, prompt=prompt)


@pytest.mark.parametrize(
    ("of", "api", "body", "may"),
    [
        (variant(temperature=0), "chat/completions", b"{}", True),
        (variant(temperature=0.0), "completions", b"{}", True),
        (variant(temperature=0.1), "chat/completions", b"{}", False),
        (variant(), "chat/completions", b"{}", False),
        (variant(temperature=False), "chat/completions", b"{}", False),
        (variant(), "embeddings", b"{}", True),
        (variant(stored=True), "chat/completions", b'{"temperature":0}', True),
        (variant(stored=True), "chat/completions", b'{"tools":[{"temperature":0}]}', False),
        (variant(stored=True), "responses", b'{"temperature":1}', False),
        (variant(temperature=0), "moderations", b"{}", False),
    ],
)
def test_only_what_repeats_itself_is_shared(of: Variant, api: Any, body: bytes, may: bool) -> None:
    """Answers are shared at a temperature that is said to be 0, and for embeddings; of stored requests by their own bodies."""
    of = replace(of, prompt=replace(of.prompt, api=api))
    assert is_repeatable(of, Request(api, body, bytes(16))) is may
    assert may_repeat(of) or not may
    assert not may_repeat(of) or may or of.prompt.stored or api == "moderations"


@pytest.mark.parametrize(
    ("kind", "code", "shared"),
    [
        (ErrorKind.API, "bad_request", True),
        (ErrorKind.API, "context_length", True),
        (ErrorKind.API, "server_error", False),
        (ErrorKind.API, "permission", False),
        (ErrorKind.NETWORK, "reset", False),
        (ErrorKind.PROTOCOL, "truncated_stream", False),
        (ErrorKind.OUTPUT, "schema_violation", True),
    ],
)
def test_failures_of_the_request_are_shared(kind: ErrorKind, code: str, shared: bool) -> None:
    """What an endpoint says of a request holds for its equals, as does a fault of its answer; what befell an attempt does not."""
    assert shares_failure(ErrorInfo(kind, code, "why")) is shared
