"""What a whole run leaves as outputs: from inputs that change, directories that are used twice, and columns of any kind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.storage import replace_atomically
from tests.support.jobs import JobFolder, ids
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer
from tests.support.scripts import for_rows, wait_for_line

ROWS = 40


def replaced(path: Path) -> None:
    """Another file under the same name, whose rows have the same ids."""
    other = path.with_suffix(".new")
    other.write_text("".join(json.dumps({"id": f"r{n}", "text": f"other {n}"}) + "\n" for n in range(ROWS)))
    other.replace(path)


def edited(path: Path) -> None:
    """As many bytes at the same time of modification."""
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"question", b"Question"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncated(path: Path) -> None:
    """The first half of the lines."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: ROWS // 2]))


def reordered(path: Path) -> None:
    """The same rows from the last to the first."""
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))


def when_all_came(folder: list[JobFolder], change: Callable[[Path], None]) -> Callable[[Received], Iterable[Action]]:
    """Answer each row; the input is changed before the last one is answered, when all have been read."""
    seen: list[str] = []

    def handler(received: Received) -> Iterable[Action]:
        seen.append(received.prompt)
        if len(seen) == ROWS:
            change(folder[0].path / "rows.jsonl")
        return answer(received)

    return for_rows(handler)


def run_while(tmp_path: Path, change: Callable[[Path], None], *, by_id: bool = True) -> JobFolder:
    """A job whose input is changed in mid-run; its result is in `ended`."""
    folders: list[JobFolder] = []
    with ScriptedEndpoint(when_all_came(folders, change)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=ROWS, concurrency=4)
        if not by_id:
            folder.job.write_text(folder.job.read_text().replace('id = "id"\n', "", 1))
        folders.append(folder)
        folder.ended = folder.call()  # type: ignore[attr-defined]
    return folder


@pytest.mark.parametrize("change", [replaced, edited, truncated])
def test_an_input_that_changes_in_mid_run_is_never_a_success(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """No answer is put beside another row's columns: exit 5 with the way out, no outputs, and a journal that has every answer (R1)."""
    folder = run_while(tmp_path, change)

    assert folder.ended.returncode == 5, folder.ended.stderr  # type: ignore[attr-defined]
    assert "changed since the rows were sent" in folder.ended.stderr  # type: ignore[attr-defined]
    assert "promptmill export" in folder.ended.stderr  # type: ignore[attr-defined]
    assert not (folder.directory / "completions.jsonl").exists()
    assert len(folder.journal()) == ROWS
    verified = folder.call("verify", str(folder.directory))
    assert verified.returncode != 0
    assert "changed since the rows were sent" in verified.stdout


def test_rows_without_ids_are_not_taken_for_others(tmp_path: Path) -> None:
    """Rows that go by their place are compared with what was sent when they stand elsewhere (R1)."""
    folder = run_while(tmp_path, reordered, by_id=False)

    assert folder.ended.returncode == 5, folder.ended.stderr  # type: ignore[attr-defined]
    assert f"of {ROWS} outcomes are of rows that read otherwise now" in folder.ended.stderr  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change", [Path.touch, reordered, lambda path: path.write_text(path.read_text() + '{"id": "more", "text": "m"}\n')]
)
def test_a_change_that_touches_no_row_is_no_fault(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """A file that is touched, sorted (rows have ids) or grows leaves every answer beside its own row (R1)."""
    folder = run_while(tmp_path, change)

    assert folder.ended.returncode == 0, folder.ended.stderr  # type: ignore[attr-defined]
    assert {line["completion"] for line in folder.completions()} == {f"answer to question {n}" for n in range(ROWS)}
    assert all(line["completion"] == f"answer to {line['text']}" for line in folder.completions())


def test_outputs_come_with_the_input_that_was_sent(tmp_path: Path) -> None:
    """The command that the message names derives the outputs, when the input is back (R1)."""
    folder = run_while(tmp_path, replaced)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in folder.rows))

    exported = folder.call("export", str(folder.directory), "--format", "jsonl")

    assert exported.returncode == 0, exported.stderr
    assert ids(folder.completions()) == [row["id"] for row in folder.rows]


