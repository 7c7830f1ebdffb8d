"""Collecting every mistake of a job, each with its place: file and line, or the `--set` that it came by."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from batch.errors import JobError, Problem
from batch.job.paths import KeyPath, begins, dotted
from batch.job.toml_file import FileLayer, Layer, SetLayer


class Places:
    """Where each setting of a merged job comes from. Lines are looked up only when a place is asked for."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._lines: dict[int, Mapping[KeyPath, int]] = {}

    def layer(self, path: KeyPath) -> Layer:
        """The layer that has the last word on `path`."""
        return self._layers[self._find(path)[1]]

    def describe(self, path: KeyPath) -> tuple[int, int, str]:
        """The place of `path`, or of the nearest table around it, as (order, line, text)."""
        known, index = self._find(path)
        layer = self._layers[index]
        if isinstance(layer, SetLayer):
            return len(self._layers) + index, 0, layer.label
        if layer.text is None:
            return 0, 0, layer.label
        line = self._lines_of(index, layer.text).get(known, 1)
        return -index, line, f"{layer.label}:{line}"

    def _find(self, path: KeyPath) -> tuple[KeyPath, int]:
        while path not in self._origins:
            path = path[:-1]
        return path, self._origins[path]

    def _lines_of(self, index: int, text: str) -> Mapping[KeyPath, int]:
        if index not in self._lines:
            from batch.job.lines import key_lines

            self._lines[index] = key_lines(text)
        return self._lines[index]

    @cached_property
    def _origins(self) -> dict[KeyPath, int]:
        """For each path of the merged job the index of the layer that set it."""
        origins: dict[KeyPath, int] = {}
        for index, layer in enumerate(self._layers):
            if isinstance(layer, FileLayer):
                _overlay(origins, (), layer.document, index)
            else:
                for path in layer.paths:
                    for depth in range(1, len(path)):
                        origins.setdefault(path[:depth], index)
                    _replace(origins, path, layer.value, index)
        origins[()] = max((index for index, layer in enumerate(self._layers) if isinstance(layer, FileLayer)), default=0)
        return origins


def _overlay(origins: dict[KeyPath, int], path: KeyPath, value: object, index: int) -> None:
    if not isinstance(value, dict):
        _replace(origins, path, value, index)
        return
    origins[path] = index
    for key, item in value.items():
        _overlay(origins, (*path, key), item, index)


def _replace(origins: dict[KeyPath, int], path: KeyPath, value: object, index: int) -> None:
    for known in [known for known in origins if begins(known, path)]:
        del origins[known]
    origins[path] = index
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        _replace(origins, (*path, key), item, index)


class Problems:
    """The mistakes found so far. The same one, found for several variants, is kept once."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._found: dict[tuple[KeyPath, str], str | None] = {}
        self._placed: list[Problem] = []

    def add(self, path: KeyPath, message: str, hint: str | None = None) -> None:
        """Note a mistake at `path`."""
        self._found.setdefault((path, message), hint)

    def add_placed(self, problem: Problem) -> None:
        """Note a mistake that has its place already."""
        self._placed.append(problem)

    def touch(self, path: KeyPath) -> bool:
        """Whether something at, under or around `path` is wrong already, so that what follows from it need not be said."""
        return any(begins(known, path) or begins(path, known) for known, _ in self._found)

    def raise_found(self) -> None:
        """Raise JobError with everything found, in the order of the file."""
        rows = [
            (*self.places.describe(path)[:2], Problem(self.places.describe(path)[2], dotted(path), message, hint))
            for (path, message), hint in self._found.items()
        ]
        rows.sort(key=lambda row: row[:2])
        problems = [row[2] for row in rows] + self._placed
        if problems:
            raise JobError(problems)


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that `word` was probably meant to be; `cutoff` is how alike they must be, up to 1."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=cutoff)
    return near[0] if near else None
