"""`run` and `resume`: open the run directory, see what is left to do, do it, write the outputs."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import anyio

from batch.app.costs import costs_of, keep_unrecorded
from batch.app.dedupe import duplicates_of, in_rounds
from batch.app.prepare import Prepared, prepare
from batch.app.race import open_race, raced_of
from batch.app.running import RunOptions, RunReport
from batch.app.stopping import Stoppable, Stopper, interruptible, watch
from batch.clock import SystemClock
from batch.engine import endpoints
from batch.engine.answer_checks import answer_checks_of
from batch.engine.dedupe import Duplicates
from batch.engine.endpoint_pool import EndpointPool, PooledEndpoint
from batch.engine.feed import Feed, Plan
from batch.engine.limiter import EndpointLimiter
from batch.engine.recorder import Recorder
from batch.engine.session import EndpointQueue, Session
from batch.engine.stop import Stop
from batch.errors import EndpointError, InputChangedError, SetupError, StorageError
from batch.events import Event, Notice, Observer, RunEnded, RunStarted
from batch.executors.workers.ray_session import connected, load_ray
from batch.job import LoadedJob, from_document
from batch.process import has_uvloop
from batch.prompts import RequestBuilder
from batch.readers import Dataset
from batch.records import ErrorInfo, Tally
from batch.results.outputs import write_outputs
from batch.rundir.local import RunDirectory
from batch.rundir.opening import address_of, run_directory
from batch.settings import Job, ProviderSettings, RunSettings, Variant
from batch.transport.client import Client

__all__ = ["RunOptions", "RunReport", "resume", "run"]

ROWS_LOOKED_AT = 200


def run(
    loaded: LoadedJob,
    options: RunOptions,
    observers: Sequence[Observer],
    *,
    signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM),
    stopper: Stopper | None = None,
) -> RunReport:
    """Run, or go on with, a job. The stopper, or one of `signals` (in the main thread only), drains it, the next stops it at once.

    Raises JobError, InputError, SetupError, RunDirectoryError before anything is sent, StorageError when the outputs cannot be written.
    """
    started = monotonic()
    job = loaded.job
    if options.engine == "ray":
        if job.run.race is not None:
            raise SetupError(
                "run.race: a race is run by one process, not on Ray; run it without --engine ray, or give --set run.race=false"
            )
        load_ray()
    keys = endpoints.read_keys(job.variants)
    directory = run_directory(job.output.dir)
    with directory.lock(partial(_say, observers)):
        if options.fresh:
            # Nothing is moved aside for an input that cannot be read.
            Dataset(job.input).check_ids()
            Dataset(job.input).count()
            _say(observers, directory.clear())
        tallies, dataset, stop = _session(loaded, directory, keys, options, observers, signals, stopper or Stopper())
        outputs: list[Path | str] = []
        if stop is None or stop.cause in {"refused", "budget"}:
            with interruptible(signals):
                outputs = _write_outputs(job, directory, dataset)
    _notify(observers, RunEnded(tallies, stop.reason if stop else None))
    return RunReport(
        directory.place,
        tallies,
        stop.reason if stop else None,
        stop.cause if stop else None,
        tuple(outputs),
        monotonic() - started,
        raced_of(directory, job, tallies),
    )


def _session(
    loaded: LoadedJob,
    directory: RunDirectory,
    keys: dict[str, str],
    options: RunOptions,
    observers: Sequence[Observer],
    signals: Sequence[signal.Signals],
    stopper: Stopper,
) -> tuple[dict[str, Tally], Dataset, Stop | None]:
    """Send what is left to be sent. The journals' indexes end with it: outputs need new ones, and there is no room for both."""
    on_ray = options.engine == "ray"
    with prepare(loaded, directory, retry_failed=options.retry_failed, changed=options.changed, cluster=on_ray) as prepared:
        for notice in (*prepared.notices, *_missed_by_scores(prepared)):
            _say(observers, notice)
        with connected(options.ray_address) if on_ray else nullcontext() as ray:
            sending = partial(_send, prepared, keys, ray, options, observers, signals, stopper)
            stop, unrecorded = anyio.run(sending, backend_options=_loop(prepared))
        # Where the disk or the store has refused, that is what must be told, and not that it refuses this as well.
        with suppress(StorageError) if stop is not None and stop.cause == "storage" else nullcontext():
            keep_unrecorded(directory, unrecorded)
        return prepared.tallies, prepared.dataset, stop


