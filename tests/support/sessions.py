"""One session of a run in this process, and what must hold after every session however it ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import orjson

from batch import app
from batch.events import Event, Notice
from batch.job import load
from batch.journal.lines import decode
from batch.tally import Tally
from tests.support.jobs import JobFolder
from tests.support.scripted import ScriptedEndpoint


@dataclasses.dataclass
class Session:
    """How a session ended: the report, and the notices in their order."""

    report: app.RunReport
    notices: list[str] = dataclasses.field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The command's exit code."""
        return self.report.exit_code

    @property
    def reason(self) -> str:
        """Why it ended early; empty when it did not."""
        return self.report.reason or ""

    @property
    def tally(self) -> Tally:
        """The counts of the only variant."""
        (tally,) = self.report.tallies.values()
        return tally


class _Listener:
    def __init__(self, notices: list[str]) -> None:
        self.notices = notices

    def notify(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.notices.append(event.text)


def run_here(folder: JobFolder, *overrides: str, retry_failed: bool = False, notices: list[str] | None = None) -> Session:
    """Run the folder's job in this process, and check what must hold after every session. What is said is in `notices` at once."""
    listener = _Listener([] if notices is None else notices)
    loaded = load(str(folder.job), [f"output.dir={folder.directory}", *overrides], {})
    report = app.run(loaded, app.RunOptions(retry_failed=retry_failed), [listener])
    check_accounts(folder, report)
    return Session(report, listener.notices)


def check_accounts(folder: JobFolder, report: app.RunReport | None = None) -> None:
    """Promises 1 and 3: every record of the journals is whole, no task has two, and the counts of the session and of `status` add up."""
    records = whole_records(folder.directory)
    assert len({(record.ordinal, record.repeat) for record in records if record.ok}) == sum(record.ok for record in records)
    for variant in app.status(folder.directory).variants:
        assert variant.total == len(folder.rows)
        assert variant.total == variant.ok + variant.failed + (variant.not_attempted or 0)
        if report is not None:
            tally = report.tallies[variant.name]
            assert tally.total == len(folder.rows)
            assert (variant.ok, variant.failed) == (tally.kept_ok + tally.ok, tally.kept_failed + tally.failed)
            assert variant.not_attempted == tally.not_attempted
            assert tally.in_flight == 0
            assert tally.durable == tally.ok + tally.failed


def whole_records(directory: Path):
    """The decoded records of all journals; raises when one is torn or damaged."""
    return [decode(line) for path in sorted(directory.glob("journal/*/*.jsonl")) for line in path.read_bytes().splitlines(keepends=True)]


def rows_sent(endpoint: ScriptedEndpoint) -> int:
    """How many requests with a row came, preflights not counted."""
    return sum(1 for received in endpoint.requests if received.body)


def status_json(folder: JobFolder) -> list[dict[str, object]]:
    """The variants as `promptmill status --json` tells them."""
    shown = folder.call("status", str(folder.directory), "--json")
    assert shown.returncode == 0, shown.stderr
    document: dict[str, list[dict[str, object]]] = orjson.loads(shown.stdout)
    return document["variants"]


def texts_of(paths: Sequence[Path]) -> bytes:
    """All bytes of these files."""
    return b"\n".join(path.read_bytes() for path in paths)
