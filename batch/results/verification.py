"""Findings of a verification: counts per variant, damage, and outputs that differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class VariantCheck:
    """One variant's tasks: rows in = ok + failed + missing.

    `missing` counts tasks not attempted, `doubled` rows that share a task with an earlier row (a duplicate id), `superseded` records
    replaced by newer ones, `orphaned` tasks with an outcome that are no longer in the input. The last two are no faults.
    """

    name: str
    tasks: int = 0
    ok: int = 0
    failed: int = 0
    missing: int = 0
    doubled: int = 0
    superseded: int = 0
    orphaned: int = 0


@dataclass(frozen=True, slots=True)
class Verification:
    """The findings. `damage` names file and offset; `outputs` names each derived file that differs, and its first differing line."""

    variants: tuple[VariantCheck, ...]
    damage: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether journals and outputs are consistent; rows not yet run are no fault."""
        return not self.damage and not self.outputs and not any(check.doubled for check in self.variants)

    @property
    def complete(self) -> bool:
        """Whether every task has its outcome."""
        return not any(check.missing for check in self.variants)
