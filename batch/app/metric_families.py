"""The metrics of a run as Prometheus' families: counts, attempts with their times, limits, and what the run waited for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, Literal

from batch.events import Event, LimitsSet, RunEnded, RunStarted
from batch.results.live import CAUSES, LiveRun, read_live_run
from batch.rundir.local import RunDirectory
from batch.tally import BOUNDS_S, Tally

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
_LIMITS = {
    "concurrency": "the most requests in flight at each endpoint; missing where it is found out",
    "requests_per_minute": "requests that may be sent a minute",
    "tokens_per_minute": "tokens that may be sent a minute",
    "max_cost_usd": "the run's budget in US dollars",
}
_TIMES: Mapping[Literal["took", "first_token"], tuple[str, str]] = {
    "took": ("attempt_seconds", "from sending a request to the end of its reply, or of the attempt"),
    "first_token": ("first_token_seconds", "from sending a request to the first token of its answer, where it is streamed"),
}
_ENDPOINTS = {
    "in_flight": ("endpoint_in_flight", "requests in flight at an endpoint"),
    "limit": ("endpoint_concurrency", "requests that may be in flight at an endpoint at the moment"),
    "learned_per_minute": ("endpoint_learned_requests_per_minute", "the rate that was learned from an endpoint's refusals"),
    "paused_s": ("endpoint_paused_seconds", "the rest of a wait that an endpoint asked for"),
    "is_serving": ("endpoint_serving", "whether an endpoint serves; 0: it is out of order, and is tested"),
}


class RunMetrics:
    """Keeps what a run's events say, and yields it as families of `core` (prometheus_client.metrics_core).

    Times and codes are of attempts, so that a retried row counts several times. What is in flight at each endpoint, and what the run waited
    for, is read from the run directory at each scrape, as `promptmill status` does.
    """

    def __init__(self, directory: RunDirectory, core: Any) -> None:
        self._directory = directory
        self._core = core
        self._name = ""
        self._tallies: Mapping[str, Tally] = {}
        self._limits: LimitsSet | None = None
        # The present state goes when the session ends; what it has waited for stays.
        self._seconds: Mapping[str, float] = {}

    def notify(self, event: Event) -> None:
        """Keep the counts of the event; they change in place."""
        match event:
            case RunStarted():
                self._name, self._tallies = event.name, event.tallies
            case LimitsSet():
                self._limits = event
            case RunEnded():
                self._tallies = event.tallies
            case _:
                pass

    def collect(self) -> Iterator[Any]:
        """Yield the families."""
        yield from self._counts()
        yield from self._attempts()
        yield from self._set_limits()
        live = read_live_run(self._directory)
        yield from self._of_endpoints(live)
        self._seconds = live.account if live is not None else self._seconds
        waits = self._core.CounterMetricFamily(
            "promptmill_limited_seconds",
            f"seconds of this session by what kept it from sending more: {', '.join(CAUSES)}",
            labels=["run", "cause"],
        )
        for cause, seconds in self._seconds.items():
            waits.add_metric([self._name, cause], seconds)
        yield waits

    def _counts(self) -> Iterator[Any]:
        labels = ["run", "model"]
        for kinds, family in ((_GAUGES, self._core.GaugeMetricFamily), (_COUNTERS, self._core.CounterMetricFamily)):
            for key, text in kinds.items():
                metric = family(f"promptmill_{key}", text, labels=labels)
                for model, tally in self._tallies.items():
                    if (value := getattr(tally, key)) is not None:
                        metric.add_metric([self._name, model], float(value))
                yield metric
        failures = self._core.CounterMetricFamily("promptmill_failures", "failed tasks of this session, by code", labels=[*labels, "code"])
        for model, tally in self._tallies.items():
            for code, count in dict(tally.failures).items():
                failures.add_metric([self._name, model, code], float(count))
        yield failures
        rows = self._core.GaugeMetricFamily("promptmill_rows", "rows of the input (times repeats), once they are counted", labels=labels)
        for model, tally in self._tallies.items():
            if tally.total is not None:
                rows.add_metric([self._name, model], float(tally.total))
        yield rows

    def _attempts(self) -> Iterator[Any]:
        labels = ["run", "model", "endpoint"]
        # Copies: a scrape comes from another thread, and attempts end meanwhile.
        ended = {model: dict(tally.attempts) for model, tally in self._tallies.items()}
        codes = self._core.CounterMetricFamily("promptmill_attempts", "attempts that ended, by code, or ok", labels=[*labels, "code"])
        for model, attempts in ended.items():
            for (measure, endpoint, label), count in attempts.items():
                if measure == "code":
                    codes.add_metric([self._name, model, endpoint, str(label)], count)
        yield codes
        for measure, (name, text) in _TIMES.items():
            times = self._core.HistogramMetricFamily(f"promptmill_{name}", text, labels=labels)
            for model, attempts in ended.items():
                for endpoint in dict.fromkeys(endpoint for found, endpoint, _ in attempts if found == measure):
                    counts = accumulate(attempts.get((measure, endpoint, bucket), 0) for bucket in range(len(BOUNDS_S) + 1))
                    buckets = list(zip([*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"], counts, strict=True))
                    seconds = attempts.get(("took_s" if measure == "took" else "first_token_s", endpoint, ""), 0.0)
                    times.add_metric([self._name, model, endpoint], buckets, seconds)
            yield times

    def _set_limits(self) -> Iterator[Any]:
        for key, text in _LIMITS.items():
            metric = self._core.GaugeMetricFamily(f"promptmill_limit_{key}", f"limit: {text}", labels=["run"])
            if isinstance(value := getattr(self._limits, key, None), int | float):
                metric.add_metric([self._name], float(value))
            yield metric

    def _of_endpoints(self, live: LiveRun | None) -> Iterator[Any]:
        for key, (name, text) in _ENDPOINTS.items():
            metric = self._core.GaugeMetricFamily(f"promptmill_{name}", text, labels=["run", "endpoint"])
            for endpoint in live.endpoints if live is not None else ():
                if (value := getattr(endpoint, key)) is not None:
                    metric.add_metric([self._name, endpoint.name], float(value))
            yield metric
