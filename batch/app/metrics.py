"""Metrics of a run for Prometheus: served on an address, or kept in a text file for node_exporter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from batch.app.metric_families import RunMetrics
from batch.errors import SetupError
from batch.events import Event, Progressed, RunEnded
from batch.rundir.local import RunDirectory

FILE_INTERVAL_S = 15.0


class Metrics:
    """Observes a run and shows its counts at `place`: HOST:PORT, or the path of a file that ends in .prom.

    Raises SetupError when prometheus_client is missing, or the address cannot be listened on.
    """

    def __init__(self, place: str, directory: RunDirectory) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise SetupError("run.metrics needs one package more: pip install 'promptmill[metrics]'") from None
        self._library: Any = prometheus_client
        self._run = RunMetrics(directory, prometheus_client.metrics_core)
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(self)
        self._file = Path(place) if place.endswith(".prom") else None
        self._due = 0.0
        self._server: Any = None
        if self._file is None:
            host, _, port = place.rpartition(":")
            try:
                self._server, _ = prometheus_client.start_http_server(int(port), host.strip("[]") or "127.0.0.1", registry=self._registry)
            except (OSError, ValueError, OverflowError) as error:
                raise SetupError(f"run.metrics = {place!r} cannot be listened on: {error}; give a free HOST:PORT, or FILE.prom") from error

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_port)

    def notify(self, event: Event) -> None:
        """Keep the counts of the event; they change in place."""
        self._run.notify(event)
        if isinstance(event, RunEnded) or (self._file is not None and (not isinstance(event, Progressed) or monotonic() >= self._due)):
            self._write()
        if isinstance(event, RunEnded):
            self.close()

    def close(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def collect(self) -> Iterator[Any]:
        """Yield the metrics, as the library asks for them at each scrape."""
        return self._run.collect()

    def _write(self) -> None:
        if self._file is not None:
            self._due = monotonic() + FILE_INTERVAL_S
            # A disk that refuses is no reason to end a run.
            with suppress(OSError):
                self._library.write_to_textfile(str(self._file), self._registry)
