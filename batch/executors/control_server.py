"""Takes commands from the run's Unix socket: one JSON object a line, {"command": …, "arguments": […]}, answered by one a line."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio.to_thread
import orjson

from batch.errors import StorageError
from batch.executors.control import CommandReply, Control
from batch.rundir.command_log import CommandRecord, append_command
from batch.rundir.control_socket import bound
from batch.rundir.local import RunDirectory

LONGEST_LINE = 1 << 20
# struct ucred of unix(7): process, user, group.
_PEER = struct.Struct("3i")


@asynccontextmanager
async def serving(control: Control, directory: RunDirectory, report: Callable[[str], None]) -> AsyncIterator[None]:
    """Take commands within the body. A machine on which no socket can be made steers nothing, which is reported, and runs all the same."""
    with ExitStack() as stack:
        try:
            listener = stack.enter_context(bound(directory.path))
            server = await asyncio.start_unix_server(partial(_serve, control, directory), sock=listener, limit=LONGEST_LINE)
        except (OSError, NotImplementedError) as error:
            report(f"this run takes no commands (promptmill ctl): {error}")
            yield
            return
        try:
            yield
        finally:
            server.close()


async def _serve(control: Control, directory: RunDirectory, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Whatever a client sends, or however it goes away, the run continues.
    with suppress(OSError, asyncio.IncompleteReadError, ValueError, asyncio.LimitOverrunError):
        while line := await reader.readline():
            answer = await _answer(control, directory, line, _pid(writer))
            writer.write(orjson.dumps({"ok": answer.ok, "message": answer.message, **answer.data}, option=orjson.OPT_APPEND_NEWLINE))
            await writer.drain()
    with suppress(OSError):
        writer.close()


async def _answer(control: Control, directory: RunDirectory, line: bytes, pid: int | None) -> CommandReply:
    try:
        request: dict[str, Any] = orjson.loads(line)
        command, arguments = str(request["command"]), [str(each) for each in request.get("arguments") or ()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return CommandReply(False, 'not a command; write {"command": "pause", "arguments": []}')
    answer = await control.carry_out(command, arguments)
    if command == "state":
        return answer
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    record = CommandRecord(time, command, arguments, answer.ok, answer.message, pid)
    try:
        await anyio.to_thread.run_sync(append_command, directory, record)
    except StorageError as error:
        return CommandReply(answer.ok, f"{answer.message} (this command is not in the run's journal of commands: {error})", answer.data)
    return answer


def _pid(writer: asyncio.StreamWriter) -> int | None:
    """Return the process at the other end; None where the system does not tell."""
    found = writer.get_extra_info("socket")
    option = getattr(socket, "SO_PEERCRED", None)
    if found is None or option is None:
        return None
    with suppress(OSError):
        pid: int = _PEER.unpack(found.getsockopt(socket.SOL_SOCKET, option, _PEER.size))[0]
        return pid
    return None
