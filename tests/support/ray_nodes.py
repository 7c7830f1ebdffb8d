"""A Ray cluster of several nodes on this machine, over the loopback interface, in a process of its own.

    with RayCluster(nodes=2) as cluster:
        subprocess.run([..., "--engine", "ray", "--ray-address", cluster.address])

Each node is a raylet with processes and resources of its own. The process that starts them, `python -m tests.support.ray_nodes`, is told
what to do line by line on its stdin, and ends them all when that ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Self

# Without this Ray takes the address of another interface for its own.
ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


class RayCluster:
    """`nodes` nodes of one CPU each, and a head without any; `environ` is added to the environment of all."""

    def __init__(self, nodes: int, environ: Mapping[str, str] | None = None) -> None:
        self._nodes = nodes
        self._environ = environ or {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ray_nodes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **ENVIRONMENT, **self._environ},
        )
        self.address: str = self._ask("head")
        self.nodes: list[str] = [self.add() for _ in range(self._nodes)]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        with self._process.stdout:
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
        return json.loads(self._process.stdout.readline())


def _serve() -> None:
    from ray.cluster_utils import Cluster

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
                node = cluster.add_node(num_cpus=int(arguments[0]), **common)
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
