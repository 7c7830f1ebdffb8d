"""Outputs: journals and input joined, in input order, as DESIGN section 4 has them."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.app.stored import stored_run
from batch.errors import DamagedError, StorageError
from batch.journal.index import Location, ResumeIndex
from batch.records import Api, BadRow, Row
from batch.results import join
from batch.results.join import results
from batch.results.lines import completion_columns
from batch.results.outputs import export, write_outputs
from batch.settings import InputSettings, OutputFormat, PromptSettings
from batch.writers.columns import ERROR_COLUMNS, OWN_COLUMNS
from tests.support.runs import FinishedRun, variant
from tests.support.stores import outcome


def rows(count: int) -> list[dict[str, object]]:
    return [{"text": f"question {number}", "label": number} for number in range(count)]


def test_completion_line(tmp_path: Path) -> None:
    """A completion has its columns in DESIGN's order, then the carried-over ones, and is written once (promise 11)."""
    answered = replace(outcome(0), first_token=1_700_000_000.25, cost_usd=0.001, attempts=2)
    run = FinishedRun(tmp_path, rows(1), {"v": [answered]}, columns=["label", "absent"])

    paths = write_outputs(run.stored)

    assert paths == [tmp_path / "run" / "completions.jsonl", tmp_path / "run" / "errors.jsonl"]
    (line,) = run.lines("completions")
    expected = {
        "id": "0",
        "row": 0,
        "variant": "v",
        "repeat": 0,
        "completion": "answer 0",
        "tool_calls": None,
        "reasoning": None,
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "attempts": 2,
        "latency_s": 1.5,
        "first_token_s": 0.25,
        "cost_usd": 0.001,
        "label": 0,
        "absent": None,
    }
    assert list(line.items()) == list(expected.items())
    assert (tmp_path / "run" / "errors.jsonl").read_bytes() == b""


def test_error_line(tmp_path: Path) -> None:
    """A failed task says enough to act on; a row that could not be read carries nothing over (fault 50)."""
    bad = replace(outcome(1, error="bad_row"), attempts=0)
    run = FinishedRun(tmp_path, [*rows(1), "{broken"], {"v": [bad, outcome(0, error="quota")]}, columns=["label"])

    write_outputs(run.stored)

    first, second = run.lines("errors")
    error = {"kind": "api", "code": "quota", "message": "quota of row 0", "http_status": 500}
    assert list(first.items()) == [
        ("id", "0"), ("row", 0), ("variant", "v"), ("repeat", 0), ("error", error), ("attempts", 1), ("label", 0)
    ]  # fmt: skip
    assert (second["id"], second["error"]["code"], second["attempts"], second["label"]) == ("1", "bad_row", 0, None)
    assert run.lines("completions") == []


