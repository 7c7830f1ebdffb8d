"""A history: sessions of a run by batches, with crashes, signals and a moody provider, all drawn from a seed, and a fair one at the end."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import orjson

from batch.app.runner import RunOptions, RunReport
from batch.app.stored import stored_run
from batch.errors import StorageError
from batch.executors.batch_api import endpoint, executor, submissions, watching
from batch.executors.batch_options import BatchOptions
from batch.job import LoadedJob
from batch.journal.ledger import FileLedger
from batch.results.verify import verify
from batch.rundir import batch_places
from batch.rundir.local import RunDirectory
from batch.settings import InputSettings, Job, OutputSettings, PromptSettings, ProviderSettings, RunSettings, Variant
from batch.settings.batch_api import BatchApi, BatchSettings
from batch.transport.wire import Response, Target
from tests.simulation.disk import SimDisk, Trouble
from tests.simulation.drawing import TIMES, draw_trouble
from tests.simulation.endpoint import Endpoint, answer_to
from tests.simulation.model import Records, text_of
from tests.simulation.stage import Session
from tests.simulation.weather import Weather
from tests.simulation.world import EPOCH, BrokenPromiseError, CrashedError, World, require
from tests.simulation_batches.provider import Climate, SimControl, SimProvider, key_of

# No batch takes longer than 20 s here, and no job waits longer than twice a window of 24 hours.
STALL_S = 3 * 86_400.0


class LiveEndpoint(Endpoint):
    """The live side of the provider: what a batch has, or has answered, may not come here as well."""

    provider: SimProvider

    async def send(self, target: Target, body: bytes) -> Response:
        if target.method == "POST" and not self._world.dead:
            document = orjson.loads(body)
            key = key_of(document)
            witness = next(iter(self.witnesses.values()), None)
            # An answered request, of whichever model, may come again to test an endpoint that refused another.
            tests = witness is not None and bool(witness.refused)
            try:
                require(tests or not self.provider.has(key), "14", f"{key} is sent live, and a batch has it")
            except BrokenPromiseError as error:
                self._world.accuse(error)
        return await super().send(target, body)


class BatchSession(Session):
    """One process of a run by batches."""

    def __init__(self, world: World, disk: SimDisk, live: LiveEndpoint, **options: Any) -> None:
        super().__init__(world, disk, live, segment_bytes=1 << 28, stall_s=STALL_S, grace_s=2 * 30.0, **options)
        self._provider = live.provider

    @contextmanager
    def _staged(self) -> Iterator[None]:
        chance = random.Random(self._world.chance.random())
        control = SimControl(self._provider)
        with super()._staged(), ExitStack() as stack:
            for target, name, value in (
                (executor, "ControlClient", lambda *_: control),
                (watching, "wall_now", lambda: EPOCH + self._world.time()),
                (endpoint, "random", SimpleNamespace(random=chance.random)),
                (submissions, "secrets", SimpleNamespace(token_hex=lambda size: f"{chance.getrandbits(8 * size):0{2 * size}x}")),
                (batch_places, "FileLedger", partial(FileLedger, disk=self._disk)),
            ):
                stack.enter_context(patch.object(target, name, value))
            yield


class BatchHistory:
    """One run directory in `folder`, and what befalls it. Every method raises BrokenPromiseError when a promise does not hold."""

    def __init__(self, seed: int, folder: Path, trace: Callable[[str], None] | None = None) -> None:
        self.chance = chance = random.Random(seed)
        self.world = World(random.Random(chance.random()), trace)
        self.disk = SimDisk(self.world)
        self.folder = folder / "run"
        self._input = folder / "in.jsonl"
        self._models = ("alpha", "beta")[: chance.choice((1, 1, 2))]
        self._max_requests = chance.choice((2, 3, 5, 100))
        self._durability = chance.choice(("group", "row"))
        self._poison: dict[str, str] = {}
        self._rows = 0
        self.lived: Counter[str] = Counter()
        self.provider = SimProvider(self.world, self._poison)
        self._append(chance.choice((3, 8, 15, 30)))

    def play(self) -> None:
        """Live through a whole history."""
        chance = self.chance
        for _ in range(chance.choice((1, 2, 3, 5, 8))):
            if chance.random() < 0.2:
                self._append(chance.randint(1, 3))
            self.provider.climate = Climate.drawn(chance)
            crash_at = chance.randint(1, 20 + 8 * self._rows) if chance.random() < 0.7 else None
            signals = [chance.random() * 10, chance.random() * 3] if chance.random() < 0.2 else []
            trouble = draw_trouble(chance, self._rows) if chance.random() < 0.3 else Trouble()
            options = RunOptions(batch=BatchOptions(detach=chance.random() < 0.15, cancel=chance.random() < 0.1))
            self.session(options, self._drawn_rest(), trouble, crash_at, signals)
        self.finish()

    def finish(self) -> None:
        """The same command once more, in fair weather: everything comes to its right end, and nothing is left at the provider."""
        self.provider.climate = Climate()
        report = self.session(RunOptions(), BatchSettings(poll_s=1.0, max_requests=self._max_requests, rest="live"), Trouble(), None, [])
        require(report is not None and report.cause is None, "9", f"the last session did not end well: {report and report.reason}")
        job = self._job(BatchSettings())
        found = verify(stored_run(RunDirectory(self.folder), job))
        require(found.sound and found.complete, "11", f"verify says: {found}")
        newest = Records(job, self.folder, may_be_torn=False).newest()
        require(len(newest) == self._rows * len(self._models), "1", f"{len(newest)} of {self._rows} rows have an outcome")
        for (variant, name, _), outcome in newest.items():
            poisoned = f"q{name[1:]}" in self._poison
            require(outcome.ok != poisoned, "5", f"{variant} {name} is {'ok' if outcome.ok else outcome.error}")
        for batch in self.provider.batches.values():
            require(batch.status not in ("in_progress", "cancelling"), "14", f"{batch.id} is still open")
        require(not self.provider.unused_uploads, "14", f"uploads are left behind: {self.provider.unused_uploads}")

    def session(
        self, options: RunOptions, settings: BatchSettings, trouble: Trouble, crash_at: int | None, signals: list[float]
    ) -> RunReport | None:
        """One process, and what must hold after it. Returns its report, None when it crashed or its disk refused."""
        world, disk = self.world, self.disk
        job = self._job(settings)
        crash = self.chance.choice(("kill", "power"))
        world.log(f"SESSION {options.batch} {settings} {trouble} crash_at={crash_at} {crash} {self.provider.climate}")
        world.begin(crash_at, crash)
        disk.trouble = trouble
        unfinished = Counter(f"{model}|q{number}|0.0" for model in self._models for number in range(1, self._rows + 1))
        live = LiveEndpoint(world, Weather(slowness=0.1), job.run, self._poison, unfinished)
        live.provider = self.provider
        session = BatchSession(world, disk, live, signals=signals)
        report: RunReport | None = None
        try:
            report = session.go(LoadedJob(job, {}, "simulated"), options)
            world.log(f"END cause={report.cause} reason={report.reason} exit={report.exit_code}")
        except CrashedError:
            if crash == "power":
                disk.power_loss()
        except StorageError as error:
            require(trouble.counts and trouble.comes, "2", f"the disk refused nothing: {error}")
        self.lived["sessions"] += 1
        self.lived["crashes"] += world.dead
        if world.broken is not None:
            raise world.broken
        self._check(job, live, may_be_torn=world.dead or trouble.comes)
        return report

    def _check(self, job: Job, live: LiveEndpoint, *, may_be_torn: bool) -> None:
        """Promises 3, 4, 5: whole records, one of each task, true ones."""
        seen: Counter[tuple[str, str]] = Counter()
        for variant, outcome in Records(job, self.folder, may_be_torn=may_be_torn).since({}):
            seen[variant, outcome.id] += 1
            require(seen[variant, outcome.id] == 1, "4", f"{variant} {outcome.id} was recorded twice")
            if outcome.ok:
                right = answer_to(variant, f"q{outcome.id[1:]}", 0.0)
                require(text_of(outcome) == right, "5", f"{outcome.id} is ok with {text_of(outcome)!r} instead of {right!r}")
                # What only the live endpoint has answered, and is on disk, no batch may have any more.
                key = f"{variant}|q{outcome.id[1:]}|0.0"
                if any(witness.answered[key] for witness in live.witnesses.values()):
                    self.provider.live_answers.add(key)

    def _drawn_rest(self) -> BatchSettings:
        chance = self.chance
        return BatchSettings(
            poll_s=1.0,
            max_requests=self._max_requests,
            rest=chance.choice(("live", "batch", "leave")),
            max_wait_s=chance.choice((None, None, 5.0)),
            keep_files=chance.random() < 0.3,
        )

    def _job(self, settings: BatchSettings) -> Job:
        house = ProviderSettings(name="sim0", base_url="http://sim0/v1", batch=BatchApi())
        variants = tuple(
            Variant(
                name=model,
                slug=model,
                provider=house,
                model=model,
                parameters={"temperature": 0.0},
                prompt=PromptSettings(user="{{ text }}"),
            )
            for model in self._models
        )
        return Job(
            name="simulated",
            input=InputSettings(paths=(str(self._input),), id="id"),
            variants=variants,
            run=RunSettings(engine="batch-api", concurrency=4, attempts=20, durability=self._durability, preflight=False, **TIMES),
            output=OutputSettings(dir=str(self.folder), columns=("text",)),
            batch=settings,
        )

    def _append(self, count: int) -> None:
        chance = self.chance
        for number in range(self._rows + 1, self._rows + count + 1):
            if number > 1 and chance.random() < 0.1:
                self._poison[f"q{number}"] = chance.choice(("400", "413"))
        self._rows += count
        rows = [{"id": f"r{number}", "text": f"q{number}"} for number in range(1, self._rows + 1)]
        self._input.write_text("".join(json.dumps(row) + "\n" for row in rows))
        os.utime(self._input, ns=(self._rows * 10**9, self._rows * 10**9))


def play(seed: int, folder: Path, trace: Callable[[str], None] | None = None) -> Counter[str]:
    """The history of `seed`, in a folder that is removed afterwards. Returns how much of what was lived through."""
    place = folder / f"batches-{seed}-{os.getpid()}"
    place.mkdir()
    try:
        history = BatchHistory(seed, place, trace)
        history.play()
        history.lived["batches"] = len(history.provider.batches)
        return history.lived
    finally:
        shutil.rmtree(place)
