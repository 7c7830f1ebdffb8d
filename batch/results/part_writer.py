"""Write the parts of a run's outputs one by one: each from the records of its rows alone, so that several processes can write at once.

Beside a part's two files stands its state (.parts/completions-00003-of-00020.parquet.json): the records that it was made of, and the files'
sizes and times. A part whose state still holds is not written again; a row that is run again changes the state of its part alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from batch._version import __version__
from batch.errors import InputChangedError, StorageError
from batch.journal import ranges
from batch.journal.disk import storage_errors
from batch.journal.index import Location
from batch.journal.reading import RecordReader
from batch.journal.segments import Segment, segments
from batch.journal.summary_files import summary_of
from batch.readers.dataset import MARK_EVERY
from batch.readers.ranges import Ranges, mark_before
from batch.records import BadRow, Outcome, Row
from batch.results.join import Result, within_memory
from batch.results.output_files import named_errors, write_lines
from batch.results.part_index import PartIndex, Source, SummarizedSegment, source_of
from batch.results.parts import PartPlan
from batch.rundir.stored_run import StoredRun
from batch.settings import OutputFormat, Variant
from batch.storage import replace_atomically

if TYPE_CHECKING:
    from batch.results.part_types import PartTypes

STATES = ".parts"
_BATCH_ROWS = 256


class PartWriter:
    """Writes parts of a run in a format into `folder`. `types` are those of all parts, where one alone would not say.

    Only for a run whose ordinals hold and whose input is the one that was sent: each record is of the row with its ordinal.
    """

    def __init__(self, run: StoredRun, plan: PartPlan, form: OutputFormat, folder: Path, types: PartTypes | None = None) -> None:
        self.run, self.plan, self.form, self.folder, self.types = run, plan, form, folder, types
        self._command = run.export_command(form)
        self._ranges = Ranges(run.dataset)
        self._known: dict[Segment, tuple[tuple[int, int, int], SummarizedSegment]] = {}

    @cached_property
    def journals(self) -> list[tuple[Variant, list[SummarizedSegment]]]:
        """The segments of each variant with their summaries, as of the first access. Raises DamagedError, StorageError."""
        directory = self.run.directory
        found = ((variant, segments(directory.journal_dir(variant.slug))) for variant in self.run.job.variants)
        return [(variant, [self._summarized(segment) for segment in of_variant]) for variant, of_variant in found]

    def _summarized(self, segment: Segment) -> SummarizedSegment:
        """Return a segment with its summary, read once as long as the file is the same."""
        with storage_errors(segment.path):
            status = segment.path.stat(follow_symlinks=False)
        identity = status.st_size, status.st_mtime_ns, status.st_ino
        known = self._known.get(segment)
        if known is None or known[0] != identity:
            known = self._known[segment] = identity, SummarizedSegment(segment, summary_of(segment))
        return known[1]

    def is_final(self, number: int) -> bool:
        """Return whether each task of a part's rows has an outcome. Raises DamagedError, StorageError."""
        start, stop = self.plan.range(number)
        return all(self._is_final(of_variant, start, stop) for _, of_variant in self.journals)

    def _is_final(self, found: Sequence[SummarizedSegment], start: int, stop: int) -> bool:
        concerned = [each.summary.tasks for each in found if each.records(start, stop)]
        done = ([tasks[repeat].done for tasks in concerned if repeat in tasks] for repeat in range(self.run.job.run.repeats))
        return all(ranges.count(ranges.clip(ranges.union(of_repeat), start, stop)) == stop - start for of_repeat in done)

    def is_current(self, number: int) -> bool:
        """Return whether the files of a part are there and hold what the journals say now. Raises DamagedError, StorageError."""
        start, stop = self.plan.range(number)
        sources = {variant.slug: source_of(of_variant, start, stop) for variant, of_variant in self.journals}
        try:
            found = orjson.loads(self._state(number).read_bytes())
            return bool(found == self._state_of(number, sources))
        except (OSError, ValueError):
            return False

    def write(self, number: int) -> None:
        """Write a part: two files, each put in place whole, then its state.

        Raises:
            InputError: the input cannot be read.
            InputChangedError: the input changed meanwhile; nothing was written.
            DamagedError: a journal is not as it was written.
            StorageError: the disk refuses, or a value cannot be written.
        """
        start, stop = self.plan.range(number)
        paths = self.plan.paths(number, self.folder, self.form)
        indexes = []
        for variant, of_variant in self.journals:
            concerned = [each for each in of_variant if each.records(start, stop)]
            indexes.append((variant, PartIndex(concerned, start, stop)))

        def tasks() -> Iterator[Iterator[Result]]:
            yield self._results(indexes, start, stop)
            self._check_input()

        with named_errors(paths[0], self.form, self._command):
            write_lines(self.run.job, self.run.dataset, tasks, self.form, paths, self.types)
            if self.folder == self.run.directory.path:
                # Before the state, which has the files' times: those on a store have the store's.
                self.run.directory.publish(*paths)
            state = self._state_of(number, {variant.slug: index.source for variant, index in indexes})
            self._state(number).parent.mkdir(exist_ok=True)
            with replace_atomically(self._state(number)) as file:
                file.write(orjson.dumps(state))

    def refresh(self) -> None:
        """Read the journals again."""
        with suppress(AttributeError):
            del self.journals

    def _results(self, indexes: Sequence[tuple[Variant, PartIndex]], start: int, stop: int) -> Iterator[Result]:
        """Iterate over the tasks that have a record: rows in input order, per row the variants, per variant the repeats."""
        repeats = range(self.run.job.run.repeats)
        with ExitStack() as stack:
            readers = [(variant, index, stack.enter_context(RecordReader(index.paths))) for variant, index in indexes]
            for rows in self._rows(start, stop) if self._needs_input else _ordinals([index for _, index in indexes]):
                ordinals = [row if isinstance(row, int) else row.ordinal for row in rows]
                columns = [
                    (variant, repeat, reader, index.locate(ordinals, repeat)) for variant, index, reader in readers for repeat in repeats
                ]
                for first, last in within_memory([[(place,) for place in places] for *_, places in columns], len(rows)):
                    yield from _read(rows[first:last], [(*column[:3], column[3][first:last]) for column in columns])

    def _rows(self, start: int, stop: int) -> Iterator[list[Row | BadRow]]:
        _, offsets = self.run.dataset.marks(MARK_EVERY)
        return self._ranges.batches(start, stop, mark_before(offsets, start), _BATCH_ROWS)

    @cached_property
    def _needs_input(self) -> bool:
        """Whether anything is carried over: all else is in the records."""
        return bool(self.run.job.output.columns)

    def _check_input(self) -> None:
        manifest = self.run.manifest
        if manifest is not None and manifest.input is not None and self.run.dataset.identity() != manifest.input.files:
            raise InputChangedError(f"the input changed while the outputs were derived; put it back as it was and give `{self._command}`")

    def _state(self, number: int) -> Path:
        return self.folder / STATES / f"{self.plan.paths(number, self.folder, self.form)[0].name}.json"

    def _state_of(self, number: int, sources: Mapping[str, Source]) -> dict[str, Any]:
        files = {}
        for path in self.plan.paths(number, self.folder, self.form):
            status = path.stat()
            files[path.name] = [status.st_size, status.st_mtime_ns, status.st_ino]
        return {"made_of": self._made_of, "rows": list(self.plan.range(number)), "sources": dict(sources), "files": files}

    @cached_property
    def _made_of(self) -> str:
        """A hash of all that decides what the lines of given records look like."""
        job, manifest = self.run.job, self.run.manifest
        output = {name: value for name, value in asdict(job.output).items() if name not in ("dir", "format", "parts", "rows_per_part")}
        models = [[variant.name, variant.slug, asdict(variant.prompt)["api"]] for variant in job.variants]
        files = None if manifest is None or manifest.input is None or not self._needs_input else list(manifest.input.files)
        made_of = [__version__, output, models, job.run.repeats, job.input.id, files]
        return blake2b(orjson.dumps(made_of, default=str), digest_size=16).hexdigest()


