"""Maps the exceptions of every HTTP engine to the network and protocol codes of errors.py.

Our own engine's name their codes. httpx's are not specific enough (refused, reset and unresolved are one class, or the wrong one), so the
root causes are read too: the errors of the operating system and of OpenSSL.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from batch.records import ErrorKind, Fault
from batch.transport.engines.h1.errors import H1Error
from batch.transport.engines.h1.tls import is_tls_refusal, tls_words

_TEXTS = {
    "resolve": "the host name could not be resolved",
    "connect": "no connection could be made",
    "tls": "no secure connection could be made",
    "proxy": "the proxy refused",
    "reset": "the connection broke before the reply came",
    "timeout_connect": "connecting took longer than connect_timeout_s",
    "not_json": "the reply is not HTTP",
    "truncated_body": "the connection broke within the reply",
}
_PROTOCOL_CODES = {"not_json", "truncated_body"}
_NEVER_SENT = {"resolve", "connect", "tls", "proxy", "timeout_connect"}
_BY_NAME = {
    # Classes of httpx; looked up along each class's bases, nearest first.
    "ConnectTimeout": "timeout_connect",
    "ProxyError": "proxy",
    "InvalidURL": "connect",
    "UnsupportedProtocol": "connect",
    "LocalProtocolError": "connect",
    "ConnectError": "connect",
    "ReadError": "reset",
    "WriteError": "reset",
    "NetworkError": "reset",
    "TimeoutException": "reset",
    "RemoteProtocolError": "not_json",
    "DecodingError": "not_json",
    "TransportError": "reset",
    "RequestError": "reset",
    "HTTPError": "reset",
    "StreamError": "reset",
}


def fault_of(error: BaseException, *, in_body: bool) -> Fault | None:
    """Return the fault that an engine's exception stands for, or None when it is no fault of the wire. `in_body`: the status had come.

    The message is not redacted: it can hold the URL.
    """
    if isinstance(error, H1Error):
        return _fault(error.code, str(error), in_body=in_body, sent=error.sent)
    chain = list(_chain(error))
    code = _by_class(chain)
    if code is None:
        return None
    # httpx has one class for a server that hung up and for one that is not HTTP: only the text differs.
    words = " ".join(map(str, chain)).lower()
    if in_body:
        code = "reset" if "reset by peer" in words else "truncated_body"
        if "illegal" in words or "malformed" in words:
            code = "not_json"  # h11's words for chunks and trailers that cannot be read
    elif code == "not_json" and "disconnected" in words:
        code = "reset"
    elif code in _NEVER_SENT:
        code = _by_root(chain) or code
    return _fault(code, _detail(chain), in_body=in_body, sent=code not in _NEVER_SENT)


def _fault(code: str, detail: str, *, in_body: bool, sent: bool) -> Fault:
    text = _TEXTS["truncated_body"] if in_body and code == "reset" else _TEXTS[code]
    kind = ErrorKind.PROTOCOL if code in _PROTOCOL_CODES else ErrorKind.NETWORK
    return Fault(kind, code, f"{text} ({detail})" if detail else text, sent=sent)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _by_class(chain: list[BaseException]) -> str | None:
    for link in chain:
        if type(link).__module__.partition(".")[0] == "httpx":
            for base in type(link).__mro__:
                if base.__name__ in _BY_NAME:
                    return _BY_NAME[base.__name__]
    return "reset" if isinstance(chain[0], OSError) else None


def _by_root(chain: list[BaseException]) -> str | None:
    """Find why a connection was not made, in the words of the system or TLS."""
    for link in chain:
        if isinstance(link, socket.gaierror):
            return "resolve"
        if is_tls_refusal(link):
            return "tls"
    return None


def _detail(chain: list[BaseException]) -> str:
    """The innermost cause, in plain words where they are known."""
    for link in reversed(chain):
        if is_tls_refusal(link):
            return tls_words(link)
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        if str(link) and type(link).__module__.partition(".")[0] not in {"asyncio", "anyio"}:
            return str(link)[:300]
    return ""
