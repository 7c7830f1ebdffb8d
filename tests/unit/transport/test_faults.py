"""The engines' exceptions, mapped to names."""

from __future__ import annotations

import ssl

import httpx
import pytest

from batch import errors
from batch.records import ErrorKind
from batch.transport import faults
from batch.transport.engines.h1 import errors as h1_errors
from batch.transport.engines.h1.errors import H1Error
from batch.transport.faults import fault_of

CODES = set((errors.__doc__ or "").replace("│", " ").split())


def classes(module: object, *bases: type[BaseException]) -> list[type[BaseException]]:
    return [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, bases)]


@pytest.mark.parametrize("error", [error for error in classes(h1_errors, H1Error) if error is not H1Error])
def test_every_class_of_our_engine_has_a_code(error: type[H1Error]) -> None:
    """No exception of our engine is without a code, every code stands in errors.py, and what is certain of the sending is kept."""
    fault = fault_of(error("detail"), in_body=False)
    assert fault is not None
    assert fault.code in CODES
    assert (fault.code, fault.sent, "detail" in fault.message) == (error.code, error.sent, True)


@pytest.mark.parametrize("error", classes(httpx, httpx.HTTPError, httpx.StreamError, httpx.InvalidURL))
def test_every_class_of_httpx_is_mapped(error: type[BaseException]) -> None:
    """No exception of httpx is without a name, and every name stands in errors.py."""
    code = faults._by_class([error.__new__(error)])
    assert code in CODES
    assert code in faults._TEXTS


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x")])
def test_what_is_no_fault_of_the_wire(error: Exception) -> None:
    """A bug is not taken for a fault of the wire."""
    assert fault_of(error, in_body=False) is None


@pytest.mark.parametrize("error", [ssl.SSLError("x"), ssl.SSLCertVerificationError("bad"), ssl.SSLEOFError(), OSError(), OSError("x")])
def test_any_cause_is_put_into_words(error: OSError) -> None:
    """Fault 61: a cause that lacks what the system would have set is a fault by name all the same."""
    wrapper = httpx.ConnectError("failed")
    wrapper.__cause__ = error
    fault = fault_of(wrapper, in_body=False)
    assert fault is not None
    assert (fault.code in {"tls", "connect"}, fault.sent) == (True, False)


def test_bare_system_errors() -> None:
    """An error of the operating system that an engine lets through is a lost connection, perhaps after sending."""
    fault = fault_of(OSError(104, "Connection reset by peer"), in_body=False)
    assert fault is not None
    assert (fault.kind, fault.code, fault.sent) == (ErrorKind.NETWORK, "reset", True)