def test_a_limit_bounds_what_is_sent_and_not_what_is_written(tmp_path: Path) -> None:
    """After a run with --limit the outputs still have every row with an outcome, and verify agrees; more is sent only without it."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=20)
        assert folder.call("run", "test.toml", "--limit", "12").returncode == 0
        limited = folder.call("run", "test.toml", "--limit", "5")
        verified = folder.call("verify", str(folder.directory))
        count = len(endpoint.counts())

    assert limited.returncode == 0, limited.stderr
    assert ids(folder.completions()) == [f"r{n}" for n in range(12)]
    assert count == 12
    assert verified.returncode == 0, verified.stdout


def test_fresh_looks_at_the_input_first(tmp_path: Path) -> None:
    """Paid-for results stay where they are when the input of a fresh run cannot be read, or has an id twice."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3)
        assert folder.call().returncode == 0
        rows = (tmp_path / "rows.jsonl").read_text()
        for text in (None, rows + rows):
            (tmp_path / "rows.jsonl").unlink(missing_ok=True)
            if text is not None:
                (tmp_path / "rows.jsonl").write_text(text)
            refused = folder.call("run", "test.toml", "--fresh")
            assert refused.returncode == 2, refused.stderr
            assert ids(folder.completions()) == ["r0", "r1", "r2"]
            assert not (folder.directory / "old").exists()


def test_a_directory_of_another_job_is_named(tmp_path: Path) -> None:
    """A job that is run into the directory of another one says whose rows its outputs will be without, before it sends anything."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3)
        assert folder.call().returncode == 0
        folder.write(model="house/another-model", preflight=False)
        folder.job.rename(tmp_path / "second.toml")
        ended = folder.call("run", "second.toml")

    assert ended.returncode == 0, ended.stderr
    assert "was begun by another job, 'test' with house/test-model" in ended.stderr
    assert ended.stderr.index("was begun by") < ended.stderr.index("all rows done")


def test_columns_that_drift_between_files_are_settled_before_anything_is_sent(tmp_path: Path) -> None:
    """What Parquet cannot store as it is gets said first; every reader opens the file, and other columns keep their types (fault 71)."""
    words = pa.array(["a", "b"]).dictionary_encode()
    for number, mixed in enumerate((pa.array([1, 2]), pa.array(["x", None]))):
        stamps = pa.array([number, None], pa.timestamp("ns", "Europe/Berlin"))
        table = pa.table({"id": [f"{number}a", f"{number}b"], "text": ["q", "r"], "word": words, "mixed": mixed, "at": stamps})
        pq.write_table(table, tmp_path / f"part-{number}.parquet")
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url)
        job = (
            folder.job.read_text()
            .replace("rows.jsonl", "part-*.parquet")
            .replace('["text"]', '["word", "mixed", "at"]\nformat = "parquet"')
        )
        folder.job.write_text(job)
        ended = folder.call()
        verified = folder.call("verify", str(folder.directory))

    assert ended.returncode == 0, ended.stderr
    assert "output.columns 'mixed': Parquet cannot store its types in one column: it is written as JSON text" in ended.stderr
    table = pq.read_table(folder.directory / "completions.parquet")
    assert [table.schema.field(name).type for name in ("word", "mixed", "at")] == [
        pa.string(), pa.string(), pa.timestamp("ns", "Europe/Berlin")
    ]  # fmt: skip
    assert table["mixed"].to_pylist() == ["1", "2", '"x"', None]
    assert table["word"].to_pylist() == ["a", "b"] * 2
    assert table["at"].cast(pa.int64()).to_pylist() == [0, None, 1, None]
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_outputs_are_written_is_an_interruption(tmp_path: Path, number: signal.Signals) -> None:
    """Exit 130, no half-written file, and the same command writes the outputs without sending anything again (R13)."""
    slow = (
        "import sys, time; import batch.writers.jsonl as jsonl; from batch.cli import main; real = jsonl.JsonLines.close\n"
        "def close(self):\n    print('writing', file=sys.stderr, flush=True)\n    time.sleep(600)\n    real(self)\n"
        "jsonl.JsonLines.close = close; sys.exit(main())"
    )
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5)
        process = subprocess.Popen(
            [sys.executable, "-c", slow, "run", "test.toml"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        wait_for_line("writing", process)
        process.send_signal(number)
        _, err = process.communicate()
        assert process.returncode == 130, err
        assert not [*folder.directory.glob("completions*"), *folder.directory.glob(".completions*")]
        assert folder.call().returncode == 0
        assert sum(endpoint.counts().values()) == 5
    assert len(folder.completions()) == 5


def test_a_link_in_a_shared_directory_is_not_followed(tmp_path: Path) -> None:
    """A link under the name of the file to be written does not lead to another file (R13)."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    target = tmp_path / "completions.jsonl"
    target.with_name(f".{target.name}.{socket.gethostname()}-{os.getpid()}.tmp").symlink_to(victim)

    with replace_atomically(target) as file:
        file.write(b"x")

    assert victim.read_text() == "precious"
    assert target.read_bytes() == b"x"
    assert not target.is_symlink()
