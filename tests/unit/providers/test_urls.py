"""Base URLs, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch.providers.urls import RETIRED_HOSTS, normalise_base_url


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        (" https://API.openai.com:443//v1// ", "https://api.openai.com/v1"),
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("https://host/v1/embeddings/", "https://host/v1"),
        ("https://host/team/llm", "https://host/team/llm/v1"),
        ("https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("https://open.bigmodel.cn/api/paas/v4", "https://open.bigmodel.cn/api/paas/v4"),
        ("https://r.openai.azure.com/openai/deployments/gpt-4o", "https://r.openai.azure.com/openai/deployments/gpt-4o"),
        ("https://r.openai.azure.com//openai/v1", "https://r.openai.azure.com/openai/v1"),
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("HTTP://[::1]:8000/", "http://[::1]:8000/v1"),
        ("http://127.0.0.1:80/v1", "http://127.0.0.1/v1"),
        ("unix:/run/llm.sock", "http+unix://%2Frun%2Fllm.sock/v1"),
        ("unix:///run/a b/LLM.sock", "http+unix://%2Frun%2Fa%20b%2FLLM.sock/v1"),
        ("HTTP+unix://%2frun%2fllm.sock/team//v1/", "http+unix://%2Frun%2Fllm.sock/team/v1"),
    ],
)
def test_one_form(written: str, meant: str) -> None:
    """With or without /v1, slash or a pasted API path: the same base URL; any prefix is kept."""
    assert normalise_base_url(written) == normalise_base_url(meant) == meant


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("localhost:8000", "begins with http"),
        ("", "begins with http"),
        ("ftp://host/v1", "begins with http"),
        ("http://", "needs a host"),
        ("http://host:99999/v1", "port"),
        ("http://host:abc/v1", "port"),
        ("http://ho st/v1", "no spaces"),
        ("unix:run/llm.sock", "absolute path"),
        ("unix://host/llm.sock", "absolute path"),
        ("http+unix://llm.sock/v1", "absolute"),
        ("http://host/v1\nX: y", "no spaces"),
        ("http://[::1/v1", "host"),
        ("https://host/v1?api-version=2", "query"),
        ("https://host/v1#x", "query"),
        ("https://me:hunter2@host/v1", "api_key_env"),
    ],
)
def test_refused(written: str, says: str) -> None:
    """What cannot be a base URL is refused with a reason that never holds a password."""
    with pytest.raises(ValueError, match=says) as caught:
        normalise_base_url(written)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", RETIRED_HOSTS)
def test_retired_host_is_explained(host: str) -> None:
    """Anyscale's old public host: what happened, and what to do."""
    with pytest.raises(ValueError, match="serves no more") as caught:
        normalise_base_url(f"https://{host}/v1")
    assert "2024-08-01" in str(caught.value)
    assert "ANYSCALE_BASE_URL" in str(caught.value)


segments = st.lists(
    st.sampled_from(["v1", "v1beta", "V1", "openai", "deployments", "chat", "completions", "embeddings", "", "a-b", "team.x", "%20"]),
    max_size=7,
)


@example(scheme="http", host="host", port=None, path=["v1", "embeddings", "completions", "chat", "completions"], slash="/")
@given(
    scheme=st.sampled_from(["http", "https", "HTTPS"]),
    host=st.sampled_from(["host", "Host.example.com", "127.0.0.1", "[::1]"]),
    port=st.none() | st.integers(1, 65535),
    path=segments,
    slash=st.sampled_from(["", "/", "//"]),
)
def test_normalising_twice_changes_nothing(scheme: str, host: str, port: int | None, path: list[str], slash: str) -> None:
    """Idempotent for any path; and a base URL never ends with a slash or an API path, and keeps host and port."""
    once = normalise_base_url(f"{scheme}://{host}{f':{port}' if port else ''}/{'/'.join(path)}{slash}")
    assert normalise_base_url(once) == once
    assert not once.endswith(("/", "/chat/completions", "/completions", "/embeddings"))
    assert once.startswith(f"{scheme.lower()}://{host.lower()}")
