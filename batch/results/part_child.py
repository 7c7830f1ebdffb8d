"""A process that writes parts of outputs, started by `batch.results.part_processes`.

Its input is a PartsOrder and then the numbers of parts, one a line, each answered by None or what refused it; or, where it follows a run,
nothing more until the run has ended. It ends with its input, and with its parent.
"""

from __future__ import annotations

import os
import pickle
import select
import sys
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from batch.errors import PromptmillError, StorageError
from batch.journal import ranges
from batch.process import die_with_parent, tune_gc, tune_malloc
from batch.prompts.columns import needed_columns
from batch.readers import Dataset
from batch.readers.input_index import count_rows
from batch.results.final_rows import FinalRows
from batch.results.part_processes import PartsOrder
from batch.results.part_writer import PartWriter
from batch.rundir.opening import open_run_directory
from batch.rundir.stored_run import StoredRun

POLL_S = 1.0
_REST = 4
# It has time: what is sent comes first.
_NICE = 5


def main() -> None:
    """Write parts until the input ends."""
    tune_gc()
    tune_malloc()
    die_with_parent()
    # Unbuffered: what has come in can be waited for.
    source = open(sys.stdin.fileno(), "rb", buffering=0)  # noqa: PTH123, SIM115 - open as long as the process
    order: PartsOrder = pickle.load(source)  # noqa: S301 - both ends run the same code
    run = _opened(order)
    if order.follow:
        os.nice(_NICE)
        _follow(run, order, source)
    else:
        _serve(_writer(run, order), source)


def _opened(order: PartsOrder) -> StoredRun:
    directory = open_run_directory(order.place)
    dataset = Dataset(order.job.input, order.drawn, needed_columns(order.job))
    run = StoredRun(directory, order.manifest, order.job, dataset).without_limit()
    if order.job.output.columns and order.manifest.input is not None:
        count_rows(run.dataset, directory.path, order.manifest.input.files, unchanged=True)
    return run


def _writer(run: StoredRun, order: PartsOrder) -> PartWriter:
    return PartWriter(run, order.plan, order.form, Path(order.folder), order.types)


def _serve(writer: PartWriter, source: BinaryIO) -> None:
    while line := source.readline():
        refusal = None
        try:
            writer.write(int(line))
        except PromptmillError as error:
            refusal = (type(error), str(error))
        except Exception as error:  # noqa: BLE001 - the parent reports it
            refusal = (StorageError, f"part {int(line)} cannot be written: {type(error).__name__}: {error}")
        sys.stdout.buffer.write(pickle.dumps(refusal))
        sys.stdout.buffer.flush()


def _follow(run: StoredRun, order: PartsOrder, source: BinaryIO) -> None:
    """Write each part once its rows are final. What is refused here is left to the end of the run, which reports it."""
    writer = _writer(run, order)
    left = set(range(order.plan.count))
    rows = [FinalRows(run.directory, variant.slug) for variant in run.job.variants]
    wait = POLL_S
    while left and not select.select([source], [], [], wait)[0]:
        began = monotonic()
        try:
            for each in rows:
                each.look()
            final = ranges.intersection([each.final(run.job.run.repeats) for each in rows])
            for number in sorted(left):
                start, stop = order.plan.range(number)
                if ranges.count(ranges.clip(final, start, stop)) < stop - start:
                    continue
                writer.refresh()
                if not writer.is_current(number):
                    writer.write(number)
                left.discard(number)
                if select.select([source], [], [], 0)[0]:
                    return
        except PromptmillError:
            return
        # Of thousands of small files a look takes a while.
        wait = max(POLL_S, _REST * (monotonic() - began))
    select.select([source], [], [])


if __name__ == "__main__":
    main()
