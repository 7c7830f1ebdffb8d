"""A Ray cluster of several nodes on this machine, over the loopback interface, in a process of its own.

    with RayCluster(nodes=2) as cluster:
        subprocess.run([..., "--engine", "ray", "--ray-address", cluster.address])

Each node is a raylet with processes and resources of its own. The process that starts them, `python -m tests.support.ray_clusters`, is told
what to do line by line on its stdin, and ends them all when that ends.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.support.jobs import JobFolder, ids
from tests.support.processes import unmeasured
from tests.support.scripted import PATIENCE_S, Handler, ScriptedEndpoint
from tests.support.scripts import after, wait_for

CONCURRENCY = 32
SLOWLY = after(0.1)
# A worker is given up after 8 s instead of 30: on a busy machine one that works is silent for several.
IMPATIENT = (
    "import sys, batch.executors.workers.ray_launcher as launcher; launcher.SILENT_S = 8.0; from batch.cli import main; sys.exit(main())"
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


# Without the first Ray takes the address of another interface for its own.
ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
# On a loaded machine the processes of a node, and those of its workers, start in minutes, and answer health checks late.
_PATIENT = {
    "RAY_gcs_server_port_wait_time_s": "240",
    "RAY_worker_register_timeout_seconds": "240",
    "RAY_health_check_failure_threshold": "30",
}


class RayCluster:
    """`nodes` nodes of one CPU each, and a head without any; `environ` is added to the environment of all."""

    def __init__(self, nodes: int, environ: Mapping[str, str] | None = None) -> None:
        self._nodes = nodes
        self._environ = environ or {}

    def __enter__(self) -> Self:
        self._said = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ray_clusters"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**unmeasured(), **ENVIRONMENT, **_PATIENT, **self._environ},
        )
        self.address: str = self._ask("head")
        self.nodes: list[str] = [self.add() for _ in range(self._nodes)]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        with self._process.stdout, self._said:
            self._process.wait()

    def add(self, cpus: int = 1) -> str:
        """One node more; its id."""
        return self._ask(f"add {cpus}")

    def remove(self, node: str) -> None:
        """Kill a node with all that runs on it."""
        self._ask(f"remove {node}")

    @property
    def session(self) -> str:
        """The folder of Ray's logs."""
        return self._ask("session")

    def _ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        if not (answer := self._process.stdout.readline()):
            self._said.seek(0)
            raise AssertionError(f"the cluster ended at {command!r}: {self._said.read()[-4000:]}")
        return json.loads(answer)


def _wait_for_nodes(services: Any) -> None:
    """Let a node take longer to appear than the 30 s that Ray gives it."""
    get = services.get_node

    def get_patiently(*arguments: Any) -> Any:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return get(*arguments)
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    services.get_node = get_patiently


def _serve() -> None:
    from ray._private import services
    from ray.cluster_utils import Cluster

    _wait_for_nodes(services)

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    common = {"node_ip_address": "127.0.0.1", "object_store_memory": 80 * 1024 * 1024}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **common})
    nodes: dict[str, Any] = {}
    try:
        for line in sys.stdin:
            command, *arguments = line.split()
            answer: Any = None
            if command == "head":
                answer = cluster.address
            elif command == "add":
                node = cluster.add_node(wait=False, num_cpus=int(arguments[0]), **common)
                nodes[node.node_id] = node
                answer = node.node_id
            elif command == "remove":
                cluster.remove_node(nodes.pop(arguments[0]), allow_graceful=False)
            elif command == "session":
                answer = cluster.head_node.get_session_dir_path()
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    _serve()
