"""The options of a run, and the report of how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from batch.app.run_log import LogLevel
from batch.engine.feed import ChangedPolicy
from batch.executors.batch_options import BatchOptions
from batch.tally import Tally


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run beside its job.

    `engine` is a key of EXECUTORS, None: the job's own. `ray_address` is the cluster for Ray, `batch` is for Batch APIs.
    With `retry_failed`, `retry_codes` are the codes of the failures to send again (none: all). `variants` are patterns of the models'
    names to send (none: all).
    `rows` are given by a Python program in place of the job's [input] path. `kept_rows`: rows that were
    made and kept are taken as they are.
    """

    retry_failed: bool = False
    fresh: bool = False
    changed: ChangedPolicy = "refuse"
    engine: str | None = None
    ray_address: str | None = None
    batch: BatchOptions = field(default_factory=BatchOptions)
    retry_codes: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    log_level: LogLevel = "info"
    rows: Any = None
    kept_rows: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """What all sessions of a run have together: failed rows by code, US dollars spent, and requests given up in flight at stops."""

    failures: Mapping[str, int]
    spent_usd: float
    abandoned: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended. `reason` is None when all rows have their outcome; `outputs` are the files that were written.

    What is on an object store is named by its address, as text. `raced` maps the variants that the race stopped before their last row to
    the variant that beat each. `unrecorded_usd` was spent, or may have been, on tasks without an outcome. `bug_report` is the file
    that describes unexpected exceptions. `whole` is of all sessions, where there were earlier ones; `max_cost_usd` is the budget,
    `least_usd` the least with which one more request could be sent, where it is spent.
    `upstream` are the reports of the jobs whose answers are its rows, and of those before them.
    """

    directory: Path | str
    tallies: dict[str, Tally]
    reason: str | None
    cause: Literal["interrupted", "refused", "storage", "input", "budget", "waiting", "cancelled"] | None
    outputs: tuple[Path | str, ...]
    elapsed_s: float
    raced: Mapping[str, str] = field(default_factory=dict)
    unrecorded_usd: float = 0.0
    bug_report: Path | str | None = None
    whole: Whole | None = None
    max_cost_usd: float | None = None
    least_usd: float | None = None
    upstream: tuple[RunReport, ...] = ()

    @property
    def interrupted(self) -> bool:
        """Whether it was interrupted."""
        return self.cause == "interrupted"

    @property
    def refused(self) -> bool:
        """Whether an endpoint, the input or the disk stopped it."""
        return self.cause in {"refused", "storage", "input"}

    @property
    def exit_code(self) -> int:
        """Return the exit code: 0 all done, 1 some failed, 4 budget spent, 5 stopped early, 130 interrupted."""
        if self.cause is not None:
            return {"interrupted": 130, "budget": 4}.get(self.cause, 5)
        failed = any(tally.failed + tally.kept_failed > tally.accepted for tally in self.tallies.values())
        return 1 if failed or any(report.exit_code for report in self.upstream) else 0
