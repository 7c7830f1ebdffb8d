"""Connects to a Ray cluster, or starts Ray on this machine. Ray is imported here alone, and only when it is chosen."""

from __future__ import annotations

import importlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from batch.errors import SetupError

LOOPBACK = "127.0.0.1"
KNOCK_TIMEOUT_S = 10.0
_OBJECT_STORE_BYTES = 80 * 1024 * 1024  # of which nothing is used; Ray wants at least 75 MiB
_LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0", on any system: Ray's processes talk over the loopback interface
_USAGE_STATS = "RAY_USAGE_STATS_ENABLED"


def load_ray(environ: dict[str, str] | os._Environ[str] = os.environ) -> Any:
    """Import Ray, with its usage statistics off unless the user turned them on. Raises SetupError when it is not installed."""
    if not _wants_usage_stats(Path.home() / ".ray" / "config.json"):
        environ.setdefault(_USAGE_STATS, "0")
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise SetupError(f"--engine ray needs Ray ({error}): pip install 'promptmill[ray]', here and on all nodes") from error


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connect Ray to the cluster at `address` within the body: "auto" is that of this machine, None that of RAY_ADDRESS.

    Where neither names one, Ray is started on this machine alone and stopped after the body.

    Raises:
        SetupError: Ray is not installed, or there is no cluster.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if "://" in address:
        raise SetupError(
            f"{address}: run the command on a node of the cluster with --ray-address auto, or as a job: ray job submit -- promptmill run …"
        )
    _knock(address)
    alone = address == "local"
    if alone:
        os.environ.setdefault(_LOOPBACK_ONLY, "0")
    ray = load_ray()
    mine = not ray.is_initialized()
    if mine:
        options = {"_node_ip_address": LOOPBACK, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES} if alone else {}
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
        except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
            raise SetupError(f"no Ray cluster at {address}: {error}") from error
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()


def _knock(address: str) -> None:
    """Check that HOST:PORT answers: Ray itself would try for minutes. Raises SetupError."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), KNOCK_TIMEOUT_S).close()
        except OSError as error:
            raise SetupError(f"no Ray cluster at {address} ({error}); `ray status` on its head says where it is") from error


def _wants_usage_stats(config: Path) -> bool:
    """Whether `ray enable-usage-stats` was given; the variable RAY_USAGE_STATS_ENABLED is above it."""
    with suppress(OSError, ValueError):
        return json.loads(config.read_bytes()).get("usage_stats") is True
    return False
