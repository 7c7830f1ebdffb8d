"""Which tasks batches have, and which they have left: a task that a batch has is never submitted again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batch.engine.feed import Copied, Feed, Unsendable
from batch.engine.work import Work
from batch.executors.batch_api.shard_files import ShardFiles, TaskEntry, digest_of
from batch.executors.batch_api.submissions import Submission, Submissions
from batch.journal.keys import KeySet
from batch.records import Task
from batch.settings import Variant

_ADDED_AT_ONCE = 4096


class KnownTasks:
    """The tasks of batches: `open` has those of batches at a provider (8 bytes each), `rest` those that collected batches have left."""

    def __init__(self, files: ShardFiles, submissions: Submissions, variants: Sequence[Variant]) -> None:
        self._files = files
        self._submissions = submissions
        self._slugs = {variant.name: variant.slug for variant in variants}
        self._has_rest = False
        self.open = KeySet()
        self.rest: dict[bytes, TaskEntry] = {}

    def load_rest(self) -> None:
        """Read, once, what collected batches of earlier sessions have left. Raises StorageError, DamagedError."""
        if self._has_rest:
            return
        for _, submission in sorted(self._submissions.all.items()):
            if submission.ended == "collected":
                self.leave(submission, self._files.read_rest(submission.number))
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

    def leave(self, submission: Submission, entries: Iterator[TaskEntry] | Sequence[TaskEntry]) -> None:
        """Note the tasks that a batch has left."""
        for entry in entries:
            self.rest[self._digest(submission, entry)] = entry

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
