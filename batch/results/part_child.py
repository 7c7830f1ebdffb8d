"""A process that writes parts of outputs, started by `batch.results.part_processes`.

Its input is a PartsOrder and then lines, each answered by None or what refused it: `7` (write this part), `final 7` (write it if all its
rows have outcomes and it is not as the journals say), `summary SLUG SEGMENT` (summarize a segment); or, where it follows a run, nothing
more until the run has ended. It ends with its input, and with its parent.
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
from batch.journal.segment_name import parsed_name
from batch.journal.segments import Segment
from batch.journal.summary_files import summary_of
from batch.process import die_with_parent, tune_gc, tune_malloc
from batch.prompts.columns import needed_columns
from batch.readers import Dataset
from batch.readers.input_index import count_rows
from batch.results.part_follower import PartFollower
from batch.results.part_processes import PartsOrder, Refusal
from batch.results.part_writer import PartWriter
from batch.rundir.local import RunDirectory
from batch.rundir.opening import open_run_directory
from batch.rundir.stored_run import StoredRun

POLL_S = 0.25
# Each look is a listing, and outcomes come every few seconds.
STORE_POLL_S = 5.0
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
    if order.aside:
        os.nice(_NICE)
    if order.follow:
        _follow(run, order, source)
    else:
        _serve(run, order, source)


def _opened(order: PartsOrder) -> StoredRun:
    directory = open_run_directory(order.place)
    dataset = Dataset(order.job.input, order.drawn, needed_columns(order.job))
    run = StoredRun(directory, order.manifest, order.job, dataset).without_limit()
    if order.job.output.columns and order.manifest.input is not None:
        count_rows(run.dataset, directory.path, order.manifest.input.files, unchanged=True)
    return run


def _writer(run: StoredRun, order: PartsOrder) -> PartWriter:
    if order.plan is None:
        raise AssertionError("these outputs have no parts")
    return PartWriter(run, order.plan, order.form, Path(order.folder), order.types)


def _serve(run: StoredRun, order: PartsOrder, source: BinaryIO) -> None:
    writer = None if order.plan is None else _writer(run, order)
    while line := source.readline():
        refusal: Refusal = None
        words = line.decode().split()
        try:
            if words[0] == "summary":
                summarize_finished(run.directory, *words[1:])
            elif writer is not None:
                _write(writer, int(words[-1]), only_final=words[0] == "final")
        except PromptmillError as error:
            refusal = (type(error), str(error))
        except Exception as error:  # noqa: BLE001 - the parent reports it
            refusal = (StorageError, f"part {words[-1]} cannot be written: {type(error).__name__}: {error}")
        sys.stdout.buffer.write(pickle.dumps(refusal))
        sys.stdout.buffer.flush()


def _write(writer: PartWriter, number: int, *, only_final: bool) -> None:
    if only_final:
        writer.refresh()
        if not writer.is_final(number) or writer.is_current(number):
            return
    writer.write(number)


def summarize_finished(directory: RunDirectory, slug: str, stem: str) -> None:
    """Keep the summary of a segment to which nothing is written any more. Raises DamagedError, StorageError."""
    path = directory.journal_dir(slug) / f"{stem}.jsonl"
    if (name := parsed_name(path.name)) is not None:
        # Its writer may have been killed: the last line counts as far as it is whole.
        summary_of(Segment(name, path, may_be_torn=True))


def _follow(run: StoredRun, order: PartsOrder, source: BinaryIO) -> None:
    """Write each part once its rows are final. What is refused here is left to the end of the run, which reports it."""
    follower = PartFollower(_writer(run, order))
    wait = shortest = POLL_S if run.directory.is_local else STORE_POLL_S
    while follower.left and not _is_over(source, wait):
        began = monotonic()
        try:
            ready = follower.look()
            # Of thousands of small files a look takes a while.
            wait = max(shortest, _REST * (monotonic() - began))
            for number in ready:
                follower.write(number)
                if _is_over(source, 0):
                    break
        except PromptmillError:
            if run.directory.is_local:
                return
            # A store that refuses now may not do so later.
            wait = max(shortest, _REST * (monotonic() - began))
    select.select([source], [], [])


def _is_over(source: BinaryIO, wait_s: float) -> bool:
    """Return whether the input ends, or does so within `wait_s` seconds."""
    return bool(select.select([source], [], [], wait_s)[0])


if __name__ == "__main__":
    main()
