"""Write the calls of a graded score as the input of a run of its own, and read the replies from that run's journal.

`scores/judge/NAME/` (of an embedding model: `scores/embedding/NAME/`) is a run directory. Its input is calls.jsonl, a line per call,
which can be made again; the journal beside it cannot.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from batch.errors import StorageError
from batch.evaluation.answers import Answer, by_row
from batch.evaluation.expected import no_row_can_be_judged
from batch.evaluation.grading.pictures import FOLDER, IMAGES, KeptPictures, Pictures
from batch.evaluation.scorers import ExpectedError, scorer_version
from batch.journal.disk import refusal
from batch.journal.index import ResumeIndex
from batch.journal.lines import task_hash
from batch.journal.reading import RecordReader
from batch.journal.segments import segment_paths
from batch.readers import Dataset
from batch.records import Outcome, Row
from batch.rundir.local import RunDirectory
from batch.rundir.opening import address_of, open_run_directory
from batch.settings import InputSettings, ScoreSettings, Variant
from batch.storage import replace_atomically
from batch.writers.values import json_bytes

CALLS_FILE = "calls.jsonl"
_STAMP_FILE = "calls.json"
CARRIED = ("judged_row", "judged")
"""The columns of calls.jsonl beside id and messages: the id of the judged row, and the variants whose answers are judged."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to a model. `id` begins with the row's id and hashes everything that decides the reply.

    Its request is rendered from `columns`. `kept` are the files that these name, which go beside the calls.
    """

    id: str
    columns: Mapping[str, Any]
    kept: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Grader(Protocol):
    """Makes the calls of one score."""

    settings: ScoreSettings

    def calls(self, row: Row, answers: Sequence[Answer]) -> Iterable[tuple[Call, Sequence[str]]]:
        """Yield the calls about a row's answers, each with its variants; a call may come more than once.

        Raises:
            ExpectedError: the row has no right value, so that none of its answers can be scored.
        """


class Identity:
    """Makes the ids of calls to one model. Equal calls about a row share an id; another model or other parameters give other ids."""

    def __init__(self, variant: Variant) -> None:
        # Not the base URL: a server may move, and the embedded one always does.
        embedded = variant.provider.embedded
        sent_to = [variant.provider.name, variant.model, *((embedded.model_path, embedded.chat_template) if embedded else ())]
        self._digest = blake2b(json.dumps([sent_to, dict(variant.parameters)], sort_keys=True).encode(), digest_size=16)

    def call(self, row: Row, column: str, value: Any, pictures: Pictures | None = None) -> Call:
        """Make the call about `row` whose request is rendered from `value`, with the row's pictures."""
        digest = self._digest.copy()
        digest.update(json_bytes(value))
        if pictures is None:
            return Call(f"{row.id} {digest.hexdigest()}", {column: value})
        digest.update(json_bytes(pictures.names))
        return Call(f"{row.id} {digest.hexdigest()}", {column: value, IMAGES: list(pictures.names)}, pictures.kept)


def graded_by(settings: ScoreSettings) -> Variant:
    """Return the model of a graded score."""
    if settings.asked is None:
        raise ValueError(f"score {settings.name} asks no model")
    return settings.asked


def calls_directory(scored: RunDirectory, settings: ScoreSettings) -> RunDirectory:
    """Return the run directory of a score's calls, which is inside the scored run's. Raises StorageError."""
    return open_run_directory(f"{address_of(scored)}/scores/{'judge' if settings.judge is not None else 'embedding'}/{settings.name}")


