"""Count the outcomes of a run, from its journals alone; safe while the run is active."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batch.errors import DamagedError
from batch.journal.index import ResumeIndex
from batch.journal.ledger import OpenBatch, open_batches
from batch.journal.reading import RecordReader
from batch.providers.endings import is_unknown_ending
from batch.providers.usage import token_count
from batch.records import Outcome
from batch.results.live import LiveRun, read_account, read_live_run
from batch.rundir.command_log import CommandRecord, read_commands
from batch.rundir.local import RunDirectory
from batch.rundir.running import is_running
from batch.tally import Tally

# A longer gap between outcomes is a pause between two sessions, and does not count for the rate.
_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Failures:
    """The failed tasks of one kind and code; the first in input order is the example."""

    kind: str
    code: str
    count: int
    message: str
    id: str
    row: int


@dataclass(frozen=True, slots=True)
class VariantStatus:
    """The counts of one variant. Times are seconds since the epoch; `active_s` excludes the pauses between sessions.

    `total` is rows × repeats, None when run.json lacks it. `records` counts the journal's lines; those beyond ok + failed were
    replaced by newer ones. `doubled` counts repeated attempts that may be billed twice. `priced` counts outcomes with a cost,
    `copies` those taken from equal requests. `extra_usd` is the upper bound of the cost of attempts whose cost is unknown.
    `failures` has the most frequent first. `orphaned` counts outcomes of rows that the last session did not find in the input,
    `orphaned_failed` the failures among them; ok and failed exclude them, the other counts include them. `beaten_by` names the
    variant for which the race stopped this one.
    """

    name: str
    slug: str
    total: int | None
    ok: int = 0
    failed: int = 0
    orphaned: int = 0
    orphaned_failed: int = 0
    records: int = 0
    damaged: int = 0
    truncated: int = 0
    filtered: int = 0
    unknown_endings: int = 0
    attempts: int = 0
    doubled: int = 0
    copies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    extra_usd: float = 0.0
    priced: int = 0
    first: float | None = None
    last: float | None = None
    active_s: float = 0.0
    failures: tuple[Failures, ...] = ()
    beaten_by: str | None = None

    @property
    def not_attempted(self) -> int | None:
        """Tasks without an outcome; None while the total is unknown."""
        return None if self.total is None else max(0, self.total - self.ok - self.failed)

    @property
    def rate(self) -> float | None:
        """Outcomes per second of active time."""
        return (self.ok + self.failed + self.orphaned) / self.active_s if self.active_s > 0 else None


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """The last session of a run: when it `began` and what it had counted `as_of` (both in UTC, ISO 8601), whether it `ended`, and why.

    `began` is None where its log was rotated since.
    """

    began: str | None
    as_of: str
    ended: bool
    reason: str | None
    counts: Tally


@dataclass(frozen=True, slots=True)
class Status:
    """The present state of a run.

    `commands` are what users gave to the running process (promptmill ctl), oldest first.
    `unrecorded_usd` was spent, or may have been, on tasks without an outcome; `abandoned` requests were given up in flight at stops.
    `origin` describes the answers that its rows were made of (InputRecord), `upstream` is the state of their run where it can be read.
    `running`: a runner is at work, and `live` is its present state. `account` has the seconds of all sessions by what limited them.
    `batches` are open at providers, and not collected. `session` is the last session, where there were earlier ones and its log is there.
    """

    directory: Path | str
    name: str
    variants: tuple[VariantStatus, ...]
    unrecorded_usd: float = 0.0
    abandoned: int = 0
    running: bool = False
    live: LiveRun | None = None
    account: Mapping[str, float] = field(default_factory=dict)
    commands: tuple[CommandRecord, ...] = ()
    origin: Mapping[str, Any] | None = None
    upstream: Status | None = None
    batches: tuple[OpenBatch, ...] = ()
    session: SessionStatus | None = None


def read_status(directory: RunDirectory) -> Status:
    """Count the outcomes in the journals. A torn tail is ignored; damaged records are counted separately.

    Raises:
        RunDirectoryError: the directory has no run.
        DamagedError: a file of a journal is missing.
    """
    manifest = directory.manifest
    names = {record.slug: name for name, record in manifest.variants.items()}
    slugs = [*names, *(slug for slug in directory.slugs() if slug not in names)]
    variants = tuple(
        _variant(directory, slug, names.get(slug, slug), manifest.total, *manifest.orphaned.get(names.get(slug, slug), (0, 0)))
        for slug in slugs
    )
    beaten = manifest.race.beaten_by if manifest.race is not None else {}
    variants = tuple(replace(variant, beaten_by=beaten.get(variant.name)) for variant in variants)
    name = manifest.name or directory.path.name
    origin = None if manifest.input is None or "run" not in (manifest.input.origin or {}) else manifest.input.origin
    return Status(
        directory.place,
        name,
        variants,
        manifest.unrecorded_usd or 0.0,
        manifest.abandoned or 0,
        is_running(directory),
        read_live_run(directory),
        read_account(directory),
        tuple(read_commands(directory)),
        origin,
        batches=open_batches(directory.ledger_events()),
    )


def _variant(directory: RunDirectory, slug: str, name: str, total: int | None, orphaned_ok: int, orphaned_failed: int) -> VariantStatus:
    damage: list[DamagedError] = []
    index = ResumeIndex.load(directory.journal_dir(slug), damage.append)
    counts = _Counts()
    with RecordReader(index.segments) as reader:
        for locations in index.locations():
            for outcome in reader.read(locations):
                if outcome is not None:
                    counts.add(outcome)
    status = VariantStatus(
        name,
        slug,
        total,
        ok=index.ok - orphaned_ok,
        failed=index.failed - orphaned_failed,
        orphaned=orphaned_ok + orphaned_failed,
        orphaned_failed=orphaned_failed,
        records=index.records,
        damaged=len(damage),
    )
    failures = counts.failures() if status.failed else ()
    return replace(status, **counts.sums, first=counts.first, last=counts.last, active_s=counts.active_s, failures=failures)


_SUMS = (
    "truncated",
    "filtered",
    "unknown_endings",
    "attempts",
    "doubled",
    "copies",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "extra_usd",
    "priced",
)


class _Counts:
    def __init__(self) -> None:
        self.sums: dict[str, Any] = dict.fromkeys(_SUMS, 0)
        self.first: float | None = None
        self.last: float | None = None
        self.active_s = 0.0
        self._done: float | None = None
        self._failures: dict[tuple[str, str], Failures] = {}

    def add(self, outcome: Outcome) -> None:
        sums = self.sums
        sums["attempts"] += outcome.attempts
        sums["doubled"] += outcome.doubled
        sums["copies"] += outcome.copy_of is not None
        sums["truncated"] += outcome.ok and outcome.finish_reason == "length"
        sums["filtered"] += outcome.ok and outcome.finish_reason == "content_filter"
        sums["unknown_endings"] += outcome.ok and is_unknown_ending(outcome.finish_reason, outcome.api)
        usage = outcome.usage or {}
        sums["prompt_tokens"] += token_count(usage.get("prompt_tokens")) or 0
        sums["completion_tokens"] += token_count(usage.get("completion_tokens")) or 0
        sums["extra_usd"] += outcome.extra_usd
        if outcome.cost_usd is not None:
            sums["cost_usd"] += outcome.cost_usd
            sums["priced"] += 1
        if outcome.error is not None:
            key = (outcome.error.kind.value, outcome.error.code)
            seen = self._failures.get(key)
            count = 1 if seen is None else seen.count + 1
            if seen is None or outcome.ordinal < seen.row:
                seen = Failures(*key, count, outcome.error.message, outcome.id, outcome.ordinal)
            self._failures[key] = replace(seen, count=count)
        self._time(outcome)

    def failures(self) -> tuple[Failures, ...]:
        return tuple(sorted(self._failures.values(), key=lambda failures: -failures.count))

    def _time(self, outcome: Outcome) -> None:
        """Add the gap since the previous outcome: outcomes come in the order they were written."""
        if outcome.sent is None or outcome.done is None:
            return
        self.first = outcome.sent if self.first is None else min(self.first, outcome.sent)
        self.last = outcome.done if self.last is None else max(self.last, outcome.done)
        since = self._done
        gap = outcome.done - (outcome.sent if since is None else since)
        # After a pause the session began no later than this outcome was sent.
        if gap > _PAUSE_S:
            gap = min(gap, outcome.done - outcome.sent)
        self.active_s += max(0.0, gap)
        self._done = outcome.done if since is None else max(since, outcome.done)
