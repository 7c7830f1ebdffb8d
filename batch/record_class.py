"""The decorator of the records that are made for each row: dataclasses that the type checker holds frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

__all__ = ["record_class"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record_class
else:

    def record_class(*, frozen: bool, slots: bool) -> Any:
        """Make a dataclass with a hash by value; `frozen` is for the type checker alone."""
        # A frozen dataclass calls object.__setattr__ for each field: making one takes three to five times as long, and there are ten a row.
        return dataclass(slots=slots, unsafe_hash=frozen)
