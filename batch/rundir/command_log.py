"""The journal of a run's commands: `control.jsonl`, one line for each command that a user gave to the running process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from batch.journal.disk import open_to_read, storage_errors
from batch.rundir.local import RunDirectory
from batch.storage import open_regular

NAME = "control.jsonl"
LONGEST_ARGUMENTS = 2000


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command: its UTC time, its words, whether it was carried out, what was answered, and the process that gave it."""

    time: str
    command: str
    arguments: Sequence[str] = ()
    ok: bool = True
    message: str = ""
    pid: int | None = None

    @property
    def words(self) -> str:
        """The command as it was given."""
        return " ".join((self.command, *self.arguments))


def append_command(directory: RunDirectory, record: CommandRecord) -> None:
    """Add a command; hold the run directory's lock. Raises StorageError."""
    arguments = [argument[:LONGEST_ARGUMENTS] for argument in record.arguments[:LONGEST_ARGUMENTS]]
    path = directory.path / NAME
    directory.check_lock()
    with storage_errors(path), open(path, "ab", opener=open_regular) as file:
        file.write(orjson.dumps({**asdict(record), "arguments": arguments}, option=orjson.OPT_APPEND_NEWLINE))
    directory.publish(path)


def read_commands(directory: RunDirectory) -> list[CommandRecord]:
    """Read the commands, oldest first; a line that cannot be read is passed over. Raises StorageError."""
    directory.fetch(NAME)
    path = directory.path / NAME
    with storage_errors(path):
        if not path.exists():
            return []
        with open_to_read(path) as file:
            lines = file.read().splitlines()
    return [record for line in lines if (record := _record(line)) is not None]


def _record(line: bytes) -> CommandRecord | None:
    try:
        found: Mapping[str, Any] = orjson.loads(line)
        arguments = [str(word) for word in found.get("arguments", ())]
        return CommandRecord(
            str(found["time"]), str(found["command"]), arguments, bool(found.get("ok")), str(found.get("message", "")), found.get("pid")
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
