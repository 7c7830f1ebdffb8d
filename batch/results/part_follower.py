"""Writes the parts of a run that is sending: each once all its rows have their outcomes."""

from __future__ import annotations

from batch.journal import ranges
from batch.journal.ranges import OrdinalRanges
from batch.results.final_rows import FinalRows
from batch.results.part_writer import PartWriter


class PartFollower:
    """Looks at the journals of a run again and again, and writes the parts that are final."""

    def __init__(self, writer: PartWriter) -> None:
        self._writer = writer
        self._rows = [FinalRows(writer.run.directory, variant.slug) for variant in writer.run.job.variants]
        self.left = set(range(writer.plan.count))

    def look(self) -> list[int]:
        """Return the parts that are final and not yet written, in their order. Raises DamagedError, StorageError."""
        for each in self._rows:
            each.look()
        final = ranges.intersection([each.final(self._writer.run.job.run.repeats) for each in self._rows])
        return [number for number in sorted(self.left) if self._is_in(final, number)]

    def _is_in(self, final: OrdinalRanges, number: int) -> bool:
        start, stop = self._writer.plan.range(number)
        return ranges.count(ranges.clip(final, start, stop)) == stop - start

    def write(self, number: int) -> None:
        """Write a part, if its files are not there already.

        Raises:
            PromptmillError: what `PartWriter.write` raises: the end of the run reports it.
        """
        self._writer.refresh()
        if not self._writer.is_current(number):
            self._writer.write(number)
        self.left.discard(number)