def test_tool_calls_and_reasoning(tmp_path: Path) -> None:
    """Pure tool calls have no text; reasoning is kept apart from it."""
    message = {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [{"id": "x", "type": "function"}]}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode()
    run = FinishedRun(tmp_path, rows(1), {"v": [replace(outcome(0), response=body)]})

    write_outputs(run.stored)

    (line,) = run.lines("completions")
    assert (line["completion"], line["tool_calls"], line["reasoning"]) == (None, message["tool_calls"], "hm")


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_embeddings(tmp_path: Path, format_: str) -> None:
    """The embedding column is there when a variant asks for embeddings, in all lines, and only then."""
    body = json.dumps({"data": [{"embedding": [0.5, -1.0]}], "usage": {"prompt_tokens": 1}}).encode()
    embedded = replace(outcome(0), api="embeddings", finish_reason=None, response=body)
    variants = [variant("chat"), variant("vectors", api="embeddings", user=None, text="{{ text }}")]
    run = FinishedRun(tmp_path, rows(1), {"chat": [outcome(0)], "vectors": [embedded]}, variants=variants)

    (path, _) = export(run.stored, format_, None)  # type: ignore[arg-type]

    if format_ == "jsonl":
        assert [line["embedding"] for line in run.lines("completions")] == [None, [0.5, -1.0]]
    elif format_ == "csv":
        with path.open(newline="") as file:
            assert [line["embedding"] for line in csv.DictReader(file)] == ["", "[0.5,-1.0]"]
    else:
        assert pq.read_table(path)["embedding"].to_pylist() == [None, [0.5, -1.0]]
    assert "embedding" in completion_columns(run.job)
    assert "embedding" not in completion_columns(replace(run.job, variants=run.job.variants[:1]))
    assert set(completion_columns(run.job)) | set(ERROR_COLUMNS) == OWN_COLUMNS


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_several_answers_in_one_reply_are_a_list(tmp_path: Path, format_: OutputFormat) -> None:
    """Each vector of a request with several texts, and each choice of one with n, is in the output, in the order of its index."""
    vectors = [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    items = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    chosen = [{"index": n, "message": {"content": text}, "finish_reason": "stop"} for n, text in enumerate("ab")]
    bodies = [{"data": items[::-1]}, {"data": items[:1]}, {"choices": chosen}, {"choices": chosen[:1]}]
    apis: list[Api] = ["embeddings", "embeddings", "chat/completions", "chat/completions"]
    outcomes = [replace(outcome(n), api=api, response=orjson.dumps(body)) for n, (api, body) in enumerate(zip(apis, bodies, strict=True))]
    stored = replace(variant("v"), prompt=PromptSettings(stored=True))
    run = FinishedRun(tmp_path, rows(4), {"v": outcomes}, variants=[stored])

    path, _ = export(run.stored, format_, None)

    if format_ == "parquet":
        assert pq.read_table(path)["embedding"].to_pylist() == [vectors, vectors[:1], None, None]
        assert pq.read_table(path)["completion"].to_pylist() == [None, None, '["a","b"]', "a"]
    elif format_ == "csv":
        with Path(path).open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert [json.loads(line["embedding"]) for line in lines[:2]] == [vectors, vectors[0]]
        assert [line["completion"] for line in lines[2:]] == ['["a","b"]', "a"]
    else:
        assert [line["embedding"] for line in run.lines("completions")] == [vectors, vectors[0], None, None]
        assert [line["completion"] for line in run.lines("completions")] == [None, None, ["a", "b"], "a"]


def test_an_answer_that_cannot_be_read_any_more_keeps_no_other_from_the_outputs(tmp_path: Path) -> None:
    """Answers that another version accepted are written as their text; several of which one is odd as the reader gives them."""
    choices = [{"index": n, "message": message, "finish_reason": "stop"} for n, message in enumerate(({"content": "a"}, 7))]
    bodies = [b'"no object"', b'{"choices": []}', orjson.dumps({"choices": choices})]
    run = FinishedRun(tmp_path, rows(4), {"v": [*(replace(outcome(n), response=body) for n, body in enumerate(bodies)), outcome(3)]})

    write_outputs(run.stored)

    assert [line["completion"] for line in run.lines("completions")] == ['"no object"', '{"choices": []}', "a", "answer 3"]


@settings(deadline=None, max_examples=40)
@given(data=st.data(), count=st.integers(0, 12), repeats=st.integers(1, 3), held=st.integers(1, 4000))
def test_input_order_newest_wins(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int, repeats: int, held: int
) -> None:
    """Whatever order outcomes came in, outputs are in the order rows, variants, repeats, each once with its newest (promises 1, 11)."""
    names = ["a", "b"]
    tasks = [(name, row, repeat) for row in range(count) for name in names for repeat in range(repeats)]
    came = data.draw(st.lists(st.sampled_from(tasks), max_size=40)) if tasks else []
    journals = {
        name: [
            replace(outcome(row, attempts=place + 1, error=None if place % 3 else "quota"), repeat=repeat)
            for place, (journal, row, repeat) in enumerate(came)
            if journal == name
        ]
        for name in names
    }
    run = FinishedRun(tmp_path_factory.mktemp("run"), rows(count), journals, repeats=repeats)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(join, "_RECORD_BYTES", held)
        write_outputs(run.stored)

    newest = {task: place for place, task in enumerate(came)}
    for name, ok in (("completions", True), ("errors", False)):
        expected = [(*task, newest[task] + 1) for task in tasks if task in newest and bool(newest[task] % 3) == ok]
        assert [(line["variant"], line["row"], line["repeat"], line["attempts"]) for line in run.lines(name)] == expected


def test_reading_ends_with_the_last_outcome_where_a_limit_is_set(tmp_path: Path) -> None:
    """A run of 3 rows of a large input reads no more of it for its outputs than it must; without a limit all is read."""
    run = FinishedRun(tmp_path, rows(2000), {"v": [outcome(number) for number in range(3)]})
    batches: list[int] = []

    class Counting:
        def batches(self) -> Iterator[list[Row | BadRow]]:
            for batch in run.dataset.batches():
                batches.append(len(batch))
                yield batch

    index = ResumeIndex.load(run.directory.journal_dir("v"))
    for enough, expected in ((3, 1), (300, 2), (None, 8)):
        batches.clear()
        found = [
            result
            for portion in join.portions(
                run.stored, rows=Counting(), indexes={"v": index}, matched={"v": join.MatchedTasks(index)}, enough_rows=enough
            )
            for result in portion
        ]
        assert len(batches) == expected
        assert sum(result.outcome is not None for result in found) == 3


def test_large_records_are_read_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many bytes of records are in memory at a time, however large they are; a row's records stay together (promise 8)."""
    monkeypatch.setattr(join, "_RECORD_BYTES", 100)
    lengths = [60, 40, 1, 250, None, 99, 1, 1]
    found = [(None if length is None else Location(0, 0, length), None) for length in lengths]

    portions = list(join.within_memory([found], len(lengths)))

    assert portions == [(0, 2), (2, 3), (3, 4), (4, 7), (7, 8)]


def test_rows_with_ids_are_followed(tmp_path: Path) -> None:
    """With an id column an outcome belongs to its row wherever that stands now (fault 47)."""
    items = [{"key": key, "text": key} for key in ("x", "y", "z")]
    run = FinishedRun(tmp_path, items, {"v": [outcome(number, id_=item["key"]) for number, item in enumerate(items)]}, id_column="key")
    run.rewrite([{"key": "new", "text": "n"}, *reversed(items)])

    found = [(result.row.id, result.outcome and result.outcome.ordinal) for result in results(run.stored)]

    assert found == [("new", None), ("z", 2), ("y", 1), ("x", 0)]


def test_only_some_variants(tmp_path: Path) -> None:
    """The join can be asked for some of the variants."""
    run = FinishedRun(tmp_path, ["{", *rows(2)], {"a": [outcome(1)], "b": [outcome(2)]})

    found = list(results(run.stored, run.job.variants[1:]))

    assert [(result.variant.name, result.row.ordinal, result.outcome is not None) for result in found] == [
        ("b", 0, False), ("b", 1, False), ("b", 2, True)
    ]  # fmt: skip
    assert isinstance(found[0].row, BadRow)


def test_parquet_input_is_carried_over_with_its_types(tmp_path: Path) -> None:
    """Carried-over columns of a Parquet input have the same type and values in a Parquet output (promise 11, fault 53)."""
    table = pa.table(
        {"text": ["a", "b"], "when": pa.array([1, 2], pa.timestamp("ms")), "tags": pa.array([["x"], None], pa.large_list(pa.string()))}
    )
    pq.write_table(table, tmp_path / "in.parquet")
    run = FinishedRun(tmp_path, rows(2), {"v": [outcome(0, error="quota"), outcome(1)]}, columns=["when", "tags"], output_format="parquet")
    job = replace(run.job, input=InputSettings(paths=(str(tmp_path / "in.parquet"),)))

    completions, errors = write_outputs(stored_run(run.directory, job))

    source = pq.read_table(tmp_path / "in.parquet").select(["when", "tags"])
    assert pq.read_table(completions).select(["when", "tags"]).equals(source.slice(1))
    assert pq.read_table(errors).select(["when", "tags"]).equals(source.slice(0, 1))


def test_arrow_input_is_carried_over_with_its_types(tmp_path: Path) -> None:
    """So are those of an Arrow file: dictionary, view and chat columns, as Hugging Face keeps them (promise 11, fault 53)."""
    chat = pa.list_(pa.struct([("role", pa.string()), ("content", pa.large_string())]))
    table = pa.table(
        {
            "text": ["a", "b"],
            "label": pa.array(["x", "y"]).dictionary_encode(),
            "chat": pa.array([[{"role": "user", "content": "q"}], None], chat),
            "note": pa.array(["n", None], pa.large_string()),
        }
    )
    with pa.ipc.new_stream(tmp_path / "in.arrow", table.schema) as writer:
        writer.write_table(table)
    carried = ["label", "chat", "note"]
    run = FinishedRun(tmp_path, rows(2), {"v": [outcome(0), outcome(1)]}, columns=carried, output_format="parquet")
    job = replace(run.job, input=InputSettings(paths=(str(tmp_path / "in.arrow"),)))

    completions, _ = write_outputs(stored_run(run.directory, job))

    assert pq.read_table(completions).select(carried).to_pylist() == table.select(carried).to_pylist()
    assert pq.read_schema(completions).field("chat").type == chat


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_a_column_is_carried_under_another_name(tmp_path: Path, format_: OutputFormat) -> None:
    """A column that has the name of one of promptmill's own is kept under the name that the job gives it, in every format (fault 71)."""
    items = [{"text": "a", "id": 7, "usage": "often"}, {"text": "b", "id": 7, "usage": None}]
    run = FinishedRun(tmp_path, items, {"v": [outcome(0), outcome(1, error="quota")]})
    output = replace(run.job.output, columns=("id", "usage"), names=("conversation", "my_usage"))

    completions, errors = export(replace(run.stored, job=replace(run.job, output=output)), format_, None)

    read = {"jsonl": pyarrow.json.read_json, "csv": pyarrow.csv.read_csv, "parquet": pq.read_table}[format_]
    assert read(completions).select(["id", "conversation", "my_usage"]).to_pylist()[0]["conversation"] == 7
    assert read(completions)["my_usage"].to_pylist() == ["often"]
    assert read(errors)["conversation"].to_pylist() == [7]


def test_errors_file_is_renewed(tmp_path: Path) -> None:
    """Errors that a later success replaced do not stay in the file (fault 48)."""
    run = FinishedRun(tmp_path, rows(1), {"v": [outcome(0, error="quota")]})
    write_outputs(run.stored)
    assert len(run.lines("errors")) == 1

    run = FinishedRun(tmp_path, rows(1), {"v": [outcome(0)]})
    write_outputs(run.stored)
    assert run.lines("errors") == []


def test_damage_stops_the_derivation(tmp_path: Path) -> None:
    """Outputs are never derived from a damaged journal; the old ones stay (promise 3, promise 11)."""
    run = FinishedRun(tmp_path, rows(5), {"v": [outcome(number) for number in range(5)]})
    write_outputs(run.stored)
    before = run.lines("completions")
    path = run.directory.journal_dir("v") / "000001.jsonl"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)

    with pytest.raises(DamagedError):
        write_outputs(run.stored)
    assert run.lines("completions") == before


