"""Builds the target of requests to a provider: URL, headers and key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from batch._version import __version__
from batch.errors import SetupError
from batch.policy.redaction import is_secret, is_token
from batch.providers.urls import socket_path
from batch.settings import ProviderSettings
from batch.transport.wire import Target

# https://docs.anthropic.com/en/api/versioning: needed with each call, and the only one that its pages name.
_ANTHROPIC_VERSION = "2023-06-01"
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def target_of(method: str, path: str, provider: ProviderSettings, key: str | None, *, stream: bool) -> Target:
    """Return the target of requests to `path` below the provider's base URL. Raises SetupError when the key cannot be sent in a header."""
    query = f"?{urlencode(provider.query)}" if provider.query else ""
    headers = _headers(provider, key, path, stream=stream)
    return Target(method, f"{provider.base_url.rstrip('/')}/{path}{query}", tuple(headers.items()))


def secrets_of(provider: ProviderSettings, key: str | None) -> list[str]:
    """Return the key, the secrets in the query and the headers, and the tokens in the path of the base URL."""
    named = [value for members in (provider.headers, provider.query) for name, value in members.items() if is_secret(name, value)]
    tokens = [segment for segment in urlsplit(provider.base_url).path.split("/") if is_token(segment)]
    return [secret for secret in (key, *named, *tokens) if secret]


def _headers(provider: ProviderSettings, key: str | None, path: str, *, stream: bool) -> Mapping[str, str]:
    headers = {
        "Host": _host(provider.base_url),
        "Accept": "text/event-stream, application/json" if stream else "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": f"promptmill/{__version__}",
    }
    is_message = path.startswith("messages")
    auth = (provider.messages_auth or provider.auth) if is_message else provider.auth
    if is_message:
        headers["anthropic-version"] = _ANTHROPIC_VERSION
    if key is not None and provider.auth != "none":
        if not _HEADER_VALUE.fullmatch(key):
            name = provider.api_key_env or "the key"
            raise SetupError(f"{name} holds characters that no header may carry (such as a line break): export it again")
        headers["Authorization" if auth == "bearer" else auth] = f"Bearer {key}" if auth == "bearer" else key
    named = {name.lower(): name for name in headers}
    for name, value in provider.headers.items():
        headers[named.get(name.lower(), name)] = value
    return headers


def _host(base_url: str) -> str:
    """The host, and the port where it is not the scheme's own, as the Host header has it."""
    if socket_path(base_url) is not None:
        return "localhost"
    authority = urlsplit(base_url).netloc
    # RFC 9110, section 4.2.3, and RFC 5891: names beyond ASCII are sent in their A-label form.
    return authority if authority.isascii() else authority.encode("idna").decode("ascii")
