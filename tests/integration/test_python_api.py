"""`batch.run` and `batch.arun`: jobs from Python, in event loops and threads, interrupted and cancelled."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import batch
from batch.errors import JobError, RunDirectoryError, SetupError
from batch.events import Event, RunEnded
from tests.support.jobs import JobFolder, check_accounts, rows_sent
from tests.support.scripted import PATIENCE_S, ScriptedEndpoint, Sleep, answer, error
from tests.support.scripts import for_rows, row_number


def job_of(folder: JobFolder) -> dict[str, Any]:
    """The folder's job as a dict."""
    return {
        "input": {"path": str(folder.path / "rows.jsonl"), "id": "id"},
        "prompt": {"user": "{{ text }}"},
        "provider": {"house": {"base_url": folder.url}},
        "model": [{"id": "house/test-model"}],
        "output": {"dir": str(folder.directory), "columns": ["text"]},
    }


def test_results_are_tables_for_all_who_know_arrow(tmp_path: Path) -> None:
    """A result goes into Arrow, pandas and polars as it is; errors are a table beside it; failed rows give exit code 1."""
    handler = for_rows(lambda r: [error(400, "bad")] if row_number(r) == 3 else answer(r))
    with ScriptedEndpoint(handler) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url)
        result = batch.run(job_of(folder))
    check_accounts(folder)
    assert (result.exit_code, result.reason) == (1, None)
    assert repr(result) == f"<RunResult '{folder.directory}': 9 ok, 1 failed>"
    assert pa.table(result).equals(result.completions())
    assert pl.DataFrame(result)["text"].to_list() == result.completions().column("text").to_pylist()
    assert list(pd.DataFrame.from_arrow(result)["id"]) == [f"r{number}" for number in range(10) if number != 3]
    (failed,) = result.errors().to_pylist()
    assert (failed["id"], failed["error"]["code"], failed["text"]) == ("r3", "bad_request", "question 3")
    assert batch.Results(folder.directory).completions().equals(result.completions())


def test_the_same_call_goes_on(tmp_path: Path) -> None:
    """A path, a dict and a loaded job are the same job; what is done is not sent again; fresh starts over."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url)
        overrides = [f"output.dir={folder.directory}"]
        assert batch.run(folder.job, overrides=overrides).tallies["house/test-model"].ok == 10
        assert batch.run(str(folder.job), overrides=overrides).tallies["house/test-model"].kept_ok == 10
        loaded = batch.load_job(folder.job, overrides)
        assert batch.run(loaded).tallies["house/test-model"].kept_ok == 10
        assert batch.run(loaded, overrides=["input.limit=4"], fresh=True).tallies["house/test-model"].ok == 4
        assert rows_sent(endpoint) == 14


@pytest.mark.parametrize(
    ("job", "arguments", "says"),
    [
        (None, {}, "a job is the path of a job file, or its tables as a dict, not NoneType"),
        ({}, {"overrides": "run.attempts=3"}, 'overrides is a list of texts, such as ["run.concurrency=64"], not str'),
        ({}, {"overrides": "run.attempts=3", "rows": [{"a": 1}]}, "overrides is a list of texts"),
        ({}, {"overrides": {"run.attempts": 3}}, "overrides is a list of texts"),
    ],
)
def test_arguments_of_another_kind_are_named(job: Any, arguments: dict[str, Any], says: str) -> None:
    """What Python would read as a list of letters or keys is refused with what is taken; so is no job at all."""
    for call in (batch.run, batch.plan):
        with pytest.raises(TypeError) as caught:
            call(job, **arguments)
        assert says in str(caught.value)


def test_a_wrong_decision_on_changes_is_refused(tmp_path: Path) -> None:
    """A misspelt `changed` is no `refuse`; a prompt that is a text names its table."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:1/v1")
    with pytest.raises(ValueError, match=r"changed is .*rerun.* not 'maybe'"):
        batch.run(job_of(folder), changed="maybe")  # type: ignore[arg-type]
    with pytest.raises(JobError, match=r"prompt: must be a table, .*\[prompt\] and user = that text"):
        batch.run({**job_of(folder), "prompt": "{{ text }}"})


def test_mistakes_are_raised_before_anything_is_sent(tmp_path: Path) -> None:
    """A wrong job, options that contradict each other, and a folder without a run are told by what is raised."""
    with ScriptedEndpoint() as endpoint:
        job = job_of(JobFolder(tmp_path, endpoint.url))
        with pytest.raises(JobError, match=r"the job: run.concurency: is not a known setting \(did you mean concurrency\?\)"):
            batch.run({**job, "run": {"concurency": 3}})
        with pytest.raises(ValueError, match="use one of them"):
            batch.run(job, fresh=True, changed="rerun")
        with pytest.raises(ValueError, match='is for engine="ray"; give both'):
            batch.run(job, ray_address="auto")
        with pytest.raises(ValueError, match="engine is one of 'live', 'ray', 'batch-api', not 'Ray'"):
            batch.run(job, engine="Ray")  # type: ignore[arg-type]
        with pytest.raises(SetupError, match=r"no Ray cluster at 127\.0\.0\.1:9 |needs Ray"):
            batch.run(job, engine="ray", ray_address="127.0.0.1:9")
        with pytest.raises(RunDirectoryError):
            batch.Results(tmp_path / "nowhere")
        assert not endpoint.requests


