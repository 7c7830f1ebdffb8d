"""Metrics of a run for Prometheus: served on an address, or kept in a text file for node_exporter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from batch.errors import SetupError
from batch.events import Event, Progressed, RunEnded, RunStarted
from batch.tally import Tally

FILE_INTERVAL_S = 15.0
_GAUGES = {
    "in_flight": "requests in flight",
    "waiting": "tasks that wait for a retry",
    "done": "tasks with a final record, of all sessions",
    "not_attempted": "tasks without a final record",
}
_COUNTERS = {
    "ok": "answers of this session",
    "failed": "failed tasks of this session",
    "requests": "requests sent",
    "retries": "requests that repeat an earlier one",
    "doubled": "attempts that may be billed twice",
    "abandoned": "requests given up in flight",
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "completion tokens",
    "cost_usd": "US dollars, as far as they are known",
    "extra_usd": "the most US dollars that attempts without a known cost may have cost",
}


class Metrics:
    """Observes a run and shows its counts at `place`: HOST:PORT, or the path of a file that ends in .prom.

    Raises SetupError when prometheus_client is missing, or the address cannot be listened on.
    """

    def __init__(self, place: str) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise SetupError("run.metrics needs one package more: pip install 'promptmill[metrics]'") from None
        self._library: Any = prometheus_client
        self._name = ""
        self._tallies: Mapping[str, Tally] = {}
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
        match event:
            case RunStarted():
                self._name, self._tallies = event.name, event.tallies
                self._write()
            case Progressed() if self._file is not None and monotonic() >= self._due:
                self._write()
            case RunEnded():
                self._tallies = event.tallies
                self._write()
                self.close()
            case _:
                pass

    def close(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def collect(self) -> Iterator[Any]:
        """Yield the metrics, as the library asks for them at each scrape."""
        core = self._library.metrics_core
        labels = ["run", "model"]
        for kinds, family in ((_GAUGES, core.GaugeMetricFamily), (_COUNTERS, core.CounterMetricFamily)):
            for key, text in kinds.items():
                metric = family(f"promptmill_{key}", text, labels=labels)
                for model, tally in self._tallies.items():
                    metric.add_metric([self._name, model], float(getattr(tally, key) or 0))
                yield metric
        failures = core.CounterMetricFamily("promptmill_failures", "failed tasks of this session, by code", labels=[*labels, "code"])
        for model, tally in self._tallies.items():
            for code, count in dict(tally.failures).items():
                failures.add_metric([self._name, model, code], float(count))
        yield failures

    def _write(self) -> None:
        if self._file is not None:
            self._due = monotonic() + FILE_INTERVAL_S
            # A disk that refuses is no reason to end a run.
            with suppress(OSError):
                self._library.write_to_textfile(str(self._file), self._registry)
