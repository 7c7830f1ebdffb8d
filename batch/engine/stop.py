"""Why a run ends early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ends before all rows have their outcome; `reason` is a sentence for people."""

    cause: Literal["interrupted", "refused", "storage", "input", "budget"]
    reason: str
