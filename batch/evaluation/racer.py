"""Race a run's variants while it is running: read scores from the journals, in the input's order, for the test in racing.py.

Each pair has a race of its own, at its share of alpha, so that a variant that has not begun delays no other pair. A pair's rows end
before the first row that one of the two has yet to finish. Looking again reads only unscored rows. Memory: 4 bytes for each row and
variant.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from batch.evaluation.answers import Answer, answer_of
from batch.evaluation.equal_requests import EqualRequests
from batch.evaluation.row_scorer import RowScorer
from batch.evaluation.scorers import ExpectedError
from batch.evaluation.scorers.texts import as_text
from batch.evaluation.statistics.racing import Race, advance, start_race
from batch.journal.index import ResumeIndex
from batch.readers import Dataset
from batch.records import BadRow, BeatenVariant, Row
from batch.results.join import Result, results
from batch.rundir.stored_run import StoredRun
from batch.settings import ScoreSettings, Variant

ALPHA = 0.05
# Rows (or clusters) from one look of the test to the next; where they fall depends on nothing but the input.
STEP = 10
# After this many rows in a row without an outcome, few outcomes follow.
_IDLE_ROWS = 1024
# A row that some variant has yet to finish. NaN is one that has no score: it has no right value, or cannot be read.
_OPEN = -1.0


class Racer:
    """Finds the variants that can no longer win. `stops` are those of earlier sessions; `score` needs no judge.

    The run is read while it is written to. Its dataset must have the columns of the score.
    Raises SetupError when a file or a library of the scorer is missing.
    """

    def __init__(self, run: StoredRun, score: ScoreSettings, stops: Sequence[BeatenVariant]) -> None:
        self.stops = tuple(stops)
        self._run = run
        self._score = score
        self._scorer = RowScorer(score)
        self._equal = EqualRequests(run.job)
        self._names = tuple(variant.name for variant in run.job.variants)
        self._scores = np.full((len(self._names), run.dataset.count() or 0), _OPEN, np.float32)
        self._units: _Units | None = None
        pairs = list(itertools.combinations(range(len(self._names)), 2))
        self._pairs = [_PairRace(one, other, self._names, ALPHA / len(pairs)) for one, other in pairs]

    @property
    def running(self) -> tuple[str, ...]:
        """The variants that are not stopped."""
        out = {stop.variant for stop in self.stops}
        return tuple(name for name in self._names if name not in out)

    def look(self) -> tuple[BeatenVariant, ...]:
        """Read the answers since the last look; return the variants that are now beaten.

        Raises:
            InputError: the input cannot be read.
            DamagedError: a journal is not as it was written.
        """
        if self._units is None:
            self._units = _Units(self._run.dataset, self._score, self._scores.shape[1])
        self._read()
        found = []
        for pair in self._pairs:
            for stop in pair.advance(self._scores, self._units):
                if stop.variant in self.running and len(self.running) > 1:
                    self.stops += (stop,)
                    found.append(stop)
        return tuple(found)

    def _read(self) -> None:
        chosen = [variant for variant in self._run.job.variants if variant.name in self.running]
        open_rows = np.flatnonzero((self._scores[[self._names.index(variant.name) for variant in chosen]] == _OPEN).any(axis=0))
        if not open_rows.size:
            return
        first = int(open_rows[0])
        tasks = len(chosen) * self._run.job.run.repeats
        idle = 0
        indexes = {variant.slug: ResumeIndex.load(self._run.directory.journal_dir(variant.slug)) for variant in chosen}
        found = results(self._run, chosen, indexes=indexes, rows=_From(self._run.dataset, first))
        with ExitStack() as stack:
            equal = self._equal.opened({variant.name: indexes[variant.slug] for variant in chosen}, stack)
            for at, read in enumerate(_by_row(found, tasks), first):
                if at >= self._scores.shape[1] or idle >= _IDLE_ROWS:
                    return
                # Rows that wait for an equal request would hold the race up until all others are sent.
                of_row = equal.filled(read) if self._is_open(at, chosen) else read
                idle = idle + 1 if all(result.outcome is None for result in of_row) else 0
                if idle == 0 or isinstance(of_row[0].row, BadRow):
                    self._score_row(at, of_row)

    def _is_open(self, at: int, variants: Sequence[Variant]) -> bool:
        return any(self._scores[self._names.index(variant.name), at] == _OPEN for variant in variants)

    def _score_row(self, at: int, of_row: Sequence[Result]) -> None:
        row = of_row[0].row
        try:
            expected = None if isinstance(row, BadRow) else self._scorer.expected(row)
        except ExpectedError:
            self._scores[:, at] = np.nan
            return
        repeats = self._run.job.run.repeats
        for start in range(0, len(of_row), repeats):
            variant = self._names.index(of_row[start].variant.name)
            if self._scores[variant, at] == _OPEN:
                self._scores[variant, at] = self._strict(row, expected, of_row[start : start + repeats])

    def _strict(self, row: Row | BadRow, expected: object, of_variant: Sequence[Result]) -> float:
        """Return the mean score of a row's repeats; a failed call, or an answer without a score, counts as wrong."""
        if isinstance(row, BadRow):
            return float("nan")
        if any(result.outcome is None for result in of_variant):
            return _OPEN
        answers: list[Answer] = [answer_of(result, row) for result in of_variant]
        return sum(self._scorer.cell(answer, expected).value or 0.0 for answer in answers) / len(answers)


