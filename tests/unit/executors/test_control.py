"""Commands to a running run: what they answer, the socket's place and owner, and what a killed run leaves behind."""

from __future__ import annotations

import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch.app.control import control
from batch.engine.steering import Steering, parse_limits
from batch.errors import RunDirectoryError
from batch.events import Event, LimitsSet, Notice
from batch.executors.control import Control, Retried
from batch.executors.control_server import serving
from batch.executors.stopping import Stopper
from batch.rundir.command_log import NAME as LOG
from batch.rundir.command_log import read_commands
from batch.rundir.control_socket import NAME, bound, connect
from batch.rundir.local import RunDirectory
from batch.settings import RunSettings
from tests.support.runs import manifest


class Sending:
    """A target that keeps what it is told."""

    def __init__(self) -> None:
        self.kept: list[Steering] = []

    async def steer(self, steering: Steering) -> None:
        if steering.max_cost_usd == 13:
            raise ValueError("no price")
        self.kept.append(steering)

    async def retry(self, ids: Sequence[str]) -> Retried:
        return Retried(len(ids) - 1, ["row x: not finished yet"])

    def state(self) -> dict[str, Any]:
        return {"variants": {}}


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["concurrency=32"], {"concurrency": 32}),
        (["run.concurrency=auto", "requests-per-minute=1_000"], {"concurrency": "auto", "requests_per_minute": 1000}),
        (["max_cost_usd=$12.50", "tokens_per_minute=none"], {"max_cost_usd": 12.5, "tokens_per_minute": None}),
    ],
)
def test_limits_are_read(words: list[str], values: dict[str, Any]) -> None:
    """Numbers as people write them, "auto" and "none", with or without the section."""
    assert parse_limits(words) == values


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["concurency=3"], "did you mean concurrency?"),
        (["concurrency"], "has no '='"),
        (["concurrency=0"], "a whole number from 1, or auto"),
        (["concurrency=none"], "a whole number from 1, or auto"),
        (["requests_per_minute=-5"], "a whole number from 1, or none"),
        (["max_cost_usd=nan"], "US dollars above 0, or none"),
        (["max_cost_usd=0"], "US dollars above 0, or none"),
        (["attempts=3"], "cannot be set while a job runs"),
        (["concurrency=1", "concurrency=2"], "is given twice"),
        ([], "nothing to set"),
    ],
)
def test_wrong_limits_say_what_is_right(words: list[str], said: str) -> None:
    """Each mistake has a message of its own, and nothing is changed."""
    with pytest.raises(ValueError, match=r"=|twice|set") as caught:
        parse_limits(words)
    assert said in str(caught.value)


async def test_commands_change_what_the_target_keeps_to() -> None:
    """Each command reaches the target and changes no more than it says; one that is refused changes nothing."""
    said: list[str] = []
    stopper, target = Stopper(), Sending()
    limits: list[LimitsSet] = []

    def notify(event: Event) -> None:
        if isinstance(event, Notice):
            said.append(event.text)
        elif isinstance(event, LimitsSet):
            limits.append(event)

    run = Control(RunSettings(concurrency=8), stopper, notify)
    assert not (await run.carry_out("retry", ["r1"])).ok
    assert (await run.carry_out("pause", [])).ok
    async with run.attached(target):
        # A pause from before the first row is kept.
        assert [each.paused for each in target.kept] == [True]
        assert (await run.carry_out("resume", [])).ok
        assert (await run.carry_out("set", ["concurrency=4", "max_cost_usd=2"])).message.endswith(
            "concurrency 8 → 4, max_cost_usd none → 2.0"
        )
        refused = await run.carry_out("set", ["max_cost_usd=13", "concurrency=9"])
        assert (refused.ok, refused.message, run.steering) == (False, "no price", target.kept[-1])
        retried = await run.carry_out("retry", ["a", "b", "a"])
        assert (retried.ok, retried.message) == (False, "1 failed task is sent again; row x: not finished yet")
        assert (await run.carry_out("state", [])).data["concurrency"] == 4
    for wrong in (("go", []), ("pause", ["now"]), ("retry", []), ("retry", ["r"] * 1001), ("stop", ["later"])):
        assert not (await run.carry_out(*wrong)).ok
    assert (await run.carry_out("stop", [])).ok
    assert stopper.count() == 2
    # A pause changes no limit, and a refused command none.
    assert limits == [LimitsSet(4, None, None, 2.0)]
    assert said == ["paused: what is in flight ends, nothing more is sent until `resume`", "resumed", *said[2:]]


@pytest.mark.parametrize("length", [10, 200])
async def test_the_socket_is_the_owners_and_commands_are_kept(tmp_path: Path, length: int) -> None:
    """Also where the path is longer than a socket's may be: mode 0600, an answer for each line, junk refused, all in control.jsonl."""
    directory = RunDirectory(tmp_path / ("d" * length))
    with directory.lock():
        directory.write_manifest(manifest())
        async with serving(Control(RunSettings(), Stopper(), lambda _: None), directory, lambda _: None):
            path = directory.path / NAME
            assert path.is_symlink() == (length == 200)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            answered = await anyio.to_thread.run_sync(control, directory.path, "pause")
            assert answered["ok"] is True
            connect(directory.path, "run", 1.0).close()
            refused = await anyio.to_thread.run_sync(control, directory.path, "dance", ["now"])
            assert "there is no command 'dance'" in refused["message"]
            assert b"not a command" in await anyio.to_thread.run_sync(say, directory.path, b"\xff{]\n")
            target = path.resolve()
        assert not path.exists()
        assert not target.exists()
    assert [record.words for record in read_commands(directory)] == ["pause", "dance now"]
    with (directory.path / LOG).open("a") as file:
        file.write("torn")
    assert len(read_commands(directory)) == 2


def say(directory: Path, line: bytes) -> bytes:
    """Send bytes and read an answer."""
    with connect(directory, "here", 10) as connection:
        connection.sendall(line)
        return connection.recv(1000)


def test_a_run_that_is_not_active_is_named(tmp_path: Path) -> None:
    """Without a run, with a run that has ended, and with a socket that a killed run left: the message says so, and the next run binds."""
    with pytest.raises(RunDirectoryError, match="no run was begun here"):
        control(tmp_path / "none", "pause")
    directory = RunDirectory(tmp_path / "run")
    with directory.lock():
        directory.write_manifest(manifest())
    with pytest.raises(RunDirectoryError, match="no run is active here"):
        control(directory.path, "pause")
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(directory.path / NAME))
    left.close()
    with pytest.raises(RunDirectoryError, match="no run is active here"):
        control(directory.path, "pause")
    with bound(directory.path):
        connect(directory.path, "run", 1.0).close()
    (directory.path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunDirectoryError, match="no run is active here"):
        control(directory.path, "pause")
    with bound(directory.path):
        connect(directory.path, "run", 1.0).close()
    assert not (directory.path / NAME).is_symlink()
