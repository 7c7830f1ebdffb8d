"""The modes of files that SECURITY.md promises."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from tests.support.jobs import JobFolder
from tests.support.scripted import ScriptedEndpoint

SECURITY = Path(__file__).parents[2] / "SECURITY.md"
SCORE = '[[score]]\nname = "said"\nkind = "contains"\nexpected = "text"\n'


def test_files_have_the_modes_that_security_md_says(tmp_path: Path) -> None:
    """Under umask 022 all that is in a run directory is in SECURITY.md's table with its mode, and the table names nothing else."""
    promised = dict(re.findall(r"^\| `([^`]+)` \| (\d{3}) \|$", SECURITY.read_text(), re.MULTILINE))
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=2)
        folder.job.write_text(folder.job.read_text() + SCORE)
        for command in (["run", "test.toml"], ["run", "test.toml", "--fresh"], ["report", "runs/test"]):
            ended = folder.run(*command, umask=0o022)
            assert ended.returncode == 0, ended.stderr
    run = folder.directory
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (run, *run.rglob("*")) if run / "old" not in path.parents}
    seen: dict[Path, int] = {}
    for pattern, mode in promised.items():
        paths = [run] if pattern == "." else list(run.glob(pattern))
        seen |= dict.fromkeys(paths, int(mode, 8))
        assert paths, f"{pattern}: there is no such file"
    assert found == seen
