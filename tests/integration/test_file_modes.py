"""The modes of files that SECURITY.md promises."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.jobs import JobFolder
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_reply

SECURITY = Path(__file__).parents[2] / "SECURITY.md"
SCORES = (
    '[[score]]\nname = "said"\nkind = "contains"\nexpected = "text"\n'
    '[[score]]\nname = "rated"\nkind = "judge"\njudge = "house/test-model"\nrubric = "r"\n'
)

COMMANDS = (["run", "test.toml"], ["run", "test.toml", "--fresh"], ["score", "runs/test"], ["report", "runs/test"])


def reply(received: Received) -> Iterable[Action]:
    """An answer to a row, a rating to a judge's question."""
    return [chat_reply("Rating: 5")] if received.body and "rubric" in received.prompt else answer(received)


def test_files_have_the_modes_that_security_md_says(tmp_path: Path) -> None:
    """Under umask 022 all that is in a run directory is in SECURITY.md's table with its mode, and the table names nothing else."""
    promised = dict(re.findall(r"^\| `([^`]+)` \| (\d{3}) \|$", SECURITY.read_text(), re.MULTILINE))
    with ScriptedEndpoint(reply) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=2)
        folder.job.write_text(folder.job.read_text() + SCORES)
        for command in COMMANDS:
            ended = folder.run(*command, umask=0o022, stdin=subprocess.DEVNULL)
            assert ended.returncode == 0, ended.stderr
        label = subprocess.run(
            folder.command("calibrate", "runs/test"), cwd=folder.path, umask=0o022, input="5\n", capture_output=True, text=True
        )
        assert label.returncode == 0, label.stderr
    run = folder.directory
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (run, *run.rglob("*")) if run / "old" not in path.parents}
    seen: dict[Path, int] = {}
    for pattern, mode in promised.items():
        paths = [run] if pattern == "." else list(run.glob(pattern))
        seen |= dict.fromkeys(paths, int(mode, 8))
        assert paths, f"{pattern}: there is no such file"
    assert found == seen
