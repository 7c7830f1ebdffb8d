"""Base URLs as people write them, made into the one form that the transport joins API paths to.

`https://host`, `https://host/`, `https://host/v1/` and `https://host/v1/chat/completions` all mean `https://host/v1`.
`unix:/run/llm.sock` is a server at a Unix socket. Its one form has the socket's path, percent-encoded, in the place of the host, as other
clients write it: `http+unix://%2Frun%2Fllm.sock/v1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import SplitResult, quote, unquote, urlsplit

RETIRED_HOSTS: Mapping[str, str] = MappingProxyType(
    {
        "api.endpoints.anyscale.com": (
            "Anyscale's public Endpoints ended on 2024-08-01. Now each service (Ray Serve LLM on Anyscale Services) has a URL of its own,"
            " which its Query button shows: set ANYSCALE_BASE_URL to that"
        ),
    }
)
"""Hosts that serve no more, with what happened and what to do."""

_VERSION = re.compile(r"v\d+[a-z0-9]*")
# People copy the address of a method from a provider's page.
_API_PATHS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/moderations", "/rerank", "/score")
# Omitted from addresses: the same endpoint has one name, one set of limits, and one place in a pool.
_DEFAULT_PORTS = {"http": 80, "https": 443}
UNIX = "http+unix"
"""The scheme of URLs whose host is the path of a Unix socket, percent-encoded."""
_SOCKET = re.compile(r"unix:(?://(?=/))?(/(?!/).*)", re.IGNORECASE)


def socket_path(url: str) -> str | None:
    """Return the path of the Unix socket that a URL leads to; None for a URL of a host."""
    parts = urlsplit(url)
    return unquote(parts.netloc) if parts.scheme == UNIX else None


def endpoint_address(url: str) -> str:
    """Return the host and port, or the Unix socket, that a base URL leads to, for messages."""
    return socket_path(url) or urlsplit(url).netloc


def normalise_base_url(url: str, *, exact: bool = False) -> str:
    """The base URL that API paths are joined to: no trailing slash, any prefix kept, `/v1` added when there is no version in the path.

    With `exact` nothing is added: for services whose paths have no version.
    A version anywhere in the path is believed (Gemini's `/v1beta/openai`, gateways with `/v4`), and so is Azure's
    `/openai/deployments/NAME`, which has none. Normalising twice changes nothing.

    Raises:
        ValueError: with a text for people, when this cannot be a base URL or its host is retired. The text never holds a password.
    """
    parts = _split(url)
    host = parts.hostname or ""
    if host in RETIRED_HOSTS:
        raise ValueError(f"{host} serves no more: {RETIRED_HOSTS[host]}")
    authority = _authority(parts) if parts.scheme != UNIX else _socket_authority(parts)
    path = _api_root(re.sub(r"/{2,}", "/", parts.path), exact=exact)
    return f"{parts.scheme}://{authority}{path}"


def resource_url(base_url: str) -> str:
    """Return the base URL of files and batches: Azure's dated API has them beside its deployments, not below one.

    Source: Azure's authoring reference, POST {endpoint}/openai/files and {endpoint}/openai/batches.
    """
    return re.sub(r"(/openai)/deployments/[^/]+$", r"\1", base_url)


def _split(url: str) -> SplitResult:
    stripped = url.strip()
    socket = _SOCKET.fullmatch(stripped)
    if socket is not None:
        stripped = f"{UNIX}://{quote(socket.group(1), safe='')}"
    if not re.match(r"http(s|\+unix)?://", stripped, re.IGNORECASE):
        raise ValueError("a base URL begins with http:// or https://, or is unix: and the absolute path of a socket")
    # A line break would end the head of the request.
    if re.search(r"[\s\x00-\x1f\x7f]", stripped):
        raise ValueError("a base URL has no spaces")
    try:
        parts = urlsplit(stripped)
    except ValueError:
        raise ValueError("the host of this base URL cannot be read") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("a base URL holds no user name or password; name the variable of the key in api_key_env")
    if parts.query or parts.fragment:
        raise ValueError('a base URL ends with its path; what follows "?" goes into query')
    if not parts.hostname:
        raise ValueError("a base URL needs a host")
    return parts


def _authority(parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port of a base URL is a number from 1 to 65535") from None
    host = parts.hostname or ""
    if ":" in host:
        # urlsplit takes the brackets of an IPv6 address away.
        host = f"[{host}]"
    return host if port is None or port == _DEFAULT_PORTS[parts.scheme] else f"{host}:{port}"


def _socket_authority(parts: SplitResult) -> str:
    path = unquote(parts.netloc)
    if not path.startswith("/"):
        raise ValueError("the path of a Unix socket is absolute; in http+unix:// each of its slashes is written %2F")
    return quote(path, safe="")


def _api_root(path: str, *, exact: bool) -> str:
    path = path.rstrip("/")
    while suffix := next((end for end in _API_PATHS if path.endswith(end)), None):
        path = path.removesuffix(suffix).rstrip("/")
    if exact or "/openai/deployments/" in path or any(_VERSION.fullmatch(segment) for segment in path.split("/")):
        return path
    return f"{path}/v1"
