"""Failed attempts beside the journal: bounded, readable after a kill, and never in the way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from batch.journal.attempts import FailedAttempt, decode_attempt, encode_attempt, read_attempts
from batch.journal.rolling import RollingFile, older
from batch.journal.watching import PoolSample, WatchFiles, read_live, read_samples


def attempt(row: int, **more: object) -> FailedAttempt:
    """A failed attempt of a row."""
    facts = {"time": 1.7e9 + row, "variant": "m", "row": row, "id": f"r{row}", "repeat": 0, "number": 1, "endpoint": "house"}
    refusal = {"status": 500, "kind": "api", "code": "server_error", "message": "no", "took_s": 0.5, "then": "retried"}
    return FailedAttempt(**{**facts, **refusal, **more})  # type: ignore[arg-type]


def test_an_attempt_comes_back_as_it_was() -> None:
    """Also with text that is not valid Unicode."""
    for one in (attempt(3), attempt(4, id="\ud800", answer="a\nb\x1b[31m", request_id="req-1", wait_s=2.5)):
        assert decode_attempt(encode_attempt(one)) == one


def test_a_record_is_bounded() -> None:
    """An answer of megabytes takes a few kilobytes, and so does a message or an id."""
    one = attempt(1, answer="x" * 5_000_000, message="y" * 5_000_000, id="z" * 5_000_000)
    assert len(encode_attempt(one.bounded())) < 12_000


def test_all_attempts_together_are_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    """However many fail, the file and its older half stay below their bytes; the last attempt is there."""
    path = tmp_path / "watch" / "main-0.attempts.jsonl"
    file = RollingFile(path, 20_000)
    for row in range(1000):
        file.add(encode_attempt(attempt(row)))
    file.close()
    assert path.stat().st_size + older(path).stat().st_size <= 20_000
    rows = [each.row for each in read_attempts(path.parent)]
    assert rows == list(range(rows[0], 1000))
    assert len(rows) > 30


def test_what_a_killed_writer_left_costs_its_last_line_only(tmp_path: Path) -> None:
    """A torn line is skipped, and the next session's lines are whole."""
    path = tmp_path / "main-0.attempts.jsonl"
    path.write_bytes(encode_attempt(attempt(1)) + b"\n" + encode_attempt(attempt(2))[:40])
    file = RollingFile(path, 100_000)
    file.add(encode_attempt(attempt(3)))
    file.close()
    assert [each.row for each in read_attempts(tmp_path)] == [1, 3]
    assert [each.row for each in read_attempts(tmp_path, row=3)] == [3]


def test_a_file_that_is_gone_since_it_was_listed_has_no_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It became the older half meanwhile: what the others have is read."""
    (tmp_path / "main-1.attempts.jsonl").write_bytes(encode_attempt(attempt(1)) + b"\n")
    listed = Path.glob
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [*listed(folder, pattern), folder / "main-0.attempts.jsonl"])
    assert [each.row for each in read_attempts(tmp_path)] == [1]


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Refused answers are as private as answers."""
    files = WatchFiles(tmp_path / "watch", "main-0", 1 << 20, lambda _: None)
    files.add_attempt(attempt(1))
    files.add_sample(PoolSample(1.0, 2, 3, 4, {"rate": 0.5}))
    files.write_live({"time": 1.0})
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "watch").iterdir()}
    assert set(modes.values()) == {0o600}
    assert read_live(tmp_path / "watch")[0]["time"] == 1.0
    assert list(read_samples(tmp_path / "watch")) == [("main-0", PoolSample(1.0, 2, 3, 4, {"rate": 0.5}))]
    files.close()
    assert read_live(tmp_path / "watch") == []


def test_a_state_of_a_killed_process_is_none(tmp_path: Path) -> None:
    """What a killed runner had in flight is not shown as in flight; that of a runner on another machine is."""
    program = subprocess.Popen(["true"])
    program.wait()
    for name, more in (("main-0", {"pid": program.pid}), ("main-1", {"host": "another", "pid": program.pid})):
        WatchFiles(tmp_path / "watch", name, 1 << 20, lambda _: None).write_live({"time": 1.0, **more})
    assert [state["host"] for state in read_live(tmp_path / "watch")] == ["another"]


def test_a_disk_that_refuses_is_reported_once(tmp_path: Path) -> None:
    """The run hears one sentence, and nothing is raised."""
    (tmp_path / "watch").write_text("a file where the folder should be")
    said: list[str] = []
    files = WatchFiles(tmp_path / "watch", "main-0", 1 << 20, said.append)
    for _ in range(3):
        files.add_attempt(attempt(1))
        files.add_sample(PoolSample(1.0, 2, 3, 4))
        files.write_live({})
    files.close()
    assert len(said) == 1
    assert "the run continues without" in said[0]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in the place of a file leads nowhere."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "watch" / "main-0.samples.jsonl").symlink_to(tmp_path / "elsewhere")
    said: list[str] = []
    WatchFiles(tmp_path / "watch", "main-0", 1 << 20, said.append).add_sample(PoolSample(1.0, 2, 3, 4))
    assert said
    assert os.path.getsize(tmp_path / "elsewhere") == 0  # noqa: PTH202


def test_a_run_directory_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    """What is kept for watching never brings a removed run directory back."""
    files = WatchFiles(tmp_path / "run" / "watch", "main-0", 1 << 20, lambda _: None)
    files.write_live({})
    assert not (tmp_path / "run").exists()
