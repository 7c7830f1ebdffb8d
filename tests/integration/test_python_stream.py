"""`batch.stream`: outcomes as they come, and a run that stops where its loop is left."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

import batch
from batch.errors import ChangedError, JobError
from tests.integration.test_python_api import job_of
from tests.support.jobs import JobFolder, check_accounts, rows_sent
from tests.support.scripted import PATIENCE_S, ScriptedEndpoint, Sleep, answer, error
from tests.support.scripts import for_rows, row_number


async def until_stopped(folder: JobFolder) -> None:
    """Wait until nothing works on the run."""
    with anyio.fail_after(PATIENCE_S):
        while batch.status(folder.directory).running:  # noqa: ASYNC110 - a state on the disk
            await anyio.sleep(0.02)


async def test_an_outcome_comes_while_others_are_in_flight(tmp_path: Path) -> None:
    """The first answer is in the loop before the second is given; failures come too, and the result is that of a run."""
    taken = threading.Event()

    def handler(received: Any) -> Any:
        if row_number(received) > 0:
            assert taken.wait(PATIENCE_S)
        return [error(400, "bad")] if row_number(received) == 3 else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url)
        outcomes = batch.stream({**job_of(folder), "run": {"concurrency": 2}})
        found = {}
        async for outcome in outcomes:
            taken.set()
            assert outcome.id not in found
            found[outcome.id] = outcome
        assert set(found) == {f"r{number}" for number in range(10)}
        assert [each.id for each in found.values() if not each.ok] == ["r3"]
        assert repr(found["r3"]) == "<failed 'r3' house/test-model: 'bad_request: bad'>"
        written = batch.Results(folder.directory).completions().to_pylist()
        assert {each["id"]: each["completion"] for each in written} == {each.id: each.completion for each in found.values() if each.ok}
        assert outcomes.result.exit_code == 1
        assert [each async for each in batch.stream(job_of(folder))] == []
    check_accounts(folder)


@pytest.mark.parametrize("way", ["break", "with", "error"])
async def test_leaving_the_loop_stops_the_run(tmp_path: Path, way: str) -> None:
    """However the loop is left, nothing more is sent, what is in flight is kept, and the next stream goes on: no row is sent twice."""
    slow = for_rows(lambda r: [Sleep(0.05), *answer(r)])
    with ScriptedEndpoint(slow) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=300)
        job = {**job_of(folder), "run": {"concurrency": 2}}
        if way == "break":
            async for outcome in batch.stream(job):
                first = outcome
                break
        elif way == "with":
            async with batch.stream(job) as outcomes:
                async for outcome in outcomes:
                    first = outcome
                    break
            assert not batch.status(folder.directory).running
            assert outcomes.result.reason
        else:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the error is the loop's
                async for outcome in batch.stream(job):
                    first = outcome
                    1 / 0  # noqa: B018 - an error in the loop
        await until_stopped(folder)
        sent = rows_sent(endpoint)
        kept = batch.Results(folder.directory).completions().column("id").to_pylist()
        assert sent == len(kept) < 300
        assert first.id in kept
        rest = [outcome.id async for outcome in batch.stream({**job, "run": {"concurrency": 32}})]
        assert sorted([*kept, *rest]) == sorted(f"r{number}" for number in range(300))
        assert rows_sent(endpoint) == 300
    check_accounts(folder)


async def test_a_cancelled_stream_waits_for_what_is_in_flight(tmp_path: Path) -> None:
    """Cancelling the task of the loop stops the run, and has waited for its end when the cancellation arrives."""
    begun = threading.Event()

    def handler(received: Any) -> Any:
        begun.set()
        return [Sleep(0.3), *answer(received)]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50)

        async def loop() -> None:
            async for _ in batch.stream({**job_of(folder), "run": {"concurrency": 4}}):
                pass

        async with anyio.create_task_group() as group:
            group.start_soon(loop)
            await anyio.to_thread.run_sync(begun.wait, PATIENCE_S)
            group.cancel_scope.cancel()
        assert not batch.status(folder.directory).running
        assert batch.Results(folder.directory).completions().num_rows == rows_sent(endpoint) < 50
    check_accounts(folder)


async def test_mistakes_come_out_of_the_loop(tmp_path: Path) -> None:
    """A wrong job and changed rows are raised by the first step, in Python's words, and nothing is sent; there is no early result."""
    with ScriptedEndpoint() as endpoint:
        job = job_of(JobFolder(tmp_path, endpoint.url))
        early = batch.stream({**job, "model": []})
        with pytest.raises(RuntimeError, match="has not ended"):
            _ = early.result
        with pytest.raises(JobError):
            await anext(early)
        assert [outcome.ok async for outcome in batch.stream(job)] == [True] * 10
        with pytest.raises(ChangedError, match='changed="rerun" sends'):
            await anext(batch.stream({**job, "prompt": {"user": "Again: {{ text }}"}}))
        with pytest.raises(ValueError, match="use one of them"):
            await anext(batch.stream(job, fresh=True, changed="keep"))
        assert rows_sent(endpoint) == 10
