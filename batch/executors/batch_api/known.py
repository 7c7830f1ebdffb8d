"""Which tasks batches have, and which they have left: a task that a batch has is never submitted again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from batch.engine.feed import Copied, Feed, Unsendable
from batch.engine.work import Work
from batch.executors.batch_api.shard_files import ShardFiles, TaskEntry, digest_of
from batch.executors.batch_api.submissions import Submission, Submissions
from batch.journal.index import ResumeIndex
from batch.journal.keys import KeySet
from batch.journal.lines import task_hash
from batch.records import Task
from batch.settings import Variant

_ADDED_AT_ONCE = 4096


def settled(index: ResumeIndex | None, entries: Sequence[TaskEntry]) -> list[bool]:
    """Return for each task whether the journal has its outcome; a failure that is sent once more is none until it is answered."""
    if index is None or not len(index):
        return [False] * len(entries)
    found = index.lookup([task_hash(entry.id, entry.ordinal, entry.repeat) for entry in entries])
    return [
        known is not None and known.key == entry.key[:8] and (known.ok or entry.previous is None)
        for entry, known in zip(entries, found, strict=True)
    ]


class KnownTasks:
    """The tasks of batches: `open` has those of batches at a provider (8 bytes each), `rest` those that collected batches have left.

    `undone` are those of the rest that this session has met: in a batch that it has collected, or in the input. `indexes` are the journals
    as the session found them.
    """

    def __init__(
        self, files: ShardFiles, submissions: Submissions, variants: Sequence[Variant], indexes: Mapping[str, ResumeIndex]
    ) -> None:
        self._files = files
        self._submissions = submissions
        self._indexes = indexes
        self._slugs = {variant.name: variant.slug for variant in variants}
        self._has_rest = False
        self.open = KeySet()
        self.rest: dict[bytes, TaskEntry] = {}
        self.undone: set[bytes] = set()

    def load_rest(self) -> None:
        """Read, once, what collected batches of earlier sessions have left. Raises StorageError, DamagedError."""
        if self._has_rest:
            return
        for _, submission in sorted(self._submissions.all.items()):
            if submission.ended == "collected":
                self._read_rest(submission)
        self._has_rest = True

    def load(self) -> None:
        """Read what earlier sessions have submitted. Raises StorageError, DamagedError."""
        self.load_rest()
        for submission in self._submissions.open():
            digests: list[bytes] = []
            for entry in self._files.entries(self._files.tasks(submission.number)):
                digests.append(self._digest(submission, entry))
                # What an earlier batch has left is in this one.
                self.rest.pop(digests[-1], None)
            for start in range(0, len(digests), _ADDED_AT_ONCE):
                self.open.add(digests[start : start + _ADDED_AT_ONCE])

    def _read_rest(self, submission: Submission) -> None:
        index, entries = self._indexes.get(submission.variant), self._files.read_rest(submission.number)
        while portion := list(islice(entries, _ADDED_AT_ONCE)):
            for entry, has_outcome in zip(portion, settled(index, portion), strict=True):
                # What the next batch, or a live session, has answered since is in the file still.
                if not has_outcome:
                    self.rest[self._digest(submission, entry)] = entry

    def leave(self, submission: Submission, entries: Sequence[TaskEntry]) -> None:
        """Note the tasks that a batch of this session has left."""
        for entry in entries:
            self._leave(self._digest(submission, entry), entry)

    def leave_work(self, work: Work) -> None:
        """Note work that no batch can have."""
        self._leave(self.digest(work), TaskEntry.of(work))

    def _leave(self, digest: bytes, entry: TaskEntry) -> None:
        self.rest[digest] = entry
        self.undone.add(digest)

    def take(self, digest: bytes) -> TaskEntry:
        """Take a task out of the rest: a batch gets it."""
        self.undone.discard(digest)
        return self.rest.pop(digest)

    def clear(self) -> None:
        """Forget the rest: it has been sent."""
        self.rest.clear()
        self.undone.clear()

    def digest(self, work: Work) -> bytes:
        """Name work as batches name their tasks."""
        task = work.task
        return digest_of(self._slugs[task.variant], task.id, task.repeat, task.request.key)

    def left(self, digest: bytes, work: Work) -> TaskEntry | None:
        """Return what a batch has left of this work; None where no batch has, or its task has failed since and is sent once more."""
        entry = self.rest.get(digest)
        return entry if entry is not None and entry.previous == work.previous else None

    @property
    def pending_usd(self) -> float:
        """US dollars that tasks have cost which have no outcome yet."""
        return sum(float(entry.state.get(name, 0.0)) for entry in self.rest.values() for name in ("cost_usd", "extra_usd"))

    def _digest(self, submission: Submission, entry: TaskEntry) -> bytes:
        return digest_of(submission.slug, entry.id, entry.repeat, entry.key)


class RestSource:
    """The work that batches have left, as the source of a live session; `feed` yields all that is unfinished."""

    def __init__(self, feed: Feed, known: KnownTasks) -> None:
        self._feed = feed
        self._known = known

    def answered(self) -> Sequence[Task]:
        """Return tasks that earlier sessions answered."""
        return self._feed.answered()

    def batches(self) -> Iterator[Sequence[Work | Unsendable | Copied]]:
        """Yield the work, with what its earlier attempts have left."""
        for portion in self._feed.batches():
            yield [work for item in portion if isinstance(item, Work) and (work := self._restored(item)) is not None]

    def _restored(self, work: Work) -> Work | None:
        entry = self._known.left(self._known.digest(work), work)
        return None if entry is None else entry.restored(work)
