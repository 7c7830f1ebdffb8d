"""run.traces: a span for each attempt, for a collector of OpenTelemetry on loopback."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from batch.errors import SetupError
from batch.executors import tracing
from batch.executors.tracing import check_tracing
from tests.support.jobs import JobFolder, run_here
from tests.support.processes import unused_port
from tests.support.scripted import HANG, Action, Received, ScriptedEndpoint, answer, error, http
from tests.support.scripts import for_rows, row_number, wait_until


@pytest.fixture
def collector() -> Iterator[ScriptedEndpoint]:
    """A collector that takes everything."""
    with ScriptedEndpoint(lambda _: [http(200, b"", content_type="application/x-protobuf")]) as taking:
        yield taking


def spans_of(collector: ScriptedEndpoint) -> list[Any]:
    """The spans that came."""
    found = []
    for received in collector.requests:
        assert received.path == "/v1/traces"
        message = ExportTraceServiceRequest.FromString(received.body)
        scopes = chain.from_iterable(resource.scope_spans for resource in message.resource_spans)
        found += chain.from_iterable(scope.spans for scope in scopes)
    return found


def attributes_of(span: Any) -> dict[str, Any]:
    """A span's attributes, by name."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def refusing_once(row: int) -> Any:
    """A handler that refuses a row's first attempt."""
    refused: list[int] = []

    def handler(received: Received) -> list[Action]:
        if row_number(received) == row and not refused:
            refused.append(row)
            return [error(500, "boom")]
        return list(answer(received))

    return for_rows(handler)


@pytest.mark.parametrize("processes", [1, 2])
def test_each_attempt_is_a_span(tmp_path: Path, collector: ScriptedEndpoint, processes: int) -> None:
    """Also with worker processes. The attempts of a row share a trace, and nothing of prompts or answers is sent."""
    with ScriptedEndpoint(refusing_once(3)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=6, traces=collector.origin, processes=processes)
        assert run_here(folder).exit_code == 0

    spans = spans_of(collector)
    by_row: dict[int, list[dict[str, Any]]] = {}
    for span in sorted(spans, key=lambda each: each.start_time_unix_nano):
        by_row.setdefault(attributes_of(span)["promptmill.row"], []).append(attributes_of(span))
    assert [len(by_row[row]) for row in range(6)] == [1, 1, 1, 2, 1, 1]
    assert len({span.trace_id for span in spans}) == 6
    assert len({span.span_id for span in spans}) == 7
    assert all(0 < span.end_time_unix_nano - span.start_time_unix_nano < 60e9 for span in spans)
    refused, answered = by_row[3]
    assert (refused["error.type"], refused["http.response.status_code"], refused["promptmill.attempt"]) == ("server_error", 500, 1)
    assert (answered["promptmill.attempt"], answered["promptmill.endpoint"], "error.type" in answered) == (2, "house", False)
    assert (answered["gen_ai.usage.input_tokens"], answered["gen_ai.usage.output_tokens"]) == (7, 3)
    assert (answered["gen_ai.operation.name"], answered["gen_ai.response.model"]) == ("chat", "test-model")
    sent = b"".join(received.body for received in collector.requests)
    assert b"answer to" not in sent
    assert not any(str(row["text"]).encode() in sent for row in folder.rows)


def test_a_row_keeps_its_trace_in_a_later_session(tmp_path: Path, collector: ScriptedEndpoint) -> None:
    """A failed row that is tried again belongs to the trace of its first attempt."""
    with ScriptedEndpoint(
        for_rows(lambda received: [error(400, "no")] if row_number(received) == 1 else list(answer(received)))
    ) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3, traces=collector.origin)
        assert run_here(folder).exit_code == 1
        endpoint.handler = answer
        assert run_here(folder, retry_failed=True).exit_code == 0

    spans = [span for span in spans_of(collector) if attributes_of(span)["promptmill.row"] == 1]
    assert len(spans) >= 2
    assert len({span.trace_id for span in spans}) == 1


@pytest.mark.parametrize("away", [True, False], ids=["away", "refusing"])
def test_a_collector_that_takes_nothing_costs_one_notice(tmp_path: Path, away: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """The run ends as without it, and says once that spans are lost; the library prints nothing."""
    with ScriptedEndpoint() as endpoint, ScriptedEndpoint(lambda _: [error(400, "no")]) as collector:
        place = f"http://127.0.0.1:{unused_port()}" if away else collector.origin
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=5, traces=place))

    assert (session.exit_code, session.tally.ok) == (0, 5)
    assert [text.startswith("run.traces: spans are lost: ") for text in session.notices] == [True]
    assert capfd.readouterr().err == ""


def test_a_collector_that_hangs_holds_the_end_for_one_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """More spans than one sending takes wait for a collector that accepts and does not answer: they are dropped, which a notice says."""
    monkeypatch.setattr(tracing, "EXPORT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(tracing, "CLOSE_S", 0.1)
    with ScriptedEndpoint() as endpoint, ScriptedEndpoint(lambda _: [HANG]) as collector:
        session = run_here(JobFolder(tmp_path, endpoint.url, rows=2000, concurrency=64, traces=collector.origin))
        wait_until(lambda: not [each for each in threading.enumerate() if each.name == "traces"])

    assert (session.exit_code, session.tally.ok) == (0, 2000)
    assert len([text for text in session.notices if text.startswith("run.traces: spans are lost: ")]) == 1
    assert capfd.readouterr().err == ""


def test_without_the_library_the_job_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(SetupError, match=r"pip install 'promptmill\[traces\]'"):
        check_tracing()
