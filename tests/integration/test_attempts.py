"""The attempts of a run that failed, as its run directory keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from batch.journal.attempts import FailedAttempt, read_attempts
from batch.journal.watching import read_live, read_samples
from tests.support.jobs import JobFolder, run_here
from tests.support.scripted import Action, Handler, Received, ScriptedEndpoint, answer, chat_reply, error
from tests.support.scripts import Tries, for_rows

KEY = "sk-a-secret-key-of-the-test"


def kept(folder: JobFolder) -> list[FailedAttempt]:
    """The attempts that the run directory has."""
    return read_attempts(folder.directory / "watch")


def failing_twice() -> Handler:
    """Each prompt fails twice, with the key in the endpoint's words, before it is answered."""
    tries = Tries()

    def handler(received: Received) -> Iterable[Action]:
        if tries.of(received) < 3:
            headers = {"x-request-id": f"req-{received.number}", "retry-after": "0.01"}
            return [error(503, f"no room for {received.headers.get('authorization')}", headers)]
        return answer(received)

    return for_rows(handler)


@pytest.mark.parametrize("processes", [1, 2])
def test_each_failed_attempt_is_kept_with_what_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    """Time, endpoint, status, wait, request id and answer of every attempt, without the key, with one process and with several."""
    monkeypatch.setenv("TEST_KEY", KEY)
    with ScriptedEndpoint(failing_twice()) as endpoint:
        folder = JobFolder(
            tmp_path, endpoint.url, rows=6, concurrency=2, attempts=9, processes=processes, provider='api_key_env = "TEST_KEY"'
        )
        session = run_here(folder)
    assert session.exit_code == 0
    attempts = kept(folder)
    assert sorted((each.row, each.number) for each in attempts) == [(row, number) for row in range(6) for number in (1, 2)]
    for each in attempts:
        assert (each.status, each.then, each.endpoint) == (503, "retried", "house")
        assert each.request_id is not None
        assert each.wait_s is not None
        assert each.asked_wait_s == pytest.approx(0.01)
        assert "[redacted]" in each.message
    assert KEY not in "".join(path.read_text() for path in (folder.directory / "watch").iterdir())
    assert read_live(folder.directory / "watch") == []
    assert list(read_samples(folder.directory / "watch"))


def test_the_refused_answer_is_kept(tmp_path: Path) -> None:
    """An answer that does not fit the schema was paid for: what it said can be read afterwards, for each attempt."""
    with ScriptedEndpoint(for_rows(lambda received: [chat_reply("not what was asked for")])) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=1)
        (tmp_path / "schema.json").write_text('{"type": "object", "required": ["label"]}')
        folder.job.write_text(folder.job.read_text().replace("[prompt]", '[prompt]\nschema = "schema.json"', 1))
        run_here(folder, "run.repair=1")
    attempts = kept(folder)
    assert [each.answer for each in attempts] == ["not what was asked for"] * len(attempts)
    assert attempts[-1].then == "failed"


def test_a_run_continues_where_attempts_cannot_be_kept(tmp_path: Path) -> None:
    """A file in the folder's place costs what is kept for watching, said once, and no row."""
    with ScriptedEndpoint(failing_twice()) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=6, attempts=9)
        folder.directory.mkdir(parents=True)
        (folder.directory / "watch").write_text("in the way")
        notices: list[str] = []
        session = run_here(folder, notices=notices)
    assert session.exit_code == 0
    assert len([notice for notice in notices if "the run continues without" in notice]) == 1
