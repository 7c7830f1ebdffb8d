"""A history: sessions over one run directory, with crashes, signals, disk troubles and edits between them, all drawn from a seed."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from batch.app.runner import RunOptions, RunReport
from batch.app.stored import stored_run
from batch.errors import ChangedError, StorageError
from batch.job import LoadedJob
from batch.results.verify import verify
from batch.rundir.local import RunDirectory
from batch.settings import InputSettings, Job, OutputSettings, PromptSettings, ProviderSettings, RunSettings, Variant
from tests.simulation import checks
from tests.simulation.checks import Before
from tests.simulation.disk import SimDisk, Trouble
from tests.simulation.drawing import STALL_S, TIMES, draw_settings, draw_trouble
from tests.simulation.endpoint import NAMELESS, Endpoint
from tests.simulation.model import Records, read_outputs
from tests.simulation.stage import Session
from tests.simulation.weather import OWN, ROW, Weather, draw_weather
from tests.simulation.world import Crash, CrashedError, World, require

# Rows with these cannot be told from an endpoint that serves nothing.
UNTOLD = NAMELESS.union(OWN)
EDITS = ("append", "insert", "change", "delete", "junk", "temperature")


class History:
    """One run directory in `folder` and what befalls it. Every method raises BrokenPromiseError when a promise does not hold."""

    def __init__(
        self, seed: int, folder: Path, trace: Callable[[str], None] | None = None, weather: str | None = None, rows: int | None = None
    ) -> None:
        self.chance = chance = random.Random(seed)
        self.world = World(random.Random(chance.random()), trace)
        self.disk = SimDisk(self.world)
        self.folder = folder / "run"
        self._weather = weather
        self._input = folder / "in.jsonl"
        self._rows: list[dict[str, Any] | str] = []
        self._numbers = 0
        self._edits = 0
        self._by_id = chance.random() < 0.6
        self._temperature = 0.0
        self._models = ("alpha", "beta")[: chance.choice((1, 1, 2))]
        self._hosts = chance.choice((1, 1, 2))
        self._repeats = chance.choice((1, 1, 1, 2))
        # From a chance of its own: the rest of a history is the same with parts and without.
        self._rows_per_part = random.Random(f"parts of {seed}").choice((None, None, 1, 2, 3, 7))
        self._segment_bytes = chance.choice((700, 2500, 1 << 28))
        self._durability = chance.choice(("group", "group", "row", "os"))
        self._poison: dict[str, str] = {}
        self._own_faults = chance.random() < 0.3
        self._floor: dict[str, int] = {}
        self.lived: Counter[str] = Counter()
        self._accepted: checks.Accepted = set()
        # By a chance of its own, so that all else in the history of a seed stays as it is.
        self._hedge_after = random.Random(f"hedging {seed}").choice((None, None, 1.0, "p50"))
        for _ in range(rows or chance.choice((1, 3, 8, 15, 25, 40))):
            self._rows.append(self._new_row())
        self._write()

    def play(self) -> None:
        """Live through a whole history, whose last session has fair weather and comes to the right end."""
        chance = self.chance
        for _ in range(chance.choice((1, 2, 2, 3, 4))):
            if chance.random() < 0.4:
                self.edit(chance.choice(EDITS))
            self.session()
        self.finish()

    def edit(self, kind: str) -> None:
        """Change the input, or the job's temperature."""
        chance, rows = self.chance, self._rows
        self.world.log(f"EDIT {kind}")
        if kind == "append" or not rows:
            rows += [self._new_row() for _ in range(chance.randint(1, 4))]
        elif kind == "insert":
            rows.insert(chance.randrange(len(rows) + 1), self._new_row())
        elif kind == "change":
            position = chance.randrange(len(rows))
            row = self._new_row()
            old = rows[position]
            rows[position] = row if isinstance(old, str) else {**row, "id": old["id"]}
        elif kind == "delete" and len(rows) > 1:
            del rows[chance.randrange(len(rows))]
        elif kind == "junk":
            rows.insert(len(rows), chance.choice(('{"id": 7', "[1, 2]")))
        elif kind == "temperature":
            self._temperature = chance.choice((0.0, 0.3, 0.7))
        self._write()

    def session(self) -> None:
        """One process, in drawn weather, with a drawn end."""
        chance, world = self.chance, self.world
        tasks = len(self._rows) * len(self._models) * self._repeats
        crash_at = chance.randint(1, 15 + 5 * tasks) if chance.random() < 0.5 else None
        signals = [chance.random() * 4, *([chance.random() * 3] if chance.random() < 0.5 else [])] if chance.random() < 0.25 else []
        options = RunOptions(retry_failed=chance.random() < 0.25, changed=chance.choice(("refuse", "refuse", "rerun", "keep")))
        weather, trouble = draw_weather(chance, world.now, self._weather), draw_trouble(chance, tasks)
        self.run(options, weather, trouble, crash_at, chance.choice(("kill", "power")), signals)

    def finish(self) -> None:
        """The same command once more, in fair weather: everything must come to its right end, and verify must agree."""
        if any(fault in UNTOLD for fault in self._poison.values()):
            # Something that may be served: else those rows cannot be told from an endpoint that fails.
            self._numbers += 1
            self._rows.append({"id": f"r{self._numbers}", "text": f"q{self._numbers}"})
            self._write()
        report = self.run(RunOptions(changed="rerun"), Weather(slowness=0.02), Trouble(), None, "kill", [])
        require(report is not None and report.cause is None, "9", f"the last session did not end well: {report and report.reason}")
        job = self.job(draw_settings(self.chance, self._repeats, self._durability))
        found = verify(stored_run(RunDirectory(self.folder), job))
        require(found.sound and found.complete, "11", f"verify says: {found}")

    def run(
        self, options: RunOptions, weather: Weather, trouble: Trouble, crash_at: int | None, crash: Crash, signals: list[float]
    ) -> RunReport | None:
        """One process, and what must hold after it. Returns its report, None when it crashed or refused."""
        world, disk = self.world, self.disk
        settings = replace(draw_settings(self.chance, self._repeats, self._durability), hedge_after=self._hedge_after)
        job = self.job(settings)
        before = Before(job, options, Records(job, self.folder, may_be_torn=True), self._accepted, read_outputs(self.folder))
        world.log(f"SESSION {options} {weather} {trouble} crash_at={crash_at} {crash} signals={signals} {settings}")
        world.begin(crash_at, crash)
        disk.trouble = trouble
        tasks = [task for task in before.tasks if task.prompt is not None]
        unfinished = Counter(checks.key_of(task) for task in tasks if before.is_open(task))
        endpoint = Endpoint(world, weather, settings, self._poison, unfinished)
        session = Session(
            world, disk, endpoint, segment_bytes=self._segment_bytes, signals=signals, stall_s=STALL_S, grace_s=TIMES["grace_s"]
        )
        report: RunReport | None = None
        crashed = refused = False
        try:
            report = session.go(LoadedJob(job, {}, "simulated"), options)
        except CrashedError:
            crashed = True
        except ChangedError as error:
            world.log(f"refused: {error}")
            refused = True
        except StorageError as error:
            world.log(f"storage: {error}")
            require(trouble.counts and trouble.comes, "2", f"the disk refused nothing: {error}")
        if world.broken is not None:
            raise world.broken
        written = Records(job, self.folder, may_be_torn=True)
        if crashed and crash == "power":
            disk.power_loss()
        self._count(endpoint, crash if crashed else None, trouble)
        checks.outputs_are_right(before, written, self.folder, written=report is not None and report.cause in (None, "refused"))
        may_lose = bool(signals) or trouble.comes
        self._settle(before, endpoint, session, report, crashed=crashed, refused=refused, may_lose=may_lose)
        if report is not None:
            faults = bool(weather.faults or weather.outages or trouble.comes) or not self._may_be_served(before)
            after = Records(job, self.folder, may_be_torn=True, with_unended=False)
            checks.report_is_right(before, after, before.records.counts(), report, signals=bool(signals), faults=faults)
            world.log(f"END cause={report.cause} reason={report.reason} exit={report.exit_code}")
        return report

    def _count(self, endpoint: Endpoint, crash: Crash | None, trouble: Trouble) -> None:
        """What was lived through, for the summary."""
        self.lived["sessions"] += 1
        self.lived["kills"] += crash == "kill"
        self.lived["second requests"] += sum(tally.hedges for tally in self.world.tallies.values())
        self.lived["losses of power"] += crash == "power"
        self.lived["disk faults"] += trouble.comes
        for witness in endpoint.witnesses.values():
            self.lived["requests"] += witness.requests
            self.lived["answers"] += witness.answered.total()

    def _settle(
        self,
        before: Before,
        endpoint: Endpoint,
        session: Session,
        report: RunReport | None,
        *,
        crashed: bool,
        refused: bool,
        may_lose: bool,
    ) -> None:
        world, job = self.world, before.job
        after = Records(job, self.folder, may_be_torn=crashed or may_lose)
        if self._durability != "os":
            checks.parts_are_recorded(after, self.folder)
        found = before.records.counts()
        words = world.last_words
        # A thread may crash while the event loop says that the run has started: what counts is what was said before.
        started = session.watcher.has_started if words is None else bool(words.durable)
        durable = {name: self._floor.get(name, 0) for name in found}
        if started and self._durability != "os":
            reported = words.durable if words is not None else {name: tally.durable for name, tally in world.tallies.items()}
            durable = {name: found[name] + reported[name] for name in found}
        if words is None or words.crash == "kill":
            reported = words.reported if words is not None else {name: tally.ok + tally.failed for name, tally in world.tallies.items()}
            checks.survived(before, after, {name: found[name] + reported.get(name, 0) for name in found})
        checks.survived(before, after, durable)
        kept = {name: min(count, len(after.lines[name])) for name, count in found.items()}
        checks.records_are_right(before, after, kept, endpoint)
        checks.nothing_final_was_sent(before, endpoint)
        checks.no_row_pays_for_its_endpoint(before, after, kept, endpoint)
        if refused:
            require(not endpoint.witnesses, "9", "something was sent although the job was refused")
            require(before.differing(), "9", "a job was refused whose answers are all of its own requests")
            require(after.lines == before.records.lines, "9", "a refused job changed the journal")
        # What was in flight when the disk failed is lost, whatever ends the process after that.
        lost = job.run.most_in_flight * len(job.variants) if may_lose else 0
        if words is not None:
            lost += checks.allowed_to_lose(words, self._durability)
        # Of two requests for a row both may be answered, and one counts.
        lost += sum(tally.hedges for tally in world.tallies.values())
        if started:
            checks.cost_is_honest(before, after, kept, endpoint, lost)
            checks.changes_were_heeded(before, after, report)
        if before.options.changed == "keep" and not refused:
            self._accepted = self._accepted | before.differing()
        if report is not None and report.cause != "storage" and self._durability != "os":
            require(not self.disk.unsynced, "2", f"the run ended with {self.disk.unsynced} bytes not synced")
        self._floor = after.counts() if words is not None and words.crash == "power" else durable

    def job(self, settings: RunSettings) -> Job:
        """The job as it is now."""
        variants = tuple(
            Variant(
                name=model,
                slug=model,
                provider=ProviderSettings(name=f"sim{number % self._hosts}", base_url=f"http://sim{number % self._hosts}/v1"),
                model=model,
                parameters={"temperature": self._temperature},
                prompt=PromptSettings(user="{{ text }}"),
            )
            for number, model in enumerate(self._models)
        )
        return Job(
            name="simulated",
            input=InputSettings(paths=(str(self._input),), id="id" if self._by_id else None),
            variants=variants,
            run=settings,
            output=OutputSettings(dir=str(self.folder), columns=("text",), rows_per_part=self._rows_per_part),
        )

    def _may_be_served(self, before: Before) -> bool:
        """Whether each model has answered, or has a row without a fault of its own: else nothing tells rows from endpoint."""
        open_texts = {(task.name[0], task.prompt) for task in before.tasks if task.prompt and before.is_open(task)}
        served = {task.name[0] for task in before.tasks if (done := before.newest.get(task.name)) and done.ok and done.key == task.key}
        served |= {variant for variant, text in open_texts if self._poison.get(text) not in UNTOLD}
        return served >= {variant for variant, _ in open_texts}

    def _new_row(self) -> dict[str, Any]:
        self._numbers += 1
        text = f"q{self._numbers}"
        row = {"id": f"r{self._numbers}", "text": text}
        luck = self.chance.random()
        if luck < 0.06:
            self._poison[text] = self.chance.choice(ROW)
        elif luck < 0.1 and (self._numbers > 1 or self._own_faults):
            # Not the first row alone: where nothing was ever answered, rows that always fail cannot be told from an endpoint that does.
            self._poison[text] = self.chance.choice(OWN)
        elif luck < 0.12:
            del row["text"]
        return row

    def _write(self) -> None:
        self._edits += 1
        self._input.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in self._rows))
        os.utime(self._input, ns=(self._edits * 10**9, self._edits * 10**9))


def play(
    seed: int, folder: Path, trace: Callable[[str], None] | None = None, weather: str | None = None, rows: int | None = None
) -> Counter[str]:
    """The history of `seed`, in a folder that is removed afterwards; `weather` is that of all sessions, `rows` are in the first input.

    Returns how much of what was lived through.
    """
    place = folder / f"history-{seed}-{os.getpid()}"
    place.mkdir()
    try:
        history = History(seed, place, trace, weather, rows)
        history.play()
        return history.lived
    finally:
        shutil.rmtree(place)
