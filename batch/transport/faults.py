"""Maps the exceptions of every HTTP engine to the network and protocol codes of errors.py.

The engines' own wrappers do not distinguish enough (refused, reset and unresolved are one class, or the wrong one), so the root causes
are read too: operating system errors for httpx and aiohttp, reqwest's chain of causes for pyreqwest.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from batch.records import ErrorKind, Fault

_TEXTS = {
    "resolve": "the host name could not be resolved",
    "connect": "no connection could be made",
    "tls": "no secure connection could be made",
    "proxy": "the proxy refused",
    "reset": "the connection broke before the reply came",
    "timeout_connect": "connecting took longer than connect_timeout_s",
    "held": "this process was stopped for too long: the answer is lost",
    "not_json": "the reply is not HTTP",
    "truncated_body": "the connection broke within the reply",
}
_PROTOCOL_CODES = {"not_json", "truncated_body"}
_NEVER_SENT = {"resolve", "connect", "tls", "proxy", "timeout_connect"}
_ENGINES = {"httpx", "aiohttp", "pyreqwest"}

# Words in reqwest's causes. Within its phase "Connect" nothing has been sent; a break in "SendRequest" comes as a ConnectError too.
_CONNECT_PHASE, _SEND_PHASE = "client error (Connect)", "client error (SendRequest)"
_CONNECT_WORDS = {
    "resolve": ("dns error",),
    "tls": ("certificate", "fatal alert", "handshake", "corrupt message", "protocol version", "invalidcontenttype"),
    "proxy": ("proxy", "tunnel", "socks"),
}

_BY_NAME = {
    # httpx; aiohttp; pyreqwest. Looked up along each class's bases, nearest first.
    "ConnectTimeout": "timeout_connect",
    "ConnectionTimeoutError": "timeout_connect",
    "ConnectTimeoutError": "timeout_connect",
    "ClientConnectorDNSError": "resolve",
    "ClientConnectorCertificateError": "tls",
    "ClientConnectorSSLError": "tls",
    "ClientSSLError": "tls",
    "ServerFingerprintMismatch": "tls",
    "ProxyError": "proxy",
    "ClientProxyConnectionError": "proxy",
    "ClientHttpProxyError": "proxy",
    "ClientConnectorError": "connect",
    "InvalidURL": "connect",
    "UnsupportedProtocol": "connect",
    "LocalProtocolError": "connect",
    "BuilderError": "connect",
    "ConnectError": "connect",
    "ServerDisconnectedError": "reset",
    "ClientOSError": "reset",
    "ClientConnectionError": "reset",
    "ClientPayloadError": "truncated_body",
    "ClientResponseError": "not_json",
    "ReadError": "reset",
    "WriteError": "reset",
    "NetworkError": "reset",
    "TimeoutException": "reset",
    "RemoteProtocolError": "not_json",
    "DecodingError": "not_json",
    "DecodeError": "not_json",
    "TransportError": "reset",
    "RequestError": "reset",
    "ClientError": "reset",
    "PyreqwestError": "reset",
    "HTTPError": "reset",
    "StreamError": "reset",
    "OSError": "reset",
}


def fault_of(error: BaseException, *, in_body: bool) -> Fault | None:
    """Return the fault that an engine's exception stands for, or None when it is no fault of the wire.

    `in_body`: the status had come already.

    The message is not redacted: it can hold the URL.
    """
    chain = list(_chain(error))
    code = _by_class(chain)
    if code is None:
        return None
    words = " ".join(text for link in chain for text in (str(link), *_causes(link))).lower()
    if code == "held":
        return Fault(ErrorKind.NETWORK, code, _TEXTS[code])
    if in_body:
        code = "reset" if "reset by peer" in words else "truncated_body"
    elif code == "not_json" and "disconnected" in words:
        code = "reset"
    elif code in _NEVER_SENT:
        code = _by_root(chain, words) or code
    text = _TEXTS["truncated_body"] if in_body else _TEXTS[code]
    detail = _detail(chain)
    kind = ErrorKind.PROTOCOL if code in _PROTOCOL_CODES else ErrorKind.NETWORK
    return Fault(kind, code, f"{text} ({detail})" if detail else text, sent=code not in _NEVER_SENT)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _by_class(chain: list[BaseException]) -> str | None:
    # httpx-aiohttp calls every lost connection a ConnectTimeout, so the class beneath the wrapper counts first.
    for link in [link for link in chain if _home(link) != "httpx"] + chain:
        if _home(link) not in _ENGINES:
            continue
        causes = _causes(link)
        if causes and _CONNECT_PHASE not in causes and isinstance(link, TimeoutError):
            return "held"
        if _SEND_PHASE in causes and "Decode" not in type(link).__name__:
            return "reset"
        for base in type(link).__mro__:
            if base.__name__ in _BY_NAME:
                return _BY_NAME[base.__name__]
    return "reset" if isinstance(chain[0], OSError) else None


def _home(error: BaseException) -> str:
    """The package of its class."""
    return type(error).__module__.partition(".")[0]


def _by_root(chain: list[BaseException], words: str) -> str | None:
    """Find why a connection was not made, in the words of the system, TLS or reqwest."""
    for link in chain:
        if isinstance(link, socket.gaierror):
            return "resolve"
        if isinstance(link, ssl.SSLError) and not isinstance(link, ssl.SSLWantReadError | ssl.SSLWantWriteError | ssl.SSLEOFError):
            return "tls"
        if _CONNECT_PHASE in _causes(link):
            return next((code for code, signs in _CONNECT_WORDS.items() if any(sign in words for sign in signs)), None)
    return None


def _causes(error: BaseException) -> list[str]:
    details = getattr(error, "details", None)
    causes = details.get("causes") if isinstance(details, dict) else None
    return [cause["message"] for cause in causes or ()]


def _detail(chain: list[BaseException]) -> str:
    """The innermost cause in the engine's words."""
    for link in reversed(chain):
        causes = _causes(link)
        if causes:
            return causes[-1]
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        if str(link) and _home(link) not in {"asyncio", "anyio"}:
            return str(link)[:300]
    return ""
