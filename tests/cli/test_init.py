"""promptmill init: a first job from a file's columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from batch.cli.exits import ExitCode
from batch.cli.group import promptmill
from batch.job import load

FILES = {
    "plain.csv": "id,question,city\n1,Where?,Rome\n2,Who?,Bonn\n",
    "odd names.csv": 'ticket id,not,usage,größe,Body text\n1,a,b,c,"a ""word"" here"\n2,d,e,f,long text is here\n',
    "quotes.csv": '"a""b"\nx\ny\n',
    "templates.csv": 'text\n"{{ x }}"\n',
    "keyword.jsonl": '{"not": "abc"}\n',
    "doubled.jsonl": '{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}\n',
    "chats.jsonl": '{"messages": [{"role": "user", "content": "Hi."}], "n": 1}\n',
    "numbers.jsonl": '{"n": 1.5}\n{"n": 2.5}\n',
    "gaps.jsonl": '{"text": "a", "x": 1}\n{"text": "b"}\n',
}


def run(*words: str) -> tuple[int, str, str]:
    """Run a command here."""
    result = CliRunner().invoke(promptmill, words)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("name", FILES)
def test_a_first_job_can_be_planned(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job of any file loads and plans a request for each row, also from a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    (tmp_path / name).write_text(FILES[name])
    assert run("init", name, "-o", "jobs/first.toml")[:2] == (ExitCode.DONE, "jobs/first.toml\n")
    code, shown, _ = run("plan", "jobs/first.toml")
    assert code == ExitCode.DONE
    # pyarrow and orjson count lines as this does: no value has a newline.
    rows = FILES[name].count("\n") - name.endswith(".csv")
    assert f"{rows} requests to send" in shown


def test_columns_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unique id is taken and a doubled one is not; the text is sent, the short columns are carried, reserved names are not."""
    monkeypatch.chdir(tmp_path)
    for name in ("plain.csv", "doubled.jsonl", "odd names.csv"):
        (tmp_path / name).write_text(FILES[name])
        assert run("init", name, "--output", f"{name}.toml")[0] == ExitCode.DONE
    plain, doubled, odd = (load(f"{name}.toml").job for name in ("plain.csv", "doubled.jsonl", "odd names.csv"))
    assert (plain.input.id, plain.variants[0].prompt.user, plain.output.columns) == ("id", "{{ question }}", ("city",))
    assert doubled.input.id is None
    assert (odd.input.id, odd.output.columns) == ("ticket id", ("not", "größe"))


def test_what_cannot_become_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is there is not written over; a file without rows, a missing folder and a bad model leave nothing behind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text(FILES["plain.csv"])
    (tmp_path / "mine.toml").write_text("mine")
    (tmp_path / "bad.jsonl").write_text("no JSON\n")
    for words, says in (
        (["rows.csv", "-o", "mine.toml"], "mine.toml: is there already"),
        (["rows.csv", "-o", "no/job.toml"], "there is no folder no"),
        (["rows.csv", "--model", "nope"], "names no provider"),
        (["bad.jsonl"], "no row that can be read; the first: "),
        (["none.csv"], "no such file"),
    ):
        code, shown, told = run("init", *words)
        assert (code, shown) == (ExitCode.UNUSABLE, "")
        assert says in told
    assert (tmp_path / "mine.toml").read_text() == "mine"
    assert {path.name for path in tmp_path.glob("*.toml")} == {"mine.toml"}
