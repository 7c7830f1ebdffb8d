"""What a run has submitted: the events of its ledger, folded into one state for each batch."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal

import anyio
import anyio.to_thread

from batch.journal.ledger import ENDINGS, Ledger

EventName = Literal["intent", "uploaded", "created", "seen", "cancelled", "collected", "released"]


@dataclass(slots=True)
class Submission:
    """One batch. `number` names its files; `slug` is its variant's, `endpoint` that of its provider.

    `intent_at` is set before anything is sent, `file_id` when its file is uploaded, `batch_id` when the provider has named the batch.
    `ended`: "collected" when all its answers are in the journal, "released" when it was never carried out, so that its rows are free again.
    Times are seconds since the epoch.
    """

    number: int
    slug: str = ""
    variant: str = ""
    endpoint: str = ""
    api: str = "chat/completions"
    model: str = ""
    requests: int = 0
    bytes: int = 0
    digest: str = ""
    reserved_usd: float = 0.0
    intent_at: float | None = None
    file_id: str | None = None
    batch_id: str | None = None
    created_at: float | None = None
    word: str = ""
    completed: int = 0
    cancelled_at: float | None = None
    ended: str | None = None
    why: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something of it may be at the provider, and is not collected."""
        return self.intent_at is not None and self.ended is None

    @property
    def is_named(self) -> bool:
        """Whether the provider has named the batch."""
        return self.batch_id is not None


_FIELDS = {field.name for field in fields(Submission)} - {"number"}


class Submissions:
    """The submissions of a run by number, and its `token`, which is part of all names that the provider sees."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.all: dict[int, Submission] = {}
        self.token = ""
        for event in ledger.events:
            self._apply(event)
        if not self.token:
            self.token = secrets.token_hex(4)
            ledger.append({"event": "run", "token": self.token})
        self._next = max(self.all, default=0) + 1

    def take_number(self) -> int:
        """Return the next number; it is used up only when an intent is recorded."""
        self._next += 1
        return self._next - 1

    def open(self) -> Iterator[Submission]:
        """Iterate over what may be at a provider."""
        return iter([each for each in self.all.values() if each.is_open])

    async def record(self, event: EventName, submission: Submission, **changes: Any) -> None:
        """Record a step durably, then apply it. Raises StorageError; the step has not happened then."""
        # A step that was taken is recorded also where the session is being stopped.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(self._record, event, submission, changes))

    def _record(self, event: EventName, submission: Submission, changes: dict[str, Any]) -> None:
        document = {"event": event, "shard": submission.number, **changes}
        if event == "intent":
            document = {**document, **{name: getattr(submission, name) for name in _IN_INTENT}}
        self._ledger.append(document)
        self.all[submission.number] = submission
        _change(submission, document)

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def _apply(self, event: dict[str, Any]) -> None:
        if event.get("event") == "run":
            self.token = str(event["token"])
            return
        number = int(event["shard"])
        _change(self.all.setdefault(number, Submission(number)), event)


_IN_INTENT = ("slug", "variant", "endpoint", "api", "model", "requests", "bytes", "digest", "reserved_usd")


def _change(submission: Submission, event: dict[str, Any]) -> None:
    for name, value in event.items():
        if name in _FIELDS:
            setattr(submission, name, value)
    if event["event"] in ENDINGS:
        submission.ended = event["event"]
