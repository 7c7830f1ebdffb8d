"""Runs in which promptmill itself has a bug: the row that meets it fails by name, and the report of it holds no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch import app
from batch.engine import recorder, worker_pool
from batch.errors import describe_bug
from batch.events import Event, UnexpectedError
from batch.job import load
from batch.journal.lines import encode
from batch.policy import verdicts
from batch.providers import replies
from batch.records import Exchange, Outcome
from batch.transport import attempt
from tests.support.jobs import JobFolder, run_here
from tests.support.scripted import ScriptedEndpoint


class Bugs:
    """Collects the reports of bugs."""

    def __init__(self) -> None:
        self.seen: list[UnexpectedError] = []

    def notify(self, event: Event) -> None:
        """Take note of `event`."""
        if isinstance(event, UnexpectedError):
            self.seen.append(event)


@pytest.mark.parametrize("step", ["reading", "judging"])
def test_an_exception_that_nobody_expected_fails_its_own_row(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 61: a bug met with one reply fails that row by name, is reported with its place and without data, and the run ends with 1."""

    def read(api: Any, body: bytes) -> Any:
        if b"question 3" in body:
            raise ZeroDivisionError("a secret of row 3")
        return replies.read_reply(api, body)

    def judge(exchange: Exchange, now_wall: float) -> verdicts.Verdict:
        if b"question 3" in exchange.body:
            raise ZeroDivisionError("a secret of row 3")
        return verdicts.judge(exchange, now_wall)

    if step == "reading":
        monkeypatch.setattr(attempt, "read_reply", read)
    else:
        monkeypatch.setattr(worker_pool, "judge", judge)
    bugs = Bugs()
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=8)
        report = app.run(load(str(folder.job), [f"output.dir={folder.directory}"], {}), app.RunOptions(), [bugs])
    assert report.exit_code == 1
    (failed,) = folder.errors()
    assert (failed["id"], failed["error"]["kind"], failed["error"]["code"]) == ("r3", "protocol", "unexpected")
    assert "ZeroDivisionError" in failed["error"]["message"]
    assert len(folder.completions()) == 7
    assert bugs.seen
    for bug in bugs.seen:
        assert bug.traceback.startswith("builtins.ZeroDivisionError")
        assert "tests/faults/test_bugs.py" in bug.traceback
        assert "secret" not in bug.where + bug.traceback


def test_an_outcome_that_cannot_be_written_fails_its_own_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 61: an answer that meets a bug as it is journaled becomes a failure by name; those that are written with it are kept."""

    def write(outcome: Outcome, *, is_json: bool = False) -> bytes:
        if outcome.ok and outcome.ordinal == 3:
            raise ZeroDivisionError
        return encode(outcome, is_json=is_json)

    monkeypatch.setattr(recorder, "encode", write)
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=8)
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.failures) == (1, 7, {"unexpected": 1})
    assert [line["id"] for line in folder.errors()] == ["r3"]


def test_a_bug_is_described_without_its_message() -> None:
    """Promise 12: the report of a bug has classes and places of all causes, and no message: those can quote rows and keys."""

    def fail() -> None:
        try:
            int("row 7 has sk-canary")
        except ValueError as cause:
            raise KeyError("sk-canary") from cause

    with pytest.raises(KeyError) as caught:
        fail()
    text = describe_bug(caught.value)
    assert "canary" not in text
    assert text.index("builtins.KeyError") < text.index("builtins.ValueError")
    assert "test_bugs.py" in text
