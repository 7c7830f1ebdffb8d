"""`run` and `resume`: open the run directory, find what is left to do, do it, write the outputs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import anyio

from batch.app.bug_report import BugCollector, internal_error
from batch.app.engines import check_open_batches, engine_of
from batch.app.former import refuse_former
from batch.app.made_rows import drop_other_rows, keep_rows
from batch.app.prepare import prepare
from batch.app.running import RunOptions, RunReport
from batch.app.stored import stored_run
from batch.app.variants import chosen_variants
from batch.app.watchers import watching
from batch.app.whole import whole_of
from batch.clock import SystemClock
from batch.engine import endpoints
from batch.engine.feed import FeedOptions
from batch.engine.stop import Stop
from batch.errors import EndpointError, InputChangedError, PromptmillError, RunDirectoryError, StorageError
from batch.events import Event, Notice, Observer, RunEnded, RunStarted
from batch.executors import Ended, Executor, make_executor
from batch.executors.context import EndpointGroup, PreparedRun, RunContext, StopSource
from batch.executors.control import Control
from batch.executors.control_server import serving
from batch.executors.costs import keep_unrecorded
from batch.executors.live.race import raced_of
from batch.executors.stopping import Stopper, handlers_restored, not_ignored
from batch.job import LoadedJob, check_columns, from_document
from batch.policy.redaction import ApiKeys
from batch.process import has_uvloop
from batch.readers import Dataset
from batch.records import ErrorInfo
from batch.results.outputs import following, write_outputs
from batch.rundir.local import RunDirectory
from batch.rundir.opening import address_of, open_existing, open_run_directory
from batch.rundir.stored_run import StoredRun
from batch.rundir.watch_folder import watch_folder
from batch.settings import Job
from batch.tally import Tally
from batch.transport.client import Client

__all__ = ["RunOptions", "RunReport", "resume", "run"]

ROWS_LOOKED_AT = 200


def run(
    loaded: LoadedJob,
    options: RunOptions,
    observers: Sequence[Observer],
    *,
    signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    stopper: Stopper | None = None,
    directory: RunDirectory | None = None,
) -> RunReport:
    """Run a job, or continue it. The stopper, or one of `signals` (in the main thread only), drains it; the next one stops it at once.

    `directory` is the job's run directory, where it is open already.

    Raises JobError, InputError, SetupError, RunDirectoryError before anything is sent, StorageError when the outputs cannot be written,
    InternalError for an unexpected exception.
    """
    started = monotonic()
    directory = directory or open_run_directory(loaded.job.output.dir)
    engine = engine_of(options, loaded.job, directory)
    executor = make_executor(engine, options.ray_address)
    executor.check(loaded.job)
    keys = endpoints.read_keys(chosen_variants(loaded.job, options.variants))
    report = partial(_report, observers)
    is_new = not directory.exists
    if is_new:
        refuse_former(loaded)
    if is_new and not loaded.job.input.is_made:
        _check_new(loaded, report)
    bugs = BugCollector(directory)
    with directory.lock(report), watching(loaded, directory, options, report) as watchers:
        observers = [*observers, bugs, *watchers]
        check_open_batches(directory, engine, fresh=options.fresh)
        loaded = _with_rows(loaded, directory, options, report, is_new=is_new)
        stop_source = StopSource(not_ignored(signals), stopper or Stopper())
        sent, outputs = _send_and_write(_Sending(executor, keys, options, observers, stop_source), loaded, directory, bugs)
    ended = sent.report(outputs, monotonic() - started, bugs.path)
    _notify(observers, RunEnded(ended.tallies, ended.reason))
    return ended


def _with_rows(
    loaded: LoadedJob, directory: RunDirectory, options: RunOptions, report: Callable[[str], None], *, is_new: bool
) -> LoadedJob:
    """Make and keep the rows that are in no file, and with `fresh` move an earlier run aside; returns the job that reads its rows."""
    if loaded.job.input.is_made:
        loaded = keep_rows(loaded, directory, options, report)
        if is_new:
            _check_new(loaded, report)
    elif options.fresh:
        report(_clear(directory, loaded.job))
    return loaded


def _check_new(loaded: LoadedJob, report: Callable[[str], None]) -> None:
    """Compare a job that has not begun with its input; one that began continues with what it was started with. Raises JobError."""
    for warning in (*check_columns(loaded), *loaded.warnings):
        report(warning)


def _clear(directory: RunDirectory, job: Job) -> str:
    """Move an earlier run aside, but nothing for an input that cannot be read; returns a sentence. Raises InputError, StorageError."""
    dataset = Dataset(job.input)
    dataset.check_ids()
    dataset.count()
    return directory.clear()


def _send_and_write(
    sending: _Sending, loaded: LoadedJob, directory: RunDirectory, bugs: BugCollector
) -> tuple[_Sent, Sequence[Path | str]]:
    """Send what is left, then write the outputs and the bug report. Raises InternalError for an unexpected exception."""
    sent: _Sent | None = None
    outputs: list[Path | str] = []
    try:
        sent = sending.send(loaded, directory)
        stop = sent.ended.stop
        # Not where the user wants it to end at once: writing takes a while.
        drained = stop is not None and stop.cause == "interrupted" and sending.is_drained
        if stop is None or drained or stop.cause in {"refused", "budget", "waiting", "cancelled"}:
            outputs = _write_outputs(sent.run)
        bugs.write()
    except PromptmillError:
        raise
    except Exception as error:
        if sent is None:
            # Outputs of what there is; they may fail for the same reason.
            with suppress(Exception):
                write_outputs(stored_run(directory, loaded.job))
        raise internal_error(error, directory) from error
    return sent, outputs


def resume(directory: Path | str, overrides: Sequence[str], options: RunOptions, observers: Sequence[Observer]) -> RunReport:
    """Continue a run from its directory alone. Raises as `run` does."""
    found = open_existing(directory)
    loaded = from_document(dict(found.manifest.job), overrides)
    # The directory may have been moved since the run began.
    job = replace(loaded.job, output=replace(loaded.job.output, dir=address_of(found)))
    return run(replace(loaded, job=job), replace(options, kept_rows=True), observers, directory=found)


@dataclass(frozen=True, slots=True)
class _Sent:
    tallies: dict[str, Tally]
    run: StoredRun
    ended: Ended

    def report(self, outputs: Sequence[Path | str], elapsed_s: float, bug_report: Path | str | None) -> RunReport:
        """Report how the run ended."""
        stop = self.ended.stop
        return RunReport(
            self.run.directory.place,
            self.tallies,
            stop.reason if stop else None,
            stop.cause if stop else None,
            tuple(outputs),
            elapsed_s,
            # Where the run directory was taken away, run.json is gone with it.
            {} if stop is not None and stop.cause == "storage" else raced_of(self.run, self.tallies),
            self.ended.unrecorded_usd,
            bug_report,
            whole_of(self.run, self.tallies),
            self.run.job.run.max_cost_usd,
            stop.least_usd if stop else None,
        )


class _Sending:
    """Sends what a job has left to send, by one executor."""

    def __init__(
        self, executor: Executor, keys: ApiKeys, options: RunOptions, observers: Sequence[Observer], stop_source: StopSource
    ) -> None:
        self._executor = executor
        self._keys, self._options = keys, options
        self._observers = observers
        self._stop_source = stop_source
        self._clock = SystemClock()

    @property
    def is_drained(self) -> bool:
        """Whether a stop, if there was one, was asked for once only."""
        return self._stop_source.stopper.asked < 2

    def send(self, loaded: LoadedJob, directory: RunDirectory) -> _Sent:
        """Prepare the run and send. The journals' indexes end with it: outputs load new ones, and memory has no room for both."""
        with prepare(loaded, directory, self._executor, self._options) as prepared:
            drop_other_rows(directory, prepared.job)
            for notice in (*prepared.notices, *_missed_by_scores(prepared)):
                _report(self._observers, notice)
            parts = following(prepared.run, alone=not prepared.sharding)
            with parts, self._executor.connected(), handlers_restored(self._stop_source.signals):
                ended = anyio.run(self._send, prepared, backend_options=_loop(prepared))
            # A disk or store that refused would refuse this as well, and the first refusal is the one to report.
            with suppress(StorageError, RunDirectoryError) if ended.stop is not None and ended.stop.cause == "storage" else nullcontext():
                keep_unrecorded(directory, ended.unrecorded_usd, sum(tally.abandoned for tally in prepared.tallies.values()))
                if (watched := watch_folder(directory)).is_dir():
                    directory.publish(watched)
        with suppress(PromptmillError):  # what cannot be merged counts as it is
            directory.merge_objects(refused=ended.stop is not None and ended.stop.cause == "storage")
        return _Sent(prepared.tallies, prepared.run, ended)

    async def _send(self, prepared: PreparedRun) -> Ended:
        job, report = prepared.job, partial(_report, self._observers)
        chosen = chosen_variants(job, self._options.variants)
        endpoints.warn_of_proxies(job.run, [variant.provider for variant in chosen], os.environ, report)
        async with endpoints.started(chosen) as variants:
            grouped = endpoints.by_endpoint(variants)
            pools = [endpoints.each_url(group[0].provider) for group in grouped]
            # Workers open connections of their own.
            shared = prepared.sharding is not None
            settings = job.run if shared else endpoints.allow_connections(job.run, sum(map(len, pools)), report)
            async with endpoints.clients(pools, self._keys, settings, self._clock) as clients:
                unready: list[dict[Client, ErrorInfo]] = [{} for _ in pools]
                if settings.preflight:
                    try:
                        unready = [await endpoints.check_pool(*each, report) for each in zip(clients, grouped, strict=True)]
                    except EndpointError as error:
                        return Ended(Stop("refused", f"refused before a row was sent: {error}"))
                groups = [EndpointGroup(*each) for each in zip(grouped, pools, clients, unready, strict=True)]
                control = Control(job.run, self._stop_source.stopper, partial(_notify, self._observers), self._clock.wall())
                context = RunContext(
                    prepared,
                    settings,
                    groups,
                    self._keys,
                    self._feed_options(prepared),
                    self._clock,
                    self._observers,
                    self._stop_source,
                    control,
                    self._options.batch,
                )
                context.notify(RunStarted(job.name, str(prepared.directory.place), prepared.tallies))
                context.notify(control.limits)
                async with serving(control, prepared.directory, report):
                    return await self._executor.execute(context)

    def _feed_options(self, prepared: PreparedRun) -> FeedOptions:
        job, options = prepared.job, self._options
        return FeedOptions(
            job.run.repeats, job.input.id is not None, prepared.may_differ, options.changed, options.retry_failed, order=job.run.order
        )


