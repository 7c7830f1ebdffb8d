"""Send a command to a running run, over the socket in its directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from batch.errors import RunDirectoryError
from batch.rundir.control_socket import connect
from batch.rundir.opening import open_existing

PATIENCE_S = 300.0


def control(directory: Path | str, command: str, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Let the running process carry out a command; returns its answer: `ok`, `message`, and for "state" the present limits and counts.

    Raises:
        RunDirectoryError: no run is active there, or it ended before it answered.
    """
    found = open_existing(directory)
    if not found.exists:
        # Raises what is wrong with the folder.
        found.manifest  # noqa: B018
    place = str(found.place)
    with connect(found.path, place, PATIENCE_S) as connection:
        try:
            connection.sendall(orjson.dumps({"command": command, "arguments": list(arguments)}, option=orjson.OPT_APPEND_NEWLINE))
            with connection.makefile("rb") as answers:
                line = answers.readline()
            answer: dict[str, Any] = orjson.loads(line)
        except (OSError, ValueError):
            raise RunDirectoryError(f"{place}: the run ended before it answered; see `promptmill status`") from None
    return answer
