"""Processes that write parts of outputs: several at the end of a run, or one that follows a run while it is sending."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import InputChangedError, InputError, PromptmillError, StorageError
from batch.process import child_environment
from batch.results.part_writer import PartWriter
from batch.results.parts import PartPlan
from batch.rundir.manifest import Manifest
from batch.rundir.stored_run import StoredRun
from batch.server.cores import usable_cores
from batch.settings import Job, OutputFormat

if TYPE_CHECKING:
    from batch.results.part_types import PartTypes

# A process of its own takes 0.3 s to begin, as long as this many answers.
_WORTH_TASKS = 50_000
_ENDING_S = 60.0
Refusal = tuple[type[Exception], str] | None
"""What kept a process from doing what it was asked for."""


@dataclass(frozen=True, slots=True)
class PartsOrder:
    """What a process that writes parts must know. Holds no secret. `follow`: write each part as soon as all its rows have outcomes.

    `plan` is None for one that makes summaries only. `aside`: what sends comes first.
    """

    place: str
    job: Job
    manifest: Manifest
    plan: PartPlan | None
    form: OutputFormat
    folder: str
    types: PartTypes | None = None
    drawn: int | None = None
    follow: bool = False
    aside: bool = False


def write_parts(writer: PartWriter, numbers: Sequence[int]) -> None:
    """Write these parts, in several processes where that is faster. Raises as `PartWriter.write`; all parts but the refused are written."""
    job = writer.run.job
    tasks = sum(stop - start for start, stop in map(writer.plan.range, numbers)) * len(job.variants) * job.run.repeats
    count = min(usable_cores(), len(numbers), -(-tasks // _WORTH_TASKS))
    if count < 2:
        for number in numbers:
            writer.write(number)
        return
    order, left = order_of(writer.run, writer.plan, writer.form, writer.folder, writer.types), deque(numbers)
    refusals: list[Exception] = []
    threads = [threading.Thread(target=_feed, args=(order, left, refusals), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if refusals:
        raise refusals[0]


def _feed(order: PartsOrder, left: deque[int], refusals: list[Exception]) -> None:
    """Give one process a part after the other."""
    try:
        with part_process(order) as process:
            while left and not refusals:
                _check(ask(process, f"{left.popleft()}\n".encode()))
    except IndexError:
        return  # another thread took the last one
    except (PromptmillError, OSError, EOFError, pickle.UnpicklingError) as error:
        refusals.append(error if isinstance(error, PromptmillError) else StorageError(f"a process that writes outputs has ended: {error}"))


@contextmanager
def following(writer: PartWriter) -> Iterator[None]:
    """Let a process write each part as soon as its rows have their outcomes, while the body sends. What it does not write is left."""
    order = order_of(writer.run, writer.plan, writer.form, writer.folder, writer.types)
    with part_process(replace(order, follow=True, aside=True)):
        yield


def order_of(run: StoredRun, plan: PartPlan | None, form: OutputFormat, folder: Path, types: PartTypes | None = None) -> PartsOrder:
    """Return what a process must know to write parts of `run` into `folder`."""
    if run.manifest is None:
        raise AssertionError("a run that has records has a manifest")
    drawn = run.dataset.drawn if run.job.output.columns else None
    return PartsOrder(str(run.directory.place), run.job, run.manifest, plan, form, str(folder.absolute()), types, drawn)


@contextmanager
def part_process(order: PartsOrder) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that carries out an order. Raises OSError."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "batch.results.part_child"],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A terminal sends Ctrl-C to the whole group: the process ends when its input does.
        process_group=0,
    )
    try:
        _write(process, pickle.dumps(order, pickle.HIGHEST_PROTOCOL))
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the input of a process, which ends it after the part that it is at."""
    try:
        if process.stdin is not None:
            process.stdin.close()
    except OSError:
        pass  # it has ended
    try:
        process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    if process.stdin is not None:
        process.stdin.write(data)
        process.stdin.flush()


def ask(process: subprocess.Popen[bytes], line: bytes) -> Refusal:
    """Give a process a line of its input, and wait until it has done that. Raises OSError, EOFError, UnpicklingError: it has ended."""
    _write(process, line)
    if process.stdout is None:
        raise AssertionError("the process has a pipe")
    refusal: Refusal = pickle.load(process.stdout)  # noqa: S301 - both ends run the same code
    return refusal


def _check(refusal: Refusal) -> None:
    """Raise what a process refused."""
    if refusal is not None:
        kind, text = refusal
        # Some kinds take more than their text.
        raise kind(text) if kind in (StorageError, InputError, InputChangedError) else StorageError(text)
