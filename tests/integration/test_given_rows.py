"""Rows that are in no file: given by a Python program, on stdin, or made by a query. They are kept in the run directory."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from click.testing import Result

import batch
from batch.errors import ChangedError, InputError, JobError
from tests.support.jobs import JobFolder, called, ids, lines_of
from tests.support.scripted import ScriptedEndpoint
from tests.support.scripts import after, wait_for_requests

ROWS = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}, {"id": "c", "text": "three"}]


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    """An endpoint that answers each prompt."""
    with ScriptedEndpoint() as scripted:
        yield scripted


def job_at(endpoint: ScriptedEndpoint, folder: Path, **settings: Any) -> dict[str, Any]:
    """A job without an input path."""
    return {
        "input": {"id": "id"},
        "prompt": {"user": "{{ text }}"},
        "provider": {"house": {"base_url": endpoint.url}},
        "model": [{"id": "house/test-model", "temperature": 0}],
        "output": {"dir": str(folder / "run"), "columns": ["text"]},
        **settings,
    }


@dataclass
class Question:
    """A row as programs have it."""

    id: str
    text: str


class NamedQuestion(NamedTuple):
    """A row as programs have it."""

    id: str
    text: str


def reader(rows: list[dict[str, Any]]) -> pa.RecordBatchReader:
    """A stream that can be read once."""
    return pa.Table.from_pylist(rows).to_reader(max_chunksize=1)


def hub_dataset(rows: list[dict[str, Any]]) -> Any:
    """A Dataset of which rows were selected, so that what lies beneath has others and another order."""
    import datasets

    return datasets.Dataset.from_list([{"id": "z", "text": "hidden"}, *reversed(rows)]).select(range(3, 0, -1))


GIVEN: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "list": list,
    "generator": iter,
    "arrow table": pa.Table.from_pylist,
    "record batch": pa.RecordBatch.from_pylist,
    "arrow reader": reader,
    "pandas": pd.DataFrame,
    "pandas with another index": lambda rows: pd.DataFrame([{"id": "z", "text": "hidden"}, *rows]).iloc[1:],
    "polars": pl.DataFrame,
    "lazy polars": pl.LazyFrame,
    "datasets": hub_dataset,
    "iterable datasets": lambda rows: hub_dataset(rows).to_iterable_dataset(),
    "polars categories": lambda rows: pl.DataFrame(rows).with_columns(
        pl.col("text").cast(pl.Categorical), pl.col("id").cast(pl.Enum(list("abc")))
    ),
    "pandas categories": lambda rows: pd.DataFrame(rows).astype({"text": "category", "id": "string"}),
    "sparse pandas": lambda rows: pd.DataFrame(rows).assign(n=pd.arrays.SparseArray([0, 0, 1])),
    "run ends": lambda rows: pa.table([pc.run_end_encode(pa.array([row[name] for row in rows])) for name in rows[0]], names=[*rows[0]]),
    "views": lambda rows: pa.Table.from_pylist(rows).cast(pa.schema([("id", pa.string_view()), ("text", pa.large_string())])),
    "list of batches": lambda rows: pa.Table.from_pylist(rows).to_batches(max_chunksize=1),
    "arrow dataset": lambda rows: ds.dataset(pa.Table.from_pylist(rows)),
    "duckdb": lambda rows: duckdb.from_arrow(pa.Table.from_pylist(rows)),
    "dataclasses": lambda rows: [Question(**row) for row in rows],
    "named tuples": lambda rows: [NamedQuestion(**row) for row in rows],
    "values of numpy": lambda rows: [
        {**row, "n": np.float32(1), "l": np.arange(2), "t": np.datetime64("2026-01-01"), "na": pd.NA} for row in rows
    ],
    "dictionaries": lambda rows: pa.table(
        {"id": pa.array([row["id"] for row in rows]).dictionary_encode(), "text": [r["text"] for r in rows]}
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", GIVEN)
def test_rows_of_each_kind_are_run_and_resumed_by_the_same_call(endpoint: ScriptedEndpoint, tmp_path: Path, kind: str) -> None:
    """`batch.run(job, rows=…)` takes each kind; the same call sends nothing again, and the run directory alone is enough to resume."""
    job = job_at(endpoint, tmp_path)
    result = batch.run(job, rows=GIVEN[kind](ROWS), overrides=["input.limit=2"])
    assert result.completions().select(["id", "text", "completion"]).to_pylist() == [
        {"id": "a", "text": "one", "completion": "answer to one"},
        {"id": "b", "text": "two", "completion": "answer to two"},
    ]
    assert batch.run(job, rows=GIVEN[kind](ROWS)).completions().num_rows == 3
    assert max(endpoint.counts().values()) == 1
    assert batch.Results(tmp_path / "run").completions().column("text").to_pylist() == ["one", "two", "three"]
    assert JobFolder(tmp_path, endpoint.url, rows=0).call("resume", "run").returncode == 0
    assert len(list((tmp_path / "run/rows").iterdir())) == 1


def test_changed_rows_are_an_explained_refusal(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Rows that differ from those that were answered are refused with an example; new ones are simply run; the old ones can be resumed."""
    job = job_at(endpoint, tmp_path)
    batch.run(job, rows=ROWS)
    changed = [{"id": "a", "text": "uno"}, *ROWS[1:]]
    with pytest.raises(ChangedError, match=r"1 finished rows of house/test-model differ: the input changed \(for example a\)"):
        batch.run(job, rows=changed)
    assert batch.Results(tmp_path / "run").completions().column("text").to_pylist() == ["one", "two", "three"]
    assert batch.run(job, rows=[*ROWS, {"id": "d", "text": "four"}]).completions().num_rows == 4
    result = batch.run(job, rows=changed, changed="rerun")
    assert result.completions().column("completion").to_pylist() == ["answer to uno", "answer to two", "answer to three"]
    assert len(list((tmp_path / "run/rows").iterdir())) == 1


