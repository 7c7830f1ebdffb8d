"""Make the rows of a job that are in no file (a step's, a query's, those of stdin or of a program), and keep them in its run directory.

They are made when a run begins; all else reads them as a file. The file has another number each time they differ, and run.json names the
one that counts: a run that is refused, or killed, keeps the rows that it had.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from batch.app.located import folder_of, located
from batch.app.running import RunOptions
from batch.app.upstream import StepSource, described, step_source
from batch.errors import InputError
from batch.job import LoadedJob
from batch.journal.disk import storage_errors
from batch.readers import Dataset
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import InputRecord
from batch.rundir.opening import open_run_directory
from batch.settings import InputSettings, Job
from batch.settings.inputs import GIVEN
from batch.storage import open_input, scratch_folder

_BLOCK = 1 << 20

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MadeRows:
    """A file of rows, or None where those that are kept already are the same. `stem` names the file; `origin` is as in InputRecord."""

    path: Path | None
    stem: str
    origin: Mapping[str, Any] | None = None
    notices: tuple[str, ...] = ()


def keep_rows(loaded: LoadedJob, directory: RunDirectory, options: RunOptions, report: Report) -> LoadedJob:
    """Make the rows of a job, keep them in its run directory, and return the job that reads them; hold the lock.

    With `fresh` an earlier run is moved aside once the rows are made. Raises InputError, SetupError, StorageError.
    """
    record = _record_of(loaded.job.input, directory)
    if options.kept_rows:
        return replace(loaded, job=located(loaded.job, directory, record), origin=record.origin if record else None)
    current = None if options.fresh or record is None else record
    with storage_errors(directory.path), scratch_folder(directory.path, "rows") as folder:
        made = make_rows(loaded.job.input, folder, current, options.rows)
        for notice in made.notices:
            report(notice)
        if made.path is not None and current is not None and _same(made.path, directory.rows_place(current.kept_name)):
            made = replace(made, path=None)
        if options.fresh and made.path is not None:
            _check(loaded.job, made.path)
            report(directory.clear())
        name = current.kept_name if made.path is None and current is not None else None
        if name is None:
            directory.drop_rows(record.kept_name if record is not None and not options.fresh else "")
            name = directory.keep_rows(_existing(made), made.stem)
    job = replace(loaded.job, input=loaded.job.input.kept_in(directory.rows_place(name), folder_of(made.origin)))
    return replace(loaded, job=job, origin=made.origin)


@contextmanager
def rows_for_reading(loaded: LoadedJob, given: Any = None) -> Iterator[LoadedJob]:
    """Make the rows of a job in a temporary folder, for commands that send and write nothing; those of stdin are the kept ones.

    Raises InputError, SetupError, StorageError.
    """
    if not loaded.job.input.is_made:
        yield loaded
        return
    if loaded.job.input.paths == (GIVEN,) and given is None:
        directory = open_run_directory(loaded.job.output.dir)
        yield replace(loaded, job=located(loaded.job, directory, _record_of(loaded.job.input, directory)))
        return
    with TemporaryDirectory(prefix="promptmill-") as folder:
        with storage_errors(Path(folder)):
            made = make_rows(loaded.job.input, Path(folder), None, given)
        job = replace(loaded.job, input=loaded.job.input.kept_in(str(_existing(made)), folder_of(made.origin)))
        yield replace(loaded, job=job, origin=made.origin)


def drop_other_rows(directory: RunDirectory, job: Job) -> None:
    """Remove kept rows that no run needs any more, after run.json names those of `job`; hold the lock. Raises StorageError."""
    file = job.input.paths[0] if job.input.paths else ""
    name = file.partition("?")[0].rpartition("/")[2]
    if file and file == directory.rows_place(name):
        directory.drop_rows(name)


def make_rows(settings: InputSettings, folder: Path, current: InputRecord | None, given: Any) -> MadeRows:
    """Make the rows that `settings` describe in `folder`; `current` are those that are kept already. Raises InputError, OSError."""
    if settings.step is not None:
        return _of_step(step_source(settings), folder, current)
    if settings.sql is not None:
        from batch.readers.query import write_query

        return MadeRows(write_query(settings.sql, settings.paths, settings.format, folder), "query", _here(settings.paths[0]))
    if given is not None:
        from batch.readers.given import write_rows

        return MadeRows(write_rows(given, folder), "given", _here())
    return _of_stdin(settings, folder, current)


def _of_step(source: StepSource, folder: Path, current: InputRecord | None) -> MadeRows:
    before = None if current is None else current.origin
    if before is not None and before.get("of") == source.fingerprint:
        return MadeRows(None, source.stem, before, (described(before),))
    path, origin, notices = source.write(folder)
    return MadeRows(path, source.stem, origin, notices)


def _of_stdin(settings: InputSettings, folder: Path, current: InputRecord | None) -> MadeRows:
    path = folder / f"rows.{'jsonl' if settings.format in ('auto', 'openai-batch') else settings.format}"
    if sys.stdin is not None and not sys.stdin.isatty():
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, _BLOCK)
        # A scheduler gives no stdin when it starts the same command again.
        if path.stat().st_size:
            return MadeRows(path, "stdin", _here())
    if current is None:
        raise InputError('the rows are read from stdin ([input] path = "-"), and nothing came: promptmill run JOB.toml < rows.jsonl')
    return MadeRows(None, "stdin", current.origin, ("the rows are those that were read from stdin when this run began",))


def _record_of(settings: InputSettings, directory: RunDirectory) -> InputRecord | None:
    """Return the record of kept rows, where the run directory has some."""
    if not settings.is_made or not directory.exists:
        return None
    record = directory.manifest.input
    if record is None or not record.kept_name:
        return None
    # The rows of an earlier job of this directory may have been in files elsewhere.
    place = directory.rows_place(record.kept_name)
    with suppress(InputError), open_input(place) as file:
        file.read(1)
        return record
    return None


def _here(file: str | None = None) -> dict[str, str]:
    """Return the origin of rows without a file of their own: files that they name are where the program runs, or beside `file`."""
    return {"folder": str(Path.cwd() if file is None else Path(file).parent)}


def _existing(made: MadeRows) -> Path:
    if made.path is None:
        raise AssertionError("rows that are not kept yet were made")
    return made.path


def _check(job: Job, path: Path) -> None:
    dataset = Dataset(job.input.kept_in(str(path)))
    dataset.check_ids()
    dataset.count()


def _same(made: Path, kept: str) -> bool:
    """Whether two files have the same content."""
    if made.suffix != Path(kept.partition("?")[0]).suffix:
        return False
    with made.open("rb") as mine, open_input(kept) as theirs:
        while (block := mine.read(_BLOCK)) == _read(theirs, len(block) or 1):
            if not block:
                return True
    return False


def _read(file: Any, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the file."""
    parts = []
    while size and (part := bytes(file.read(size))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
