"""The reason why a run ends early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Stop:
    """The reason why a run ends before all rows have an outcome; `reason` is a sentence to show.

    `least_usd` is the least budget in US dollars with which one more request could be sent, where the budget is the cause.
    """

    cause: Literal["interrupted", "refused", "storage", "input", "budget", "waiting", "cancelled"]
    reason: str
    least_usd: float | None = None
