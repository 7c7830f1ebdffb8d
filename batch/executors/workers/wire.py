"""Carries messages between a coordinator and its worker processes, over a private socket pair."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from batch.executors.workers.messages import Grant, LinkError, Report

_LENGTH = struct.Struct("!Q")


class Wire:
    """One end of the socket pair. Messages are pickled: both ends run the same code."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._received = BufferedByteReceiveStream(stream)

    async def send(self, message: object) -> None:
        """Send a message. Raises LinkError when the other end is gone."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        try:
            await self._stream.send(_LENGTH.pack(len(data)) + data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise LinkError from error

    async def receive(self) -> Any:
        """Receive the next message. Raises LinkError when the other end is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._received.receive_exactly(_LENGTH.size))
            return pickle.loads(await self._received.receive_exactly(length))  # noqa: S301 - see above
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise LinkError from error

    async def close(self) -> None:
        """Close the socket."""
        await self._stream.aclose()


class WireLink:
    """A worker's link over a wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def checkin(self, report: Report) -> Grant:
        """Send a report and wait for the grant. Raises LinkError."""
        await self._wire.send(report)
        grant: Grant = await self._wire.receive()
        return grant
