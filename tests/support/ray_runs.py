"""Runs on a Ray cluster: a job's folder whose command is sent there, and what must be true of it in the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.jobs import JobFolder, ids
from tests.support.ray_nodes import ENVIRONMENT, RayCluster
from tests.support.scripted import PATIENCE_S, Handler, ScriptedEndpoint
from tests.support.scripts import after, wait_for

CONCURRENCY = 32
SLOWLY = after(0.1)
# A worker is given up after 3 s instead of 30.
IMPATIENT = (
    "import sys, batch.executors.workers.ray_launcher as launcher; launcher.SILENT_S = 3.0; from batch.cli import main; sys.exit(main())"
)


class RayFolder(JobFolder):
    """A job whose runs are sent by a cluster; `workers` are the pids of those that took part."""

    def __init__(self, path: Path, url: str, cluster: RayCluster, **settings: object) -> None:
        super().__init__(path, url, **settings)
        self.cluster = cluster

    @property
    def arguments(self) -> list[str]:
        return ["run", self.job.name, "--engine", "ray", "--ray-address", self.cluster.address]

    def begin(self, *, impatient: bool = False, **environ: str) -> subprocess.Popen[str]:
        """Start the command on the cluster."""
        command = [sys.executable, "-c", IMPATIENT] if impatient else self.command()
        return subprocess.Popen(
            [*command, *self.arguments],
            cwd=self.path,
            env={**os.environ, **ENVIRONMENT, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: subprocess.Popen[str], timeout: float = PATIENCE_S) -> str:
        """Wait for its end, which must be a good one; what it wrote to stderr."""
        _, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, err
        return err

    def logs(self) -> str:
        """What the workers of this run wrote to Ray's logs."""
        found = [path.read_text() for path in Path(self.cluster.session, "logs").glob("worker-*.err")]
        return "".join(text for text in found if str(self.directory) in text)

    @property
    def workers(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"begins on \S+ \(pid (\d+)\)", self.logs())]

    @property
    def holders(self) -> list[int]:
        """The pids of the workers that have shards: one that begins late may find none left, and its death changes nothing."""
        shards: Counter[int] = Counter()
        for pid, what in re.findall(r"\(pid (\d+)\): shard \d+ (taken|done)", self.logs()):
            shards[int(pid)] += 1 if what == "taken" else -1
        return [pid for pid, number in shards.items() if number > 0]

    def wait_for_holder(self, process: subprocess.Popen[str]) -> int:
        """Wait until a worker has a shard; its pid."""
        wait_for(lambda: self.holders, process)
        return self.holders[0]

    def wait_for_workers(self, number: int, process: subprocess.Popen[str]) -> None:
        """Wait until so many have begun, the dead ones among them."""
        wait_for(lambda: len(self.workers) >= number, process)


@contextmanager
def folder_on(
    cluster: RayCluster, path: Path, handler: Handler = SLOWLY, **settings: object
) -> Iterator[tuple[RayFolder, ScriptedEndpoint]]:
    """A job on the cluster, and its endpoint."""
    with ScriptedEndpoint(handler) as endpoint:
        yield RayFolder(path, endpoint.url, cluster, **{"concurrency": CONCURRENCY, **settings}), endpoint


def assert_each_row_once(folder: RayFolder, endpoint: ScriptedEndpoint, resent: int) -> None:
    """All rows are answered, each has one record that counts, and no more than `resent` were sent again."""
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]
    assert folder.errors() == []
    verified = folder.call("verify", str(folder.directory))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    sent = endpoint.counts()
    assert set(sent) == {row["text"] for row in folder.rows}
    assert sum(sent.values()) - len(folder.rows) <= resent
