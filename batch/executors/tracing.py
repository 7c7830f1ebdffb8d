"""Sends a span for each attempt to an OpenTelemetry collector (OTLP over HTTP), where a job asks for it: run.traces."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from batch._version import __version__
from batch.engine.work import PooledEndpoint, Work
from batch.errors import SetupError
from batch.policy.rate_limiter import tokens_of
from batch.records import Api, Exchange

# One sending of some hundred spans takes no longer, its retries included.
EXPORT_TIMEOUT_S = 5.0
# The most that the end of a run waits for its last spans, with however many endpoints: the library itself would wait for 30 s at each.
CLOSE_S = EXPORT_TIMEOUT_S + 1.0
# Spans that wait for the collector; further ones are dropped, so that a slow collector takes no memory and slows no run.
MOST_WAITING = 20_000
_MISSING = "run.traces needs more packages: pip install 'promptmill[traces]'"
# https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/: gen_ai.operation.name. Other APIs are named as their paths.
_OPERATIONS: Mapping[Api, str] = {
    "chat/completions": "chat",
    "messages": "chat",
    "responses": "chat",
    "completions": "text_completion",
}


def check_tracing() -> None:
    """Raise SetupError where a library that traces need is missing."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401 - to see whether it is there
    except ImportError:
        raise SetupError(_MISSING) from None


class AttemptTraces:
    """Sends spans to the collector at `url`. The attempts of a row, and no others, have one trace. No prompt or answer is sent.

    The library sends from a thread of its own.

    `run` names the run, `models` has the model of each variant; `report` gets one sentence when spans could not be sent.
    """

    def __init__(self, url: str, run: str, models: Mapping[str, str], report: Callable[[str], None]) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, StatusCode

        self._run, self._models, self._report = run, models, report
        self._kind, self._failed = SpanKind.CLIENT, StatusCode.ERROR
        self._complaints = _Complaints()
        self._closing: threading.Thread | None = None
        self._finished_by = 0.0
        # Not the library's abstract class, which would be imported with this module.
        ids: Any = _RowTraces(run)
        self._ids = ids
        resource = Resource.create({"service.name": "promptmill", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter, max_queue_size=MOST_WAITING))
        self._tracer = self._provider.get_tracer("promptmill", __version__)

    def add(self, work: Work, endpoint: PooledEndpoint, exchange: Exchange, code: str, epoch: float) -> None:
        """Add a span for an attempt that ended, "ok" or with the code of its error. `epoch` is the wall time of monotonic second 0."""
        task = work.task
        operation = _OPERATIONS.get(task.request.api, task.request.api)
        model = self._models.get(task.variant, task.variant)
        self._ids.row = task.variant, task.ordinal, task.repeat
        span = self._tracer.start_span(
            f"{operation} {model}", kind=self._kind, start_time=_nanoseconds(epoch + exchange.sent_at), attributes=_place(work, endpoint)
        )
        span.set_attributes({"gen_ai.operation.name": operation, "gen_ai.request.model": model, "promptmill.run": self._run})
        span.set_attributes(_ending(exchange))
        if code != "ok":
            span.set_attribute("error.type", code)
            span.set_status(self._failed)
        span.end(_nanoseconds(epoch + exchange.done_at))
        self._complain()

    def finish(self) -> None:
        """Begin to send what waits; nothing is added after it."""
        if self._closing is None:
            self._closing = threading.Thread(target=self._shut_down, name="traces", daemon=True)
            self._finished_by = time.monotonic() + CLOSE_S
            self._closing.start()

    def close(self) -> None:
        """Send what waits; a collector that hangs is given up CLOSE_S after the call of `finish`, or of this where there was none."""
        self.finish()
        assert self._closing is not None  # noqa: S101 - `finish` has set it
        self._closing.join(max(0.0, self._finished_by - time.monotonic()))
        if self._closing.is_alive():
            # What waits is dropped then, and what is being sent ends at its own time-out, beside whatever comes next.
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
            self._complaints.add(f"the collector had not taken all of them {CLOSE_S:.0f} s after the end")
        self._complain()

    def _shut_down(self) -> None:
        with suppress(Exception):
            self._provider.shutdown()
        # Last, so that nothing that the library says after a time-out comes to stderr.
        self._complaints.close()

    def _complain(self) -> None:
        if (text := self._complaints.take()) is not None:
            self._report(f"run.traces: spans are lost: {text}")


class _RowTraces:
    """The ids of spans: a random one for each, and for the attempts of a `row` (variant, ordinal, repeat) the same trace."""

    def __init__(self, run: str) -> None:
        self.row: tuple[str, int, int] = ("", 0, 0)
        self._run = run
        self._random = random.SystemRandom()

    def generate_span_id(self) -> int:
        """Return 8 bytes, not all 0."""
        return self._random.randrange(1, 1 << 64)

    def generate_trace_id(self) -> int:
        """Return 16 bytes, not all 0, that another process would give this row too."""
        return int.from_bytes(hashlib.blake2b(repr((self._run, self.row)).encode(), digest_size=16).digest()) or 1

    def is_trace_id_random(self) -> bool:
        """Return whether trace ids are random; these are the same for each attempt of a row."""
        return False


class _Complaints(logging.Handler):
    """Takes what the libraries log, from any thread, in the place of stderr, and keeps the first of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._first: str | None = None
        self._is_taken = False
        self._logger = logging.getLogger("opentelemetry")
        self._propagated, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first record's text."""
        self.add(record.getMessage())

    def add(self, text: str) -> None:
        """Keep a text where there is none before it."""
        if self._first is None:
            self._first = text

    def take(self) -> str | None:
        """Return it, once."""
        if self._first is None or self._is_taken:
            return None
        self._is_taken = True
        return self._first

    def close(self) -> None:
        """Take no more."""
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated
        super().close()


def _place(work: Work, endpoint: PooledEndpoint) -> dict[str, Any]:
    task = work.task
    return {
        "promptmill.variant": task.variant,
        "promptmill.row": task.ordinal,
        "promptmill.id": task.id[:200],
        "promptmill.repeat": task.repeat,
        "promptmill.attempt": work.tries,
        "promptmill.endpoint": endpoint.limiter.name,
    }


def _ending(exchange: Exchange) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if exchange.status is not None:
        found["http.response.status_code"] = exchange.status
    if exchange.first_token_at is not None:
        found["gen_ai.response.time_to_first_chunk"] = exchange.first_token_at - exchange.sent_at
    reply = exchange.reply
    if reply is None:
        return found
    if reply.model:
        found["gen_ai.response.model"] = reply.model
    if reply.finish_reason:
        found["gen_ai.response.finish_reasons"] = [reply.finish_reason]
    for name, own in (("gen_ai.usage.input_tokens", "prompt_tokens"), ("gen_ai.usage.output_tokens", "completion_tokens")):
        if reply.usage and own in reply.usage:
            found[name] = int(tokens_of(reply.usage, own))
    return found


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
