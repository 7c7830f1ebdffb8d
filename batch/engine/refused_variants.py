"""Keeps the variants that are stopped alone: their model is at fault, and the endpoint may serve the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from batch.engine.stop import Stop
from batch.events import VariantStopped


class RefusedVariants:
    """The stopped variants of one endpoint or pool, and why; `variants` are all that are sent there."""

    def __init__(self, variants: Iterable[str]) -> None:
        self._variants = tuple(variants)
        self._stops: dict[str, Stop] = {}

    def __contains__(self, variant: object) -> bool:
        return variant in self._stops

    @property
    def stops(self) -> Mapping[str, Stop]:
        """Why each of them was stopped."""
        return self._stops

    @property
    def first(self) -> Stop | None:
        """Why the first of them was stopped; None if none was."""
        return next(iter(self._stops.values()), None)

    def refuse(self, names: Collection[str], stop: Stop) -> list[str] | None:
        """Return those of `names` that are to be stopped now; None if no variant would be left, so that the whole pool is to be stopped."""
        new = [name for name in names if name in self._variants and name not in self._stops]
        if not any(name not in self._stops and name not in new for name in self._variants):
            return None
        self._stops |= dict.fromkeys(new, stop)
        return new


def stopped_alone(variant: str, stop: Stop) -> VariantStopped:
    """Return the event that reports a variant as stopped, with the sentence for the user."""
    return VariantStopped(f"{variant} is not sent any more, the other models are: {stop.reason}", variant, stop.reason)
