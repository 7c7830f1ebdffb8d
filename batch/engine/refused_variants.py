"""Keeps the variants that are stopped alone: their model is at fault, and the endpoint may serve the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from batch.engine.stop import Stop


class RefusedVariants:
    """The stopped variants of one pool, and why; `variants` are all that the pool sends."""

    def __init__(self, variants: Iterable[str]) -> None:
        self._variants = tuple(variants)
        self._stops: dict[str, Stop] = {}

    @property
    def first(self) -> Stop | None:
        """Why the first of them was stopped; None if none was."""
        return next(iter(self._stops.values()), None)

    def refuse(self, names: Collection[str], stop: Stop) -> list[str] | None:
        """Return those of `names` that are to be stopped now; None if no variant would be left, so that the whole pool is to be stopped."""
        new = [name for name in names if name not in self._stops]
        if not any(name not in self._stops and name not in new for name in self._variants):
            return None
        self._stops |= dict.fromkeys(new, stop)
        return new