class Ended:
    """Notes in which thread the run ended."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def notify(self, event: Event) -> None:
        """Take note."""
        if isinstance(event, RunEnded):
            self.threads.append(threading.current_thread())


async def test_in_a_running_event_loop(tmp_path: Path) -> None:
    """`run` works where a loop runs already, as in a notebook, and `arun` leaves that loop free meanwhile; both raise what is wrong."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.sleep(0.001)

    slow = for_rows(lambda r: [Sleep(0.2), *answer(r)])
    with ScriptedEndpoint(slow) as endpoint:
        job, ended = job_of(JobFolder(tmp_path, endpoint.url)), Ended()
        assert batch.run(job, observers=[ended]).exit_code == 0
        assert ended.threads[0] is not threading.current_thread()
        async with anyio.create_task_group() as group:
            group.start_soon(count)
            assert (await batch.arun(job, fresh=True)).exit_code == 0
            group.cancel_scope.cancel()
        assert turns > 5
        with pytest.raises(JobError):
            await batch.arun({**job, "model": []})
        with pytest.raises(JobError):
            batch.run({**job, "model": []})


async def test_a_cancelled_run_keeps_what_was_in_flight(tmp_path: Path) -> None:
    """Cancelling `arun` reads no further, lets the requests in flight end, and raises the cancellation; the next call goes on."""
    begun = threading.Event()

    def handler(received: Any) -> Any:
        begun.set()
        return [Sleep(0.3), *answer(received)]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50)
        job = {**job_of(folder), "run": {"concurrency": 4}}
        with anyio.move_on_after(30) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(batch.arun, job)
                await anyio.to_thread.run_sync(begun.wait, 20)
                group.cancel_scope.cancel()
        assert not scope.cancelled_caught
        sent = rows_sent(endpoint)
        assert 1 <= sent <= 8
        assert batch.Results(folder.directory).completions().num_rows == sent
        assert (await batch.arun(job)).tallies["house/test-model"].kept_ok == sent
        assert rows_sent(endpoint) == 50


SCRIPTS = {
    "main thread": "batch.run(job)",
    "event loop": "import asyncio\nasync def main():\n    batch.run(job)\nasyncio.run(main())",
    "arun": "import asyncio\nasyncio.run(batch.arun(job))",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_ctrl_c_ends_the_program_and_keeps_what_was_in_flight(tmp_path: Path, script: str) -> None:
    """SIGINT lets the requests in flight end, journals them, and raises KeyboardInterrupt, wherever the run was called (promise 1)."""
    begun = threading.Event()

    def handler(received: Any) -> Any:
        begun.set()
        return [Sleep(0.3), *answer(received)]

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=50)
        source = f"import batch\njob = { ({**job_of(folder), 'run': {'concurrency': 4}})!r}\n{script}\nprint('went on')"
        process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert begun.wait(PATIENCE_S)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert (out, err.splitlines()[-1]) == ("", "KeyboardInterrupt")
        assert 1 <= rows_sent(endpoint) <= 8
        assert batch.Results(folder.directory).completions().num_rows == rows_sent(endpoint)
    check_accounts(folder)


def test_in_another_thread(tmp_path: Path) -> None:
    """A run in a thread that is not the main one takes no signals and ends as it should."""
    results: list[batch.RunResult] = []
    with ScriptedEndpoint() as endpoint:
        job = job_of(JobFolder(tmp_path, endpoint.url))
        before = signal.getsignal(signal.SIGINT)
        thread = threading.Thread(target=lambda: results.append(batch.run(job)))
        thread.start()
        thread.join()
        assert results[0].exit_code == 0
        assert signal.getsignal(signal.SIGINT) is before
        assert batch.run(job).exit_code == 0
        assert signal.getsignal(signal.SIGINT) is before


def test_importing_batch_loads_next_to_nothing() -> None:
    """`import batch` alone loads none of the libraries; each name loads its own."""
    script = (
        "import sys, batch; heavy = {'pyarrow', 'numpy', 'httpx', 'pydantic', 'anyio'} & set(sys.modules); assert not heavy, heavy;"
        "batch.run; batch.Endpoint; assert {'pydantic', 'anyio'} <= set(sys.modules); assert callable(batch.run)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