def resume(directory: Path | str, overrides: Sequence[str], options: RunOptions, observers: Sequence[Observer]) -> RunReport:
    """Go on with a run from its directory alone. Raises as `run` does."""
    found = run_directory(directory)
    loaded = from_document(found.manifest["job"], overrides)
    # The directory may have been moved since it was begun.
    job = replace(loaded.job, output=replace(loaded.job.output, dir=address_of(found)))
    return run(replace(loaded, job=job), options, observers)


def _loop(prepared: Prepared) -> dict[str, Any]:
    """The event loop: uvloop where it is installed and helps.

    pyreqwest's thread wakes the loop for each reply: asyncio's own by a byte through a socket each time, uvloop once for all that came
    meanwhile. Not with child processes: under uvloop (0.23) the end of what the embedded model's server writes is not seen.
    """
    job = prepared.job
    alone = prepared.division is None and not any(variant.provider.embedded for variant in job.variants)
    return {"use_uvloop": alone and job.run.http == "pyreqwest" and has_uvloop()}


def _missed_by_scores(prepared: Prepared) -> list[str]:
    """What scores will miss in the input. A warning only: later rows may have it, and `score --job` takes mended scores."""
    if not (scores := prepared.job.scores):
        return []
    # Scorers are slow to import: a run without scores does not wait for them.
    from batch.evaluation.expected import lacking

    return list(lacking(scores, prepared.dataset.first_rows(ROWS_LOOKED_AT)))


async def _send(
    prepared: Prepared,
    keys: dict[str, str],
    ray: Any | None,
    options: RunOptions,
    observers: Sequence[Observer],
    signals: Sequence[signal.Signals],
    stopper: Stopper,
) -> tuple[Stop | None, float]:
    """Send what is to be sent: why that ended early, and the US dollars that are in no outcome."""
    job, clock, say = prepared.job, SystemClock(), partial(_say, observers)
    started = RunStarted(job.name, str(prepared.directory.place), prepared.tallies)
    endpoints.warn_of_proxies(job.run, [variant.provider for variant in job.variants], os.environ, say)
    execute = partial(_executed, signals=signals, stopper=stopper, say=say)
    async with endpoints.started(job.variants) as variants:
        groups = endpoints.by_endpoint(variants)
        pools = [endpoints.each_url(group[0].provider) for group in groups]
        settings = endpoints.allow_connections(job.run, sum(map(len, pools)), say) if prepared.division is None else job.run
        async with endpoints.clients(pools, keys, settings, clock) as clients:
            try:
                checked = zip(clients, groups, strict=True) if settings.preflight else ()
                unready = [await endpoints.check_pool(pool, group, say) for pool, group in checked]
            except EndpointError as error:
                return Stop("refused", f"refused before a row was sent: {error}"), 0.0
            if prepared.division is None:
                costs = costs_of(job, prepared.directory)
                race = open_race(prepared, say, looking=not options.retry_failed and options.changed != "rerun")
                left, duplicates = race.left_out if race else set(), duplicates_of(prepared)
                plans = [[_plan(prepared, variant, settings) for variant in group] for group in groups]
                feeds = [_feed(prepared, own, settings, options, duplicates, left) for own in plans]
                lanes = [_queue(*parts, settings) for parts in zip(clients, pools, feeds, groups, strict=True)]
                for notice in _probed(lanes, unready, clock.monotonic()):
                    say(notice)
                recorder = Recorder(prepared.journals, prepared.tallies, clock, costs)
                _notify(observers, started)

                async def go(lanes: Sequence[EndpointQueue]) -> Stop | None:
                    session = Session(lanes, recorder, costs, settings, clock=clock, observers=observers)
                    return await execute(session, partial(race.run, session) if race else session.execute)

                return await in_rounds(prepared, lanes, plans, duplicates, go, say), costs.unrecorded
        _notify(observers, started)
        from batch.app.sharing import send_shared  # twenty modules, which most runs do without

        return await send_shared(
            prepared,
            variants,
            keys,
            ray,
            retry_failed=options.retry_failed,
            changed=options.changed,
            clock=clock,
            observers=observers,
            notice=say,
            execute=execute,
        )


