"""What a run may be asked, and how it says that it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from batch.engine.feed import ChangedPolicy
from batch.records import Tally


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line may ask of a run beside its job: also who sends, and for Ray where (batch.executors.workers.ray_session)."""

    retry_failed: bool = False
    fresh: bool = False
    changed: ChangedPolicy = "refuse"
    engine: Literal["live", "ray"] = "live"
    ray_address: str | None = None


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended. `reason` is None when all rows have their outcome; `outputs` are the files that were written.

    What is on an object store is named by its address, as text. `raced` are the variants that the race stopped before their last row, with
    who beat each.
    """

    directory: Path | str
    tallies: dict[str, Tally]
    reason: str | None
    cause: Literal["interrupted", "refused", "storage", "input", "budget"] | None
    outputs: tuple[Path | str, ...]
    elapsed_s: float
    raced: Mapping[str, str] = field(default_factory=dict)

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped it."""
        return self.cause == "interrupted"

    @property
    def refused(self) -> bool:
        """Whether an endpoint, the input or the disk stopped it."""
        return self.cause in {"refused", "storage", "input"}

    @property
    def exit_code(self) -> int:
        """Return the exit code: 0 all done, 1 some failed, 4 the budget is spent, 5 stopped early, 130 interrupted."""
        if self.cause is not None:
            return {"interrupted": 130, "budget": 4}.get(self.cause, 5)
        return 1 if any(tally.failed + tally.kept_failed for tally in self.tallies.values()) else 0
