"""What a command asks of the Batch API executor beside the job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """`detach` ends after submission; `cancel` cancels what is open, and collects it.

    `decided` are batches whose creation could not be confirmed, by number: the id of the batch, or None where there is none.
    """

    detach: bool = False
    cancel: bool = False
    decided: Mapping[int, str | None] = field(default_factory=dict)
