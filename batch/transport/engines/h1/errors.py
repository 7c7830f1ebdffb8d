"""What the engine raises. Each class has a code of batch/errors.py; the text is the detail, in plain words."""

from __future__ import annotations

from typing import ClassVar


class H1Error(Exception):
    """Base of all errors of this engine. `sent` is False only when it is certain that the endpoint never got the request."""

    code: ClassVar[str]
    sent: ClassVar[bool] = True


class TargetError(H1Error):
    """A URL or a header that no request can be made of."""

    code = "connect"
    sent = False


class ResolveError(H1Error):
    """The host name has no address."""

    code = "resolve"
    sent = False


class ConnectError(H1Error):
    """No address of the host took the connection."""

    code = "connect"
    sent = False


class ConnectTimeoutError(H1Error):
    """The connection was not made within its time."""

    code = "timeout_connect"
    sent = False


class TLSError(H1Error):
    """The server's certificate does not match, or there is no common TLS version or cipher."""

    code = "tls"
    sent = False


class ProxyError(H1Error):
    """The proxy cannot be reached, or refuses."""

    code = "proxy"
    sent = False


class LostConnectionError(H1Error):
    """The connection broke after the request was sent, perhaps read."""

    code = "reset"


class UnusedConnectionError(LostConnectionError):
    """A kept connection was closed by the server before it received any byte of the request."""

    sent = False


class TruncatedBodyError(H1Error):
    """The connection ended within the body."""

    code = "truncated_body"


class NotHTTPError(H1Error):
    """The reply breaks the rules of HTTP/1.1."""

    code = "not_json"
