"""Writes the parts of a run that is sending: each once all its rows have their outcomes."""

from __future__ import annotations

from collections.abc import Callable

from batch.journal import ranges
from batch.results.final_rows import FinalRows
from batch.results.part_writer import PartWriter


class PartFollower:
    """Looks at the journals of a run again and again, and writes the parts that are final."""

    def __init__(self, writer: PartWriter) -> None:
        self._writer = writer
        self._rows = [FinalRows(writer.run.directory, variant.slug) for variant in writer.run.job.variants]
        self.left = set(range(writer.plan.count))

    def look(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Write the parts that are final by now, until all are written or the run is over.

        Raises:
            PromptmillError: what `PartWriter.write` raises: the end of the run reports it.
        """
        writer = self._writer
        for each in self._rows:
            each.look()
        final = ranges.intersection([each.final(writer.run.job.run.repeats) for each in self._rows])
        for number in sorted(self.left):
            start, stop = writer.plan.range(number)
            if ranges.count(ranges.clip(final, start, stop)) < stop - start:
                continue
            writer.refresh()
            if not writer.is_current(number):
                writer.write(number)
            self.left.discard(number)
            if is_over():
                return
