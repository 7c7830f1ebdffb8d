"""Functions as prompts and as parsers, from Python: what is sent, what a change of them means, and what cannot be used."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batch
from batch.app.python_functions import function_name
from batch.errors import ChangedError, InputError, JobError
from tests.support.jobs import JobFolder, check_accounts, rows_sent
from tests.support.scripted import ScriptedEndpoint

ROWS = [{"id": "a", "country": "Chad"}, {"id": "b", "country": "Fiji"}]


def build(row: dict[str, Any]) -> list[dict[str, str]]:
    """A chat of two messages."""
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Where is {row.pop('country')}?"}]


def job_of(tmp_path: Path, url: str, prompt: Any, **tables: Any) -> dict[str, Any]:
    """A job with this prompt."""
    return {
        "input": {"id": "id"},
        "prompt": prompt,
        "provider": {"house": {"base_url": url}},
        "model": [{"id": "house/test-model"}],
        "output": {"dir": str(tmp_path / "run"), "columns": ["country"]},
        **tables,
    }


def prompts(endpoint: ScriptedEndpoint) -> list[str]:
    """The texts that came, in their order by name."""
    return sorted(received.prompt for received in endpoint.requests if received.body)


def test_a_function_makes_the_prompts_and_the_run_needs_it_no_more(tmp_path: Path) -> None:
    """Messages of a function are sent; its own changes of a row change no column; a resume from the directory needs no function."""
    with ScriptedEndpoint() as endpoint:
        job = job_of(tmp_path, endpoint.url, build)
        assert batch.plan(job, rows=ROWS).variants[0].requests == 2
        result = batch.run(job, rows=ROWS)
        assert prompts(endpoint) == ["Where is Chad?", "Where is Fiji?"]
        assert endpoint.requests[-1].json()["messages"][0] == {"role": "system", "content": "Be brief."}
        assert result.completions().column("country").to_pylist() == ["Chad", "Fiji"]
        sent = rows_sent(endpoint)
        assert batch.run(job, rows=pd.DataFrame(ROWS)).tallies["house/test-model"].requests == 0
        assert JobFolder(tmp_path, endpoint.url).call("resume", str(tmp_path / "run")).returncode == 0
        assert rows_sent(endpoint) == sent


def test_rows_of_a_file_and_several_functions(tmp_path: Path) -> None:
    """With [input] path the file's rows go to the function; where, sample and limit select; each model may have its own."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=6)
        models = [
            {"id": "house/test-model"},
            {"id": "house/test-model", "name": "shout", "prompt": {"user": lambda row: row["text"].upper()}},
        ]
        job = {
            **job_of(tmp_path, endpoint.url, {"user": lambda row: row["text"], "system": "Hi."}, model=models),
            "input": {"path": str(folder.path / "rows.jsonl"), "id": "id", "limit": 2},
            "output": {"dir": str(folder.directory)},
        }
        batch.run(job)
    assert prompts(endpoint) == ["QUESTION 0", "QUESTION 1", "question 0", "question 1"]


def test_a_changed_function_is_a_changed_prompt(tmp_path: Path) -> None:
    """Another source is another request, also where it makes the same texts, and is named as what changed; comments change nothing."""

    def first() -> Any:
        def prompt(row: dict[str, Any]) -> str:
            return f"Where is {row['country']}?"

        return prompt

    def commented() -> Any:
        def prompt(row: dict[str, Any]) -> str:
            # The same.
            return f"Where is {row['country']}?"

        return prompt

    def other() -> Any:
        def prompt(row: dict[str, Any]) -> str:
            return "Where is " + row["country"] + "?"

        return prompt

    with ScriptedEndpoint() as endpoint:
        assert batch.run(job_of(tmp_path, endpoint.url, first()), rows=ROWS).exit_code == 0
        same = batch.run(job_of(tmp_path, endpoint.url, commented()), rows=ROWS)
        assert same.tallies["house/test-model"].requests == 0
        with pytest.raises(
            ChangedError, match=r'2 finished rows of .* differ: prompt\.function prompt \w+ → prompt \w+\n.*changed="rerun"'
        ) as caught:
            batch.run(job_of(tmp_path, endpoint.url, other()), rows=ROWS)
        assert "the input changed" not in str(caught.value)
        again = batch.run(job_of(tmp_path, endpoint.url, other()), rows=ROWS, changed="rerun")
        assert again.tallies["house/test-model"].requests == 2


