"""The seam between the client and the HTTP engines: a request goes out whole, its reply comes piece by piece."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Where requests go, and what stands at their head. Made once for many; engines may remember what they made of it."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)  # they hold the key


class Response(Protocol):
    """A reply whose head has come. Names of headers are in lower case; of several of one name the last counts."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""

    async def read(self) -> bytes | None:
        """The next piece of the body, as it came; None at its end. Raises what the engine raises."""

    async def close(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""


class Engine(ABC):
    """An HTTP engine and its connections. Cancelling a request closes its connection."""

    @abstractmethod
    async def send(self, target: Target, body: bytes) -> Response:
        """Send one request and give its reply as soon as the head is there. Raises what the engine raises: faults.py knows its names."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()
