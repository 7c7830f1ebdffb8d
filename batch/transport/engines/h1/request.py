"""A target as the engine sees it: the origin to connect to, and the head of its requests as bytes."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from batch.providers.urls import UNIX
from batch.transport.engines.h1.errors import TargetError
from batch.transport.wire import Target

_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

# What may stand in a path or a query as it is (RFC 3986, section 3.3 and 3.4); % is that of what is encoded already.
_UNRESERVED = "/%:@!$&'()*+,;=~-._?"

_FRAMING = {"content-length", "transfer-encoding", "connection", "host"}
"""Headers that the engine writes itself."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes. `host` is a name in its ASCII form, an address without brackets, or the path of a Unix socket."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """`host:port`, as CONNECT names it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """The address in messages."""
        return self.host if self.scheme == UNIX else f"{self.host} port {self.port}"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The head of all requests to one target, without the length of the body and the empty line after it."""

    origin: Origin
    lines: bytes = field(repr=False)  # they hold the key

    def for_body(self, size: int, method: str) -> bytes:
        """The whole head of a request whose body has `size` bytes. A GET without a body has no length."""
        if not size and method == "GET":
            return self.lines + b"\r\n"
        return b"%bcontent-length: %d\r\n\r\n" % (self.lines, size)


def origin_of(url: str) -> Origin:
    """The origin of a URL. Raises TargetError."""
    return _origin(_split(url))


def head_of(target: Target, *, proxied: bool, proxy_authorization: str | None = None) -> RequestHead:
    """The head of requests to `target`. `proxied`: an HTTP proxy reads it, which needs the whole URL. Raises TargetError."""
    url = _split(target.url)
    origin = _origin(url)
    path = quote(url.path or "/", safe=_UNRESERVED)
    if url.query:
        path += f"?{quote(url.query, safe=_UNRESERVED)}"
    given = {name.lower(): value for name, value in target.headers}
    host = given.get("host", url.netloc).rpartition("@")[2]
    headers = [("Host", host), *[(name, value) for name, value in target.headers if name.lower() not in _FRAMING]]
    if url.username is not None and "authorization" not in given:
        headers.append(("Authorization", basic_authorization(url)))
    if proxied and proxy_authorization is not None:
        headers.append(("Proxy-Authorization", proxy_authorization))
    where = f"http://{host}{path}" if proxied else path
    lines = [f"{target.method} {where} HTTP/1.1", *[_header(name, value) for name, value in headers]]
    return RequestHead(origin, "".join(f"{line}\r\n" for line in lines).encode())


def basic_authorization(url: SplitResult) -> str:
    """The user name and password of a URL as the value of a header (RFC 7617)."""
    pair = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise TargetError(f"the URL cannot be read: {error}") from None


def _origin(url: SplitResult) -> Origin:
    if url.scheme == UNIX and url.netloc:
        return Origin(UNIX, unquote(url.netloc), 0)
    if url.scheme not in _PORTS or not url.hostname:
        raise TargetError("the URL must begin with http:// or https:// and a host")
    try:
        host = url.hostname if url.hostname.isascii() else url.hostname.encode("idna").decode()
        return Origin(url.scheme, host, url.port or _PORTS[url.scheme])
    except ValueError:
        raise TargetError("the URL's host or port cannot be used") from None


def _header(name: str, value: str) -> str:
    # The value may be a secret: it is not quoted.
    if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
        raise TargetError(f"the header {name!r} holds characters that no header may carry")
    return f"{name}: {value}"