def _loop(prepared: PreparedRun) -> dict[str, Any]:
    """Choose the event loop: uvloop where it is installed and helps.

    Not with child processes: under uvloop (0.23) the end of what the embedded model's server writes is not seen.
    """
    job = prepared.job
    alone = prepared.sharding is None and not any(variant.provider.embedded for variant in job.variants)
    return {"use_uvloop": alone and has_uvloop()}


def _missed_by_scores(prepared: PreparedRun) -> list[str]:
    """Warn of what scores will miss in the input. A warning only: later rows may have it, and `score --job` takes repaired scores."""
    if not (scores := prepared.job.scores):
        return []
    # Scorers are slow to import: a run without scores does not wait for them.
    from batch.evaluation.expected import lacking

    return list(lacking(scores, prepared.dataset.first_rows(ROWS_LOOKED_AT)))


def _write_outputs(run: StoredRun) -> list[Path | str]:
    try:
        run.directory.check_lock()
        return write_outputs(run)
    except InputChangedError:
        raise
    except StorageError as error:
        raise StorageError(f"{error}; all outcomes are in the journal; run the same command again, nothing is sent twice") from error


def _report(observers: Sequence[Observer], text: str) -> None:
    _notify(observers, Notice(text))


def _notify(observers: Sequence[Observer], event: Event) -> None:
    for observer in observers:
        observer.notify(event)
