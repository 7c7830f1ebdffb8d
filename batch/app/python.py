"""`batch.run` and `batch.arun`: jobs from Python."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict

import anyio
import anyio.to_thread

from batch.app.job_types import JobDict
from batch.app.python_functions import has_functions, without_functions
from batch.app.python_results import RunResult
from batch.app.python_words import PythonNotices, in_python_words, speaking_python
from batch.app.runner import RunOptions, RunReport
from batch.app.runner import run as run_job
from batch.app.steps import run_steps, steps_of
from batch.errors import JobError, Problem
from batch.events import Observer
from batch.executors import make_executor
from batch.executors.stopping import Stopper
from batch.job import LoadedJob, from_document, load
from batch.settings.inputs import GIVEN, InputSettings

AnyJob = str | Path | JobDict | Mapping[str, Any] | LoadedJob
Start = Callable[[Stopper], RunReport]


class RunArguments(TypedDict, total=False):
    """The keyword arguments of `run`, which says what they mean."""

    rows: Any
    overrides: Sequence[str]
    retry_failed: bool
    fresh: bool
    changed: Literal["refuse", "rerun", "keep"]
    engine: str | None
    ray_address: str | None
    progress: bool
    observers: Sequence[Observer]


@in_python_words
def load_job(job: AnyJob, overrides: Sequence[str] = ()) -> LoadedJob:
    """Load a job from its file, from the same tables as a dict (paths relative to the working directory), or take a loaded one.

    Raises:
        JobError: with every mistake.
        TypeError: `job` or `overrides` are of another kind.
    """
    _check_kinds(job, overrides)
    if isinstance(job, LoadedJob):
        return from_document(job.document, overrides, source=job.source) if overrides else job
    if isinstance(job, Mapping):
        if has_functions(job):
            problem = Problem("the job", "prompt", "is a function", "only batch.run, stream and plan take functions")
            raise JobError([problem])
        return from_document({"name": "job", **job}, overrides, source="the job")
    return load(job, overrides)


def _check_kinds(job: object, overrides: object) -> None:
    """Refuse what a call is often given instead: a text or a dict as overrides, whose letters or keys would be read, or no job."""
    if isinstance(overrides, str | Mapping):
        raise TypeError(f'overrides is a list of texts, such as ["run.concurrency=64"], not {type(overrides).__name__}')
    if not isinstance(job, str | PathLike | Mapping | LoadedJob):
        raise TypeError(f"a job is the path of a job file, or its tables as a dict, not {type(job).__name__}")


def with_function_rows(job: AnyJob, overrides: Sequence[str], rows: Any) -> tuple[AnyJob, Any]:
    """Return a job without the functions in its prompts, and rows with the columns that they make. Raises JobError, InputError."""

    def load_input(document: Mapping[str, Any]) -> InputSettings:
        settings = load_job(document, overrides).job.input
        if settings.is_made:
            message = "is made of the rows of a file or of rows=…, and this job has neither"
            raise JobError([Problem("the job", "prompt", message, "give the rows as rows=…")])
        # Rows are selected when the kept ones are read.
        return replace(settings, where=None, sample=None, limit=None)

    return without_functions(job, load_input, rows)


def loaded_with(job: AnyJob, overrides: Sequence[str], rows: Any) -> LoadedJob:
    """Load a job whose rows are given by the program, unless `rows` is None. Raises JobError."""
    _check_kinds(job, overrides)
    return load_job(job, overrides if rows is None else [*overrides, f"input.path={GIVEN}"])


def _steps(job: AnyJob, overrides: Sequence[str], rows: Any) -> tuple[LoadedJob, ...]:
    return steps_of(loaded_with(job, overrides, rows), overrides)


@in_python_words
def run(
    job: AnyJob,
    *,
    rows: Any = None,
    overrides: Sequence[str] = (),
    retry_failed: bool = False,
    fresh: bool = False,
    changed: Literal["refuse", "rerun", "keep"] = "refuse",
    engine: str | None = None,
    ray_address: str | None = None,
    progress: bool = False,
    observers: Sequence[Observer] = (),
) -> RunResult:
    """Run a job, or continue it, and wait for its end.

    Ctrl-C lets the requests in flight end and then raises KeyboardInterrupt; a second one stops now. What was done is kept, and the same
    call continues. It works in any thread, and where an event loop is running, as in a notebook: it blocks that loop (`arun` does not).

    Args:
        job: the path of a job file, its tables as a dict, or a LoadedJob. One that builds on another runs that first. In a dict, `prompt`
            (or its messages, user or text) may be a function of a row, which is a dict.
        rows: in place of [input] path: dicts, or anything with Arrow's C stream interface. They are kept in the run directory.
        overrides: settings that come over the job's, as `--set` takes them: "run.concurrency=64".
        retry_failed: send failed rows again.
        fresh: start over; earlier results are moved aside.
        changed: what to do with finished rows whose request has changed.
        engine: what sends: "live" (this machine), "ray" (a Ray cluster; needs promptmill[ray]) or "batch-api"; None: the job's own.
        ray_address: the cluster, HOST:PORT or "auto"; without it RAY_ADDRESS, else Ray is started here.
        progress: show the progress on stderr.
        observers: get the events of the run (`batch.events`), in the thread that runs it.

    Raises:
        JobError, InputError, SetupError, RunDirectoryError: before anything is sent.
        StorageError: the outputs cannot be written.
    """
    arguments = RunArguments(
        rows=rows,
        overrides=overrides,
        retry_failed=retry_failed,
        fresh=fresh,
        changed=changed,
        engine=engine,
        ray_address=ray_address,
        progress=progress,
        observers=observers,
    )
    start = prepared_start(job, arguments)
    report = _in_a_thread(start) if _in_event_loop() else start(Stopper())
    if report.interrupted:
        raise KeyboardInterrupt
    return RunResult(report)


async def arun(
    job: AnyJob,
    *,
    rows: Any = None,
    overrides: Sequence[str] = (),
    retry_failed: bool = False,
    fresh: bool = False,
    changed: Literal["refuse", "rerun", "keep"] = "refuse",
    engine: str | None = None,
    ray_address: str | None = None,
    progress: bool = False,
    observers: Sequence[Observer] = (),
) -> RunResult:
    """As `run`, for async code: the run has a thread of its own. Cancelling lets the requests in flight end, up to run.grace_s."""
    with speaking_python():
        arguments = RunArguments(
            rows=rows,
            overrides=overrides,
            retry_failed=retry_failed,
            fresh=fresh,
            changed=changed,
            engine=engine,
            ray_address=ray_address,
            progress=progress,
            observers=observers,
        )
        start = await anyio.to_thread.run_sync(partial(prepared_start, job, arguments))
        return RunResult(await _beside(start))


async def _beside(start: Start) -> RunReport:
    """Run in a thread of its own, beside the event loop; a cancellation asks the run to stop, and waits for its end."""
    stopper, over = Stopper(), anyio.Event()
    ended: list[RunReport | Exception] = []

    async def work() -> None:
        with anyio.CancelScope(shield=True):
            try:
                ended.append(await anyio.to_thread.run_sync(start, stopper, limiter=anyio.CapacityLimiter(1)))
            except Exception as error:  # noqa: BLE001 - raised below, outside of the task group that would wrap it
                ended.append(error)
        over.set()

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        try:
            await over.wait()
        except anyio.get_cancelled_exc_class():
            stopper.ask()
            raise
    (outcome,) = ended
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def prepared_start(job: AnyJob, arguments: RunArguments) -> Start:
    """Check the arguments of a run and load its job, with the jobs it builds on; return what starts it. Raises JobError, SetupError."""
    fresh, changed, engine = arguments.get("fresh", False), arguments.get("changed", "refuse"), arguments.get("engine")
    job, rows = with_function_rows(job, arguments.get("overrides", ()), arguments.get("rows"))
    ray_address = arguments.get("ray_address")
    if changed not in ("refuse", "rerun", "keep"):
        raise ValueError(f'changed is "rerun" or "keep", or "refuse", the default; not {changed!r}')
    if fresh and changed != "refuse":
        raise ValueError("fresh starts over, so nothing is left for changed to decide; use one of them")
    make_executor(engine or "live", ray_address)
    retry_failed = arguments.get("retry_failed", False)
    options = RunOptions(retry_failed=retry_failed, fresh=fresh, changed=changed, engine=engine, ray_address=ray_address, rows=rows)
    steps = _steps(job, arguments.get("overrides", ()), rows)
    return partial(_started, steps, options, arguments.get("observers", ()), arguments.get("progress", False))


def _started(steps: Sequence[LoadedJob], options: RunOptions, observers: Sequence[Observer], progress: bool, stopper: Stopper) -> RunReport:
    def start(loaded: LoadedJob, for_step: RunOptions) -> RunReport:
        # A program with a SIGINT handler of its own keeps it.
        own = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with ExitStack() as stack:
            watching = list(observers)
            if progress and sys.stderr is not None:
                from batch.app.notebook_progress import notebook_display
                from batch.clock import SystemClock
                from batch.progress import display_for

                clock = SystemClock()
                display = notebook_display(sys.stderr, clock) or display_for(sys.stderr, clock)
                stack.callback(display.close)
                watching.append(PythonNotices(display))
            return run_job(loaded, for_step, watching, signals=(signal.SIGINT,) if own else (), stopper=stopper)

    return run_steps(steps, options, start)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_a_thread(start: Start) -> RunReport:
    """Run beside an event loop that holds this thread; Ctrl-C is passed on."""
    stopper = Stopper()
    with ThreadPoolExecutor(1, "promptmill") as pool, _interrupts(stopper):
        return pool.submit(start, stopper).result()


@contextmanager
def _interrupts(stopper: Stopper) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: stopper.ask())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