class _PairRace:
    def __init__(self, one: int, other: int, names: Sequence[str], alpha: float) -> None:
        # A race of two spends its alpha on both directions, as the whole one does on all ordered pairs.
        self._race: Race = start_race((names[one], names[other]), alpha)
        self._places = [one, other]
        self._taken = 0

    def advance(self, scores: NDArray[np.float32], units: _Units) -> list[BeatenVariant]:
        """Advance by the rows that both have finished now, and return the variants that are beaten."""
        both = scores[self._places]
        open_rows = np.flatnonzero((both == _OPEN).any(axis=0))
        known = int(open_rows[0]) if open_rows.size else both.shape[1]
        found: list[BeatenVariant] = []
        values, ends = units.averaged(both[:, :known].astype(np.float64))
        while self._taken + STEP <= values.shape[1]:
            before = len(self._race.stops)
            self._race = advance(self._race, values[:, self._taken : self._taken + STEP])
            self._taken += STEP
            rows = int(ends[self._taken - 1]) + 1
            found += [replace(stop, after_rows=rows) for stop in self._race.stops[before:]]
        return found


class _Units:
    """Groups rows into observations: a row, or a cluster at the place of its last row."""

    def __init__(self, dataset: Dataset, score: ScoreSettings, rows: int) -> None:
        self._clusters: NDArray[np.intp] | None = None
        if score.cluster is None:
            return
        known: dict[str, int] = {}
        codes = np.empty(rows, np.intp)
        for at, row in zip(range(rows), itertools.chain.from_iterable(dataset.batches()), strict=False):
            value = None if isinstance(row, BadRow) else row.columns.get(score.cluster)
            name = f"alone {at}" if value is None else f"of {as_text(value)}"
            codes[at] = known.setdefault(name, len(known))
        self._clusters = codes
        self._last = np.zeros(len(known), np.intp)
        np.maximum.at(self._last, codes, np.arange(rows))

    def averaged(self, scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Average scores of shape (2, rows) over the units that are complete in these rows; also return the last row of each unit."""
        there = ~np.isnan(scores).any(axis=0)
        if self._clusters is None:
            return scores[:, there], np.flatnonzero(there)
        codes = self._clusters[: scores.shape[1]][there]
        size = len(self._last)
        counts = np.bincount(codes, minlength=size)
        whole = np.flatnonzero((counts > 0) & (self._last < scores.shape[1]))
        whole = whole[np.argsort(self._last[whole], kind="stable")]
        sums = np.stack([np.bincount(codes, weights=line[there], minlength=size) for line in scores])
        return sums[:, whole] / counts[whole], self._last[whole]


class _From:
    """The rows of a dataset from a given row number on."""

    def __init__(self, dataset: Dataset, first: int) -> None:
        self._dataset = dataset
        self._first = first

    def batches(self) -> Iterator[list[Row | BadRow]]:
        """Yield batches as the dataset does, from the first wanted row on."""
        left = self._first
        for rows in self._dataset.batches():
            if left < len(rows):
                yield rows[left:]
            left = max(0, left - len(rows))


def _by_row(found: Iterator[Result], tasks: int) -> Iterator[list[Result]]:
    while of_row := list(itertools.islice(found, tasks)):
        yield of_row