def test_values_of_dicts_stay_exact(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Integers of any size, absent columns and nested values, dates and decimals reach the prompt as they are."""
    big = 123456789012345678901234567890
    prompt = {"user": "{{ number }} {{ more | default('none') }} {{ nested.x }}"}
    rows: list[dict[str, Any]] = [{"number": big, "nested": {"x": [1, None]}}, {"number": 1, "more": "yes", "nested": {"x": "\ud800"[:0]}}]
    batch.run(job_at(endpoint, tmp_path, input={}, prompt=prompt, output={"dir": str(tmp_path / "json")}), rows=rows)
    typed = [
        {"number": decimal.Decimal("1.50"), "nested": {"x": dt.date(2026, 1, 2)}},
        {"nested": {"x": None}, "number": None, "raw": b"\0"},
    ]
    batch.run(job_at(endpoint, tmp_path, input={}, prompt=prompt, output={"dir": str(tmp_path / "typed")}), rows=typed)
    assert set(endpoint.counts()) == {f"{big} none [1, None]", "1 yes ", "1.50 none 2026-01-02"}
    (error,) = lines_of(tmp_path / "typed/errors.jsonl")
    assert error["error"]["code"] == "missing_column"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("rows.jsonl", "rows: must be a list of dicts, an Arrow table or reader, .* not str; files are named in"),
        ({"text": ["a"]}, "not dict"),
        (3, "not int"),
        ([{"text": "a"}, "b"], "row 1 is str, not a dict"),
        ([{1: "a"}], "row 0 has a column named 1; names must be text"),
        ([{0: "a"}], "row 0 has a column named 0; names must be text"),
        ([{"text": object()}], "the column 'text' has no one type"),
        ([{"text": b"a"}, {"text": 1}], "the column 'text' has no one type"),
        (pa.table([["a"], ["b"]], names=["x", "x"]), "names the column 'x' twice"),
        (pl.DataFrame({"text": pl.Series([object()], dtype=pl.Object)}), "'text' has Python objects"),
        (pd.Series(["a"]), "a Series is one column"),
        ([pa.table({"a": [1]}), pa.table({"b": [1]})], "have different columns"),
        (pd.DataFrame({"text": [b"a", 1]}), "give each column values of one type"),
    ],
)
def test_what_is_no_rows_is_refused(endpoint: ScriptedEndpoint, tmp_path: Path, rows: Any, message: str) -> None:
    """Rows of other forms, and values without a type, are refused with the row or column before anything is sent."""
    with pytest.raises(InputError, match=message):
        batch.run(job_at(endpoint, tmp_path, input={}), rows=rows)
    assert not endpoint.counts()


def test_rows_take_the_place_of_a_path_only(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Given rows replace [input] path; a job whose rows are another job's answers is refused; plan takes rows too; none are an error."""
    job = job_at(endpoint, tmp_path, input={"path": "missing.jsonl", "format": "csv", "id": "id"})
    assert batch.run(job, rows=ROWS).completions().num_rows == 3
    assert batch.plan(job, rows=[*ROWS, {"id": "d", "text": "x"}]).variants[0].requests == 1
    with pytest.raises(JobError, match="job: cannot be used with path"):
        batch.run(job_at(endpoint, tmp_path, input={"job": "first.toml"}), rows=ROWS)
    empty = batch.run(job_at(endpoint, tmp_path, output={"dir": str(tmp_path / "none")}), rows=[])
    assert (empty.exit_code, empty.completions().num_rows) == (0, 0)


def test_rows_reach_worker_processes(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Several processes read the kept rows, those of an Arrow table too."""
    rows = pa.table({"id": [f"r{n}" for n in range(600)], "text": [f"t{n}" for n in range(600)]})
    result = batch.run(job_at(endpoint, tmp_path, run={"processes": 2}), rows=rows)
    assert result.completions().column("completion").to_pylist() == [f"answer to t{n}" for n in range(600)]


class StdinFolder(JobFolder):
    """A folder whose job reads stdin."""

    def __init__(self, path: Path, url: str, more: str = "") -> None:
        super().__init__(path, url, rows=0)
        self.job.write_text(self.job.read_text().replace('path = "rows.jsonl"', f'path = "-"{more}'))


def test_stdin_is_kept_and_the_run_resumed_after_a_kill(tmp_path: Path) -> None:
    """Rows from a pipe: after SIGKILL the same command without a pipe continues, and so does the run directory alone."""
    rows = "".join(json.dumps({"id": f"r{n}", "text": f"t{n}"}) + "\n" for n in range(200))
    with ScriptedEndpoint(after(0.02)) as endpoint:
        folder = StdinFolder(tmp_path, endpoint.url)
        (tmp_path / "piped").write_text(rows)
        with (tmp_path / "piped").open() as pipe:
            process = folder.start("run", "test.toml", stdin=pipe, measured=False)
        wait_for_requests(endpoint, 50, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (tmp_path / "piped").unlink()
        for words in (("run", "test.toml", "--limit", "120"), ("resume", "runs/test")):
            ended = folder.run(*words, stdin=subprocess.DEVNULL)
            assert ended.returncode == 0, ended.stderr
        assert "read from stdin when this run began" in folder.run("run", "test.toml", stdin=subprocess.DEVNULL).stderr
        sent = endpoint.counts()
    assert ids(folder.completions()) == [f"r{n}" for n in range(200)]
    assert len(sent) == 200


def test_stdin_of_other_rows(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Other rows on stdin are compared with the answered ones; none at all, a list with a file, and plan are explained."""
    folder = StdinFolder(tmp_path, endpoint.url)

    def piped(text: str, *words: str) -> Result:
        return called(folder, "run", "test.toml", *words, input=text)

    nothing = piped("")
    assert nothing.exit_code == 2
    assert "nothing came: promptmill run JOB.toml < rows.jsonl" in nothing.stderr
    assert "run it first" in folder.call("plan", "test.toml").stderr
    assert piped('{"id": "a", "text": "one"}\nnot json\n').exit_code == 1
    assert [line["error"]["message"].partition(":")[0] for line in folder.errors()] == ["stdin-000001.jsonl"]
    assert "1 finished rows of house/test-model differ" in piped('{"id": "a", "text": "uno"}\n').stderr
    assert piped('{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n').exit_code == 0
    assert ids(folder.completions()) == ["a", "b"]
    assert "2 requests" not in folder.call("plan", "test.toml").stdout
    other = StdinFolder(tmp_path, endpoint.url, '\nformat = "csv"')
    assert piped("id,text\nx,y\n", "--fresh").exit_code == 0
    assert [(line["id"], line["text"]) for line in other.completions()] == [("x", "y")]
    other.job.write_text(other.job.read_text().replace('path = "-"', 'path = ["-", "rows.jsonl"]'))
    assert "is stdin, which cannot be read together with files" in piped("").stderr


def test_requests_of_a_batch_file_on_stdin(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Lines {custom_id, method, url, body} on stdin are sent as they are, by a job without a prompt."""
    job = {key: value for key, value in job_at(endpoint, tmp_path, input={"path": "-"}, output={"dir": "run"}).items() if key != "prompt"}
    rows = [{"custom_id": "q", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "hi"}]}}]
    with chdir(tmp_path):
        assert batch.run(job, rows=rows).completions().column("id").to_pylist() == ["q"]
    assert set(endpoint.counts()) == {"hi"}


@pytest.mark.parametrize("kind", ["duckdb", "parquet", "csv", "jsonl"])
def test_rows_of_a_query(endpoint: ScriptedEndpoint, tmp_path: Path, kind: str) -> None:
    """`sql` takes the rows of a query over a database's tables, or over the view `rows` of other files, with their types."""
    import duckdb

    source = tmp_path / f"source.{kind}"
    table = pa.table({"id": ["a", "b", "c"], "n": pa.array([1, 2, 3], pa.int64())})
    if kind == "duckdb":
        with duckdb.connect(str(source)) as connection:
            connection.register("given", table)
            connection.execute("CREATE TABLE rows AS SELECT * FROM given")
    else:
        connection = duckdb.connect()
        connection.register("given", table)
        connection.execute(f"COPY given TO '{source}' (FORMAT {'json' if kind == 'jsonl' else kind})")
        connection.close()
    folder = JobFolder(tmp_path, endpoint.url, rows=0)
    query = "SELECT id, 'n = ' || n AS text, n FROM rows WHERE n > 1 ORDER BY n DESC"
    folder.job.write_text(folder.job.read_text().replace('path = "rows.jsonl"', f'path = "{source.name}"\nsql = "{query}"'))
    assert "2 rows" in folder.call("plan", "test.toml").stdout
    ended = folder.call("run", "test.toml")
    assert ended.returncode == 0, ended.stderr
    assert [(line["id"], line["text"]) for line in folder.completions()] == [("c", "n = 3"), ("b", "n = 2")]
    assert folder.call("run", "test.toml").returncode == 0
    assert max(endpoint.counts().values()) == 1
    assert folder.call("verify", "runs/test").returncode == 0


def test_a_query_that_is_refused(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A query with a mistake, a missing file, a store, and an Arrow file are refused with what DuckDB says, or what to do."""
    folder = JobFolder(tmp_path, endpoint.url, rows=2)
    plain = folder.job.read_text()

    def refused(path: str, sql: str) -> str:
        folder.job.write_text(plain.replace('path = "rows.jsonl"', f'path = "{path}"\nsql = "{sql}"'))
        ended = folder.call("run", "test.toml")
        assert ended.returncode == 2, ended.stderr
        return ended.stderr

    assert "[input] sql: Catalog Error" in refused("rows.jsonl", "SELECT * FROM nowhere")
    assert "[input] sql: Parser Error" in refused("rows.jsonl", "SELEC 1")
    assert "no such file" in refused("none.parquet", "SELECT 1")
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file, pa.ipc.new_file(file, pa.schema([])):
        pass
    assert "not Arrow" in refused("x.arrow", "SELECT 1")
    (tmp_path / "x.duckdb").write_text("no database")
    assert "[input] sql:" in refused("x.duckdb", "SELECT 1")
