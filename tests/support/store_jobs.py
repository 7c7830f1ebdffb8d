"""Small jobs whose run directory is on an object store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from batch import app
from batch.events import Event, Notice
from batch.job import load
from batch.journal.lines import decode
from tests.support.jobs import JobFolder
from tests.support.s3 import S3Server
from tests.support.scripted import Action, Received, ScriptedEndpoint
from tests.support.scripts import after

CONCURRENCY = 8
FLUSH_S = 0.3
slow = after(0.05)


class Notices:
    """Keeps the texts of a run's notices."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def notify(self, event: Event) -> None:
        """A run's event."""
        if isinstance(event, Notice):
            self._texts.append(event.text)


class StoreJob(JobFolder):
    """A job whose run directory is `run` in a bucket; `options` stand behind its address."""

    def __init__(self, path: Path, url: str, s3: S3Server, *, options: str = "", **settings) -> None:
        self.s3 = s3
        self.bucket = s3.bucket()
        self.at = f"{self.bucket}/run"
        self.address = f"s3://{self.at}{options}"
        super().__init__(path, url, **{"concurrency": CONCURRENCY, "flush_interval_s": FLUSH_S, **settings})
        self.job.write_text(self.job.read_text().replace('"runs/test"', f'"{self.address}"'))

    def here(self, *overrides: str, fresh: bool = False, notices: list[str] | None = None) -> app.RunReport:
        """Run the job in this process; its notices come into the list."""
        observers = [] if notices is None else [Notices(notices)]
        return app.run(load(self.job, list(overrides), {}), app.RunOptions(fresh=fresh), observers)

    def segments(self) -> list[str]:
        """The journal's objects, in the order of their names."""
        return [name for name in self.s3.names(self.at) if name.startswith("journal/") and name.endswith(".jsonl")]

    def records(self) -> list:
        """All records of the journal."""
        return [decode(line) for name in self.segments() for line in self.s3.get(f"{self.at}/{name}").splitlines()]

    def recorded(self) -> set[str]:
        """The ids of the rows that have a record."""
        return {record.id for record in self.records()}

    def run_until_robbed(self, endpoint: ScriptedEndpoint, **more: bool) -> None:
        """Run here until another runner takes the lock, after 30 requests: exit 5, which names that runner. `more` goes into its lock."""

        def intrude(received: Received) -> Iterable[Action]:
            if len(endpoint.requests) == 30:
                lock = {"token": "x", "pid": 7, "host": "far", "started": "today", **more}
                self.s3.put(f"{self.at}/run.lock", json.dumps(lock).encode())
            return slow(received)

        endpoint.handler = intrude
        stopped = self.here()
        assert stopped.exit_code == 5
        assert "run.lock was taken by pid 7 on host far since today" in (stopped.reason or "")
        assert len(endpoint.requests) < len(self.rows)
