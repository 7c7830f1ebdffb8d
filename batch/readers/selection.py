"""Which rows of the input a job takes: those for which `where` holds, and of these a `sample`.

A row that cannot be read is always one of those that `where` takes: no condition can be tried on it, and it must not go by unseen.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator

from batch.errors import InputError
from batch.readers.rows import Sized
from batch.readers.sampling import highest_rank, rank
from batch.readers.where import Condition
from batch.records import BadRow
from batch.settings import InputSettings


class Selection:
    """The rows that the settings select. A sample is drawn once, from the ordinals of all rows for which `where` holds.

    `highest` is the highest rank of the drawn sample; None while it is not drawn.
    """

    def __init__(self, settings: InputSettings, highest: int | None = None) -> None:
        self._condition = None if settings.where is None else Condition(settings.where)
        self._size, self._seed = settings.sample, settings.seed
        self.highest = highest

    @property
    def has_condition(self) -> bool:
        """Whether rows must be read to know whether they are taken."""
        return self._condition is not None

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the condition names."""
        return frozenset() if self._condition is None else frozenset(self._condition.columns)

    @property
    def draws(self) -> bool:
        """Whether a sample is wanted."""
        return self._size is not None

    @property
    def selects(self) -> bool:
        """Whether some rows may be excluded."""
        return self.draws or self.has_condition

    def draw_from(self, ordinals: Iterable[int]) -> None:
        """Draw the sample."""
        self.highest = highest_rank(ordinals, self._size or 0, self._seed)

    def of(self, rows: Iterator[Sized]) -> Iterator[Sized]:
        """Those of `rows` that are selected; while no sample is drawn, all for which `where` holds."""
        if self.highest is not None:
            highest, seed = self.highest, self._seed
            rows = (sized for sized in rows if rank(sized[0].ordinal, seed) <= highest)
        if self._condition is not None:
            holds = self._condition.holds
            rows = (sized for sized in rows if isinstance(sized[0], BadRow) or holds(sized[0].columns))
        return rows

    def holding(self, rows: Iterator[Sized], more_names: Callable[[], set[str]] = set) -> int:
        """Count the rows for which `where` holds. `more_names` are those of columns that `rows` do not show, for the hint.

        Raises:
            InputError: it names a column that none of them has.
        """
        if self._condition is None:
            return sum(1 for _ in rows)
        missing, present, total = set(self._condition.columns), set[str](), 0
        for row, _ in rows:
            if isinstance(row, BadRow):
                total += 1
                continue
            if missing:
                missing -= row.columns.keys()
                present |= row.columns.keys()
            total += self._condition.holds(row.columns)
        if missing and present:
            name = min(missing)
            present |= more_names()
            near = difflib.get_close_matches(name, present, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(present)[:30])}"
            raise InputError(f"[input] where: no row has a column {name!r}; {hint}")
        return total
