"""The TLS context of the process, and what went wrong with TLS in plain words."""

from __future__ import annotations

import os
import ssl
from functools import cache

_VERIFY_WORDS = {
    # X509_V_ERR_… of OpenSSL's x509_vfy.h
    9: "its certificate is not valid yet: see that this machine's clock is right",
    10: "its certificate has expired",
    18: "its certificate is signed by itself: name it in SSL_CERT_FILE to trust it",
    19: "its certificate is signed by an authority that this machine does not trust: name that authority's certificate in SSL_CERT_FILE",
    20: "its certificate is signed by an authority that this machine does not trust: name that authority's certificate in SSL_CERT_FILE",
    21: "its certificate comes without the certificates between it and an authority: the server must send them",
    23: "its certificate was revoked",
    62: "its certificate is for another host name",
    64: "its certificate is for another address",
}
_REASON_WORDS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS at this port: the URL may have to begin with http://",
    "HTTP_REQUEST": "it does not speak TLS at this port: the URL may have to begin with http://",
    "RECORD_LAYER_FAILURE": "it does not speak TLS at this port: the URL may have to begin with http://",
    "PACKET_LENGTH_TOO_LONG": "it does not speak TLS at this port: the URL may have to begin with http://",
    "UNSUPPORTED_PROTOCOL": "it only has versions of TLS that are too old to be safe",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it only has versions of TLS that are too old to be safe",
    "TLSV1_ALERT_UNRECOGNIZED_NAME": "it does not serve this host name",
    "TLSV1_UNRECOGNIZED_NAME": "it does not serve this host name",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refused: no cipher in common, or it wants a certificate from the client",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate from the client, which promptmill does not have",
}


@cache
def tls_context(*protocols: str) -> ssl.SSLContext:
    """The TLS context for these ALPN protocols: one for the process, since making one reads hundreds of certificates.

    Trusted are the system's authorities and certifi's; where SSL_CERT_FILE or SSL_CERT_DIR is set, theirs alone.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file or folder:
        context = ssl.create_default_context(cafile=file or None, capath=folder or None)
    else:
        import certifi

        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
    # Python 3.13 refuses certificates without extensions that RFC 5280 wants, which authorities of companies often lack. Chain and host
    # are checked all the same, as on 3.11 and 3.12.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(list(protocols))
    return context


def is_tls_refusal(error: BaseException) -> bool:
    """Whether one of the two sides refused the other, and not just the connection broke: it would fail the next time as well."""
    broken = ssl.SSLWantReadError | ssl.SSLWantWriteError | ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError
    return isinstance(error, ssl.SSLError) and not isinstance(error, broken)


def tls_words(error: BaseException) -> str:
    """What a TLS error means to a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL sets both; an error that was made by hand has neither.
        words = _VERIFY_WORDS.get(getattr(error, "verify_code", 0))
        return words or f"its certificate is not valid: {getattr(error, 'verify_message', error)}"
    reason = getattr(error, "reason", None)
    if not isinstance(reason, str):
        return "the secure connection failed"
    return _REASON_WORDS.get(reason) or f"the secure connection failed: {reason.lower().replace('_', ' ')}"


def wants_certificate(error: BaseException) -> bool:
    """Whether the server refuses us for want of a certificate of ours."""
    return isinstance(error, ssl.SSLError) and "CERTIFICATE_REQUIRED" in str(error.reason)
