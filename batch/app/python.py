"""`batch.run` and its kin: jobs from Python, with their results as Arrow tables."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread

from batch.app.made_rows import rows_for_reading
from batch.app.run import RunOptions, RunReport
from batch.app.run import run as run_job
from batch.app.steps import run_steps, steps_of
from batch.app.stored import open_run
from batch.engine.feed import ChangedPolicy
from batch.events import Observer
from batch.executors import make_executor
from batch.executors.stopping import Stopper
from batch.job import LoadedJob, from_document, load
from batch.settings.inputs import GIVEN
from batch.tally import Tally

if TYPE_CHECKING:
    import pyarrow as pa

    from batch.app.estimate import Estimate
    from batch.results.tables import Tables

AnyJob = str | Path | Mapping[str, Any] | LoadedJob


class Results:
    """The results of a run directory, also during its run or after it stopped: as its journals are when first read.

    It is itself a stream of completions in Arrow's C interface, so that `polars.DataFrame(results)`, `pyarrow.table(results)` and
    `duckdb.sql("from results")` take it as it is; `results.completions().to_pandas()` is for pandas.

    Raises:
        RunDirectoryError: there is no run there.
    """

    def __init__(self, directory: str | Path) -> None:
        self._run = open_run(directory)
        self.directory: Path | str = self._run.directory.place
        self._made: Tables | None = None

    def completions(self) -> pa.Table:
        """One row per answer, in input order. Columns: those of completions.parquet. Raises InputError, DamagedError, StorageError."""
        return self._tables.completions()

    def errors(self) -> pa.Table:
        """One row per failed task, in input order. Columns: those of errors.parquet. Raises as `completions`."""
        return self._tables.errors()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._tables.stream().__arrow_c_stream__(requested_schema)

    @property
    def _tables(self) -> Tables:
        from batch.results.tables import Tables

        if self._made is None:
            self._made = Tables(self._run)
        return self._made


class RunResult(Results):
    """How a run ended, with its results.

    `tallies` are the counts by variant, `reason` is a sentence on why it ended early (None: every row has its outcome), `exit_code` is
    that of the command, `outputs` are the written files.
    """

    def __init__(self, report: RunReport) -> None:
        super().__init__(report.directory)
        self.tallies: dict[str, Tally] = report.tallies
        self.reason: str | None = report.reason
        self.exit_code: int = report.exit_code
        self.outputs: tuple[Path | str, ...] = report.outputs
        self.elapsed_s: float = report.elapsed_s

    def __repr__(self) -> str:
        ok = sum(tally.ok + tally.kept_ok for tally in self.tallies.values())
        failed = sum(tally.failed + tally.kept_failed for tally in self.tallies.values())
        return f"<RunResult {str(self.directory)!r}: {ok:,} ok, {failed:,} failed{', ' + self.reason if self.reason else ''}>"


def load_job(job: AnyJob, overrides: Sequence[str] = ()) -> LoadedJob:
    """Load a job from its file, from the same tables as a dict (paths relative to the working directory), or take a loaded one.

    Raises:
        JobError: with every mistake.
    """
    if isinstance(job, LoadedJob):
        return from_document(job.document, overrides, source=job.source) if overrides else job
    if isinstance(job, Mapping):
        return from_document({"name": "job", **job}, overrides, source="the job")
    return load(job, overrides)


def plan(job: AnyJob, *, rows: Any = None, overrides: Sequence[str] = (), retry_failed: bool = False) -> Estimate:
    """Estimate what a job would send, its cost and its duration; sends nothing and writes nothing.

    Raises:
        JobError, InputError, DamagedError, RunDirectoryError.
    """
    from batch.app.estimate import estimate

    with rows_for_reading(_loaded(job, overrides, rows), rows) as loaded:
        return estimate(loaded, retry_failed=retry_failed)


def _loaded(job: AnyJob, overrides: Sequence[str], rows: Any) -> LoadedJob:
    return load_job(job, overrides if rows is None else [*overrides, f"input.path={GIVEN}"])


def _steps(job: AnyJob, overrides: Sequence[str], rows: Any) -> tuple[LoadedJob, ...]:
    return steps_of(_loaded(job, overrides, rows), overrides)


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
        job: the path of a job file, its tables as a dict, or a LoadedJob. One that builds on another runs that first.
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
    options = _options(retry_failed, fresh, changed, engine, ray_address, rows)
    start = partial(_started, _steps(job, overrides, rows), options, observers, progress)
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
    steps = await anyio.to_thread.run_sync(_steps, job, overrides, rows)
    start = partial(_started, steps, _options(retry_failed, fresh, changed, engine, ray_address, rows), observers, progress)
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
    return RunResult(outcome)


def _options(retry_failed: bool, fresh: bool, changed: ChangedPolicy, engine: str | None, ray_address: str | None, rows: Any) -> RunOptions:
    if fresh and changed != "refuse":
        raise ValueError("fresh starts over, so nothing is left for changed to decide; use one of them")
    make_executor(engine or "live", ray_address)
    return RunOptions(retry_failed=retry_failed, fresh=fresh, changed=changed, engine=engine, ray_address=ray_address, rows=rows)


def _started(steps: Sequence[LoadedJob], options: RunOptions, observers: Sequence[Observer], progress: bool, stopper: Stopper) -> RunReport:
    def start(loaded: LoadedJob, for_step: RunOptions) -> RunReport:
        # A program with a SIGINT handler of its own keeps it.
        own = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with ExitStack() as stack:
            watching = list(observers)
            if progress and sys.stderr is not None:
                from batch.clock import SystemClock
                from batch.progress import display_for

                display = display_for(sys.stderr, SystemClock())
                stack.callback(display.close)
                watching.append(display)
            return run_job(loaded, for_step, watching, signals=(signal.SIGINT,) if own else (), stopper=stopper)

    return run_steps(steps, options, start)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_a_thread(start: Callable[[Stopper], RunReport]) -> RunReport:
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