def _probed(lanes: Sequence[EndpointQueue], unready: Sequence[Mapping[Client, ErrorInfo]], now: float) -> Iterator[str]:
    """Endpoints that could not be reached are probed from the start; what a person should know of them."""
    for lane, problems in zip(lanes, unready, strict=False):
        for member in lane.endpoint_pool.members:
            if member.client in problems:
                yield member.pace.unready(problems[member.client], now)


def _write_outputs(job: Job, directory: RunDirectory, dataset: Dataset) -> list[Path | str]:
    try:
        return write_outputs(job, directory, dataset)
    except InputChangedError:
        raise
    except StorageError as error:
        raise StorageError(f"{error}; all outcomes are in the journal; give the same command again, nothing is sent twice") from error


def _queue(
    clients: Sequence[Client], providers: Sequence[ProviderSettings], feed: Feed, variants: Sequence[Variant], settings: RunSettings
) -> EndpointQueue:
    return EndpointQueue(_endpoint_pool(clients, providers, settings), feed, answer_checks_of(variants, settings))


def _endpoint_pool(clients: Sequence[Client], providers: Sequence[ProviderSettings], settings: RunSettings) -> EndpointPool:
    names = [endpoints.endpoint_name(provider, pooled=len(providers) > 1) for provider in providers]
    members = [
        PooledEndpoint(client, EndpointLimiter(name, settings, rng=random.Random()))  # noqa: S311 - jitter is no secret
        for client, name in zip(clients, names, strict=True)
    ]
    return EndpointPool(providers[0].name, members, cuts_prompts=providers[0].cuts_prompts)


def _plan(prepared: Prepared, variant: Variant, settings: RunSettings) -> Plan:
    return Plan(variant.name, RequestBuilder(variant, stream=settings.stream), prepared.indexes[variant.name])


def _feed(
    prepared: Prepared,
    plans: Sequence[Plan],
    settings: RunSettings,
    options: RunOptions,
    duplicates: Mapping[str, Duplicates],
    left_out: Container[str],
) -> Feed:
    return Feed(
        prepared.dataset,
        plans,
        repeats=settings.repeats,
        by_id=prepared.job.input.id is not None,
        compare=prepared.changed,
        changed=options.changed,
        retry_failed=options.retry_failed,
        duplicate_filters=duplicates,
        left_out=left_out,
    )


async def _executed(
    stoppable: Stoppable,
    run_it: Callable[[], Awaitable[Stop | None]],
    *,
    signals: Sequence[signal.Signals],
    stopper: Stopper,
    say: Callable[[str], None],
) -> Stop | None:
    """Run to the end, or until somebody stops it."""
    async with anyio.create_task_group() as group:
        await group.start(watch, stoppable, signals, stopper, say)
        stop = await run_it()
        group.cancel_scope.cancel()
    return stop


def _say(observers: Sequence[Observer], text: str | None) -> None:
    if text is not None:
        _notify(observers, Notice(text))


def _notify(observers: Sequence[Observer], event: Event) -> None:
    for observer in observers:
        observer.notify(event)