_Column = tuple[Variant, int, RecordReader, Sequence[Location | None]]


def _read(rows: Sequence[Row | BadRow | int], columns: Sequence[_Column]) -> Iterator[Result]:
    read = [(variant, repeat, reader.read(places)) for variant, repeat, reader, places in columns]
    for place, row in enumerate(rows):
        for variant, repeat, outcomes in read:
            if (outcome := outcomes[place]) is not None:
                yield Result(_bare(outcome) if isinstance(row, int) else row, variant, repeat, outcome)


def remove_states(folder: Path, form: OutputFormat, kept: Sequence[Path]) -> None:
    """Remove the states of parts of this format that are no more. Raises StorageError."""
    wanted = {f"{path.name}.json" for path in kept}
    try:
        for path in (folder / STATES).glob(f"*.{form}.json") if (folder / STATES).is_dir() else ():
            if path.name not in wanted:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{folder / STATES}: {error.strerror or error}") from error


def _bare(outcome: Outcome) -> Row:
    """Make a row without columns of what its record says of it."""
    return Row(outcome.ordinal, outcome.id, {}, "", 0)


def _ordinals(indexes: Sequence[PartIndex]) -> Iterator[list[int]]:
    import numpy as np

    found = np.unique(np.concatenate([index.ordinals() for index in indexes])) if indexes else np.empty(0, np.int64)
    for first in range(0, len(found), _BATCH_ROWS):
        yield found[first : first + _BATCH_ROWS].tolist()
