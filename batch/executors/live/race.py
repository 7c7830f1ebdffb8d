"""A race beside a run: reads the journals at intervals and stops variants that can no longer win."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from batch.engine.session import Session
from batch.engine.stop import Stop
from batch.errors import PromptmillError
from batch.executors.context import PreparedRun
from batch.records import BeatenVariant
from batch.rundir.manifest import Manifest, RaceRecord
from batch.rundir.stored_run import StoredRun
from batch.settings import Job
from batch.tally import Tally

if TYPE_CHECKING:
    from batch.evaluation.racer import Racer

LOOK_INTERVAL_S = 0.25
# Each look reads the journals' index again, which takes longer as the run grows: looks get rarer, so that they stay a twentieth of it.
SHARE = 1 / 20


class RunRace:
    """The race of one session. `stopped` are the variants that this session or an earlier one has stopped.

    Without `looking`, those of earlier sessions stay stopped and no further one is stopped. Raises SetupError when a file or a library of
    the scorer is missing.
    """

    def __init__(self, prepared: PreparedRun, report: Callable[[str], None], *, looking: bool) -> None:
        from batch.evaluation.racer import Racer

        job = prepared.job
        score = next(score for score in job.scores if score.name == job.run.race)
        self.stopped: set[str] = set()
        self._prepared = prepared
        self._report = report
        self._looking = looking
        self._version = _version(job)
        stops = recorded_stops(prepared.run.manifest, job)
        self._racer: Racer = Racer(prepared.run, score, stops)
        self.stopped.update(stop.variant for stop in stops)

    async def run(self, session: Session) -> Stop | None:
        """Run the session to its end and stop variants on the way."""
        for variant in self.stopped:
            session.skip(variant)
        if self._finished():
            await self._look(session)  # an earlier session may have ended before its last look
        async with anyio.create_task_group() as group:
            group.start_soon(self._look_regularly, session)
            stop = await session.execute()
            group.cancel_scope.cancel()
        return stop

    async def _look_regularly(self, session: Session) -> None:
        seen, took = 0, 0.0
        while self._looking and len(self._racer.running) > 1:
            await anyio.sleep(max(LOOK_INTERVAL_S, took / SHARE))
            if self._finished() == seen:
                continue
            seen, began = self._finished(), anyio.current_time()
            await self._look(session)
            took = anyio.current_time() - began

    async def _look(self, session: Session) -> None:
        if not self._looking:
            return
        try:
            beaten = await anyio.to_thread.run_sync(self._racer.look)
            for stop in beaten:
                self.stopped.add(stop.variant)
                session.skip(stop.variant)
                self._report(f"{stop.variant} is stopped by the race after {stop.after_rows:,} rows: {stop.beaten_by} beats it")
            if beaten:
                # Shielded: a session that ends meanwhile cancels the looks, and the stop would be forgotten.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._keep)
        except PromptmillError as error:
            self._looking = False
            self._report(f"the race has ended and no further variant is stopped: {error}")

    def _keep(self) -> None:
        directory = self._prepared.directory
        directory.write_manifest(replace(directory.manifest, race=RaceRecord(self._version, self._racer.stops)))

    def _finished(self) -> int:
        return sum(self._prepared.tallies[name].finished for name in self._racer.running)


def open_race(prepared: PreparedRun, report: Callable[[str], None], *, looking: bool) -> RunRace | None:
    """Open the race of a run; None when the job wants none or has one variant. Raises SetupError."""
    wanted = prepared.job.run.race is not None and len(prepared.job.variants) > 1
    return RunRace(prepared, report, looking=looking) if wanted else None


def recorded_stops(manifest: Manifest | None, job: Job) -> Sequence[BeatenVariant]:
    """Read the variants that the race of a run has stopped; none when the deciding score has changed since."""
    race = None if manifest is None else manifest.race
    if race is None or job.run.race is None or race.version != _version(job):
        return ()
    names = {variant.name for variant in job.variants}
    return [stop for stop in race.stops if stop.variant in names]


def _version(job: Job) -> str:
    from batch.evaluation.scorers import scorer_version

    return scorer_version(next(score for score in job.scores if score.name == job.run.race))


def raced_of(run: StoredRun, tallies: Mapping[str, Tally]) -> dict[str, str]:
    """Map the variants that the race stopped before their last row to the variant that beat each."""
    if run.job.run.race is None:
        return {}
    # Read again: the race of this session has added to it since the run was opened.
    stops = recorded_stops(run.directory.manifest, run.job)
    return {stop.variant: stop.beaten_by for stop in stops if tallies[stop.variant].not_attempted}