def test_export_elsewhere(tmp_path: Path) -> None:
    """Another format goes beside, or into a folder that is made; one that cannot be made is a clear error."""
    run = FinishedRun(tmp_path, rows(3), {"v": [outcome(number) for number in range(3)]}, columns=["label"])

    paths = export(run.stored, "csv", tmp_path / "a" / "b")

    assert paths == [tmp_path / "a" / "b" / "completions.csv", tmp_path / "a" / "b" / "errors.csv"]
    with paths[0].open(newline="") as file:
        assert [(line["id"], line["completion"], line["label"]) for line in csv.DictReader(file)] == [
            (str(number), f"answer {number}", str(number)) for number in range(3)
        ]
    with pytest.raises(StorageError, match="take another output dir"):
        export(run.stored, "csv", run.input / "x")


def test_many_rows_out_of_order(tmp_path: Path) -> None:
    """More rows than a batch, over several segments, shuffled: all there, in order, none twice (promise 1)."""
    order = list(range(1000))
    random.Random(1).shuffle(order)
    run = FinishedRun(tmp_path, rows(1000), {"v": [outcome(number) for number in order]}, segment_bytes=50_000)

    write_outputs(run.stored)

    with (tmp_path / "run" / "completions.jsonl").open("rb") as file:
        assert [orjson.loads(line)["completion"] for line in file] == [f"answer {number}" for number in range(1000)]