@pytest.mark.parametrize("engine", [{"processes": 2}])
def test_worker_processes_need_no_function(tmp_path: Path, engine: dict[str, Any]) -> None:
    """Nothing is pickled: a lambda works with worker processes too."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=30)
        job = {**job_of(tmp_path, endpoint.url, lambda row: row["text"] + "!"), "run": engine, "output": {"dir": str(folder.directory)}}
        assert batch.run(job, rows=folder.rows).exit_code == 0
    check_accounts(folder)
    assert all(text.endswith("!") for text in prompts(endpoint))


async def in_async(row: dict[str, Any]) -> str:
    """An async function, which cannot be a prompt."""
    return str(row)


@pytest.mark.parametrize(
    ("prompt", "error", "words"),
    [
        (in_async, JobError, "is async"),
        (lambda: "no argument", JobError, "cannot be called with a row alone"),
        (lambda row: row["nope"], InputError, r"raised KeyError: 'nope' for row 0; nothing was sent"),
        (lambda row: 7, InputError, "gave int for row 0; it must give a text, a message"),
        (lambda row: ["text"], InputError, "it must give a text, a message"),
        ({"user": lambda row: ["x"]}, InputError, "user must be text"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_sent(tmp_path: Path, prompt: Any, error: type[Exception], words: str) -> None:
    """A mistake of a function is named in Python's words, with the row, and its own exception as the cause."""
    with ScriptedEndpoint() as endpoint:
        with pytest.raises(error, match=words) as caught:
            batch.run(job_of(tmp_path, endpoint.url, prompt), rows=ROWS)
        assert rows_sent(endpoint) == 0
    assert "KeyError" not in words or isinstance(caught.value.__cause__, KeyError)


def test_no_rows_no_function(tmp_path: Path) -> None:
    """A job file's loader, and a job without rows, say what takes functions; a function that gives None makes its row an error."""
    with pytest.raises(JobError, match=r"only batch\.run, stream and plan take functions"):
        batch.load_job(job_of(tmp_path, "http://127.0.0.1:1/v1", build))
    with pytest.raises(JobError, match="rows"):
        batch.run(job_of(tmp_path, "http://127.0.0.1:1/v1", build, input={"path": "-"}))
    with ScriptedEndpoint() as endpoint:
        result = batch.run(job_of(tmp_path, endpoint.url, lambda row: None if row["id"] == "a" else "x"), rows=ROWS)
    assert (result.exit_code, [each["error"]["code"] for each in result.errors().to_pylist()]) == (1, ["bad_messages"])


def test_names_of_functions() -> None:
    """The name has the function's own, also behind partial; what has no source is told apart by its code."""
    made: dict[str, Any] = {}
    exec("def f(row): return 'a'\ng = f\ndef h(row): return 'b'\n", made)
    assert function_name(made["f"]) == function_name(made["g"]) == function_name(functools.partial(made["f"]))
    assert function_name(made["f"]).partition(" ")[2] != function_name(made["h"]).partition(" ")[2]

    class Caller:
        def __call__(self, row: dict[str, Any]) -> str:
            return str(row)

    assert function_name(Caller()).startswith("Caller ")


def test_a_parser_reads_each_answer(tmp_path: Path) -> None:
    """Its values, and what it raises for one answer, stand beside the answers; with two arguments it gets the completion's row."""
    with ScriptedEndpoint() as endpoint:
        result = batch.run(job_of(tmp_path, endpoint.url, {"user": "{{ country }}"}), rows=ROWS)
    assert [(each.id, each.value) for each in result.parsed(str.split)] == [
        ("a", ["answer", "to", "Chad"]),
        ("b", ["answer", "to", "Fiji"]),
    ]
    assert [each.value for each in result.parsed(lambda text, row: row["country"] in text)] == [True, True]
    failed = result.parsed(int)
    assert [(each.ok, type(each.error)) for each in failed] == [(False, ValueError)] * 2
    assert repr(failed[0]).startswith("<Parsed 'a' house/test-model: ValueError: invalid literal")
    for wrong in (7, lambda: None):
        with pytest.raises(TypeError, match="parser"):
            result.parsed(wrong)  # type: ignore[arg-type]