def write_calls(grader: Grader, answers: Callable[[], Iterable[Answer]], state: str, directory: RunDirectory) -> tuple[str, int]:
    """Update calls.jsonl in a score's own `directory` from the answers, whose hash is `state`; return its address and number of lines.

    Raises:
        InputError: no row can be judged, or the input cannot be read.
        StorageError: the disk refuses.
    """
    folder, place = directory.path, f"{address_of(directory)}/{CALLS_FILE}"
    stamp = {"state": state, "version": scorer_version(grader.settings)}
    known = _stamp(folder / _STAMP_FILE)
    is_there = (folder / CALLS_FILE).exists() and (not known.get("pictures") or (folder / FOLDER).is_dir())
    if {key: known.get(key) for key in stamp} == stamp and is_there:
        return place, int(known["calls"])
    try:
        # A run directory, and as closed to others as those are.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(refusal(error, folder)) from error
    pictures = KeptPictures(directory)
    with replace_atomically(folder / CALLS_FILE) as file:
        calls = 0
        for line in _all_lines(grader, answers(), pictures):
            file.write(json_bytes(line) + b"\n")
            calls += 1
    directory.publish(folder / CALLS_FILE)
    pictures.drop_others()
    # After the calls themselves: a stamp without them would say that they are up to date.
    with replace_atomically(folder / _STAMP_FILE) as file:
        file.write(json.dumps({**stamp, "calls": calls, "pictures": pictures.count}).encode())
    return place, calls


def _all_lines(grader: Grader, answers: Iterable[Answer], pictures: KeptPictures) -> Iterator[dict[str, Any]]:
    left_out: Counter[str] = Counter()
    judged = 0
    columns: list[str] = []
    for row, of_row in by_row(answers):
        columns = columns or list(row.columns)
        try:
            yield from _lines(grader, of_row, pictures)
            judged += 1
        except ExpectedError as error:
            left_out[str(error)] += 1
    if left_out and not judged:
        raise no_row_can_be_judged(grader.settings, left_out.most_common(1)[0][0], columns)


def _lines(grader: Grader, of_row: Sequence[Answer], pictures: KeptPictures) -> list[dict[str, Any]]:
    row = of_row[0].row
    lines: dict[str, dict[str, Any]] = {}
    for call, names in grader.calls(row, of_row):
        pictures.keep(call.kept)
        line = lines.setdefault(call.id, {"id": call.id, "judged_row": row.id, "judged": [], **call.columns})
        line["judged"] += [name for name in names if name not in line["judged"]]
    return list(lines.values())


def _stamp(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def count_open(directory: RunDirectory, settings: ScoreSettings, *, retry_failed: bool) -> int:
    """Count the open calls in a score's own `directory`; with `retry_failed`, failed calls are open too.

    Raises:
        DamagedError: the journal of the calls is not as it was written.
    """
    index = ResumeIndex.load(_journal(directory, settings))
    open_calls = 0
    for rows in Dataset(InputSettings(paths=(str(directory.path / CALLS_FILE),), id="id")).batches():
        entries = index.lookup([_task(row.id) for row in rows])
        open_calls += sum(entry is None or (retry_failed and not entry.ok) for entry in entries)
    return open_calls


def calls_state(state: str, directory: RunDirectory, settings: ScoreSettings) -> str:
    """Hash the state of the scored run (`state`) and of the calls' journal."""
    paths = segment_paths(_journal(directory, settings))
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return blake2b(json.dumps([state, stamps]).encode(), digest_size=16).hexdigest()


class CallOutcomes:
    """The outcomes of a score's calls, by id.

    Raises:
        DamagedError: the journal of the calls is not as it was written.
    """

    def __init__(self, directory: RunDirectory, settings: ScoreSettings) -> None:
        self._index = ResumeIndex.load(_journal(directory, settings))
        self._reader = RecordReader(self._index.segments)

    def read(self, ids: Sequence[str]) -> list[Outcome | None]:
        """Return the newest outcome of each call; None for calls not made yet."""
        return self._reader.read(self._index.locate([_task(each) for each in ids]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._reader.close()


def _journal(directory: RunDirectory, settings: ScoreSettings) -> Path:
    return directory.journal_dir(graded_by(settings).slug)


def _task(call_id: str) -> int:
    return task_hash(call_id, 0, 0)
