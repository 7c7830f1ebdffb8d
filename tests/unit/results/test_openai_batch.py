"""Results in the output format of OpenAI's Batch API, and the files of other batch runners read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from openai.types.chat import ChatCompletion

from batch.app import export_files, verify_files
from batch.errors import InputError
from batch.evaluation.foreign import read_foreign
from batch.job import load
from batch.readers import Dataset
from batch.records import ErrorInfo, ErrorKind, Outcome
from batch.results.openai_batch import requests as batch_requests
from batch.results.openai_batch.files import read_batch_files
from batch.results.openai_batch.requests import write_requests
from batch.results.outputs import export, write_outputs
from batch.results.verify import verify
from tests.support.files import write
from tests.support.jobs import lines_of
from tests.support.runs import FinishedRun
from tests.support.scripted import chat_body

KEY = bytes(range(16))


def ok(row: int, repeat: int = 0, text: str = "Paris") -> Outcome:
    """An answer, whose body has spaces that a parser would not keep."""
    body = chat_body(text).replace(b'"object":', b'"object" : ')
    return Outcome(row, f"r{row}", repeat, KEY, 1, api="chat/completions", finish_reason="stop", http_status=200, response=body)


def failed(row: int, code: str, status: int | None, kind: ErrorKind = ErrorKind.API) -> Outcome:
    """A failure."""
    return Outcome(row, f"r{row}", 0, KEY, 3, ErrorInfo(kind, code, f"{code}!", status), http_status=status)


def finished(path: Path, *names: str, **settings: Any) -> FinishedRun:
    """A run of five rows: an answer, three kinds of failure, and a row that was not attempted."""
    outcomes = [
        ok(0),
        failed(1, "context_length", 400),
        failed(2, "timeout_idle", None, ErrorKind.NETWORK),
        failed(3, "error_in_body", 200),
    ]
    rows = [{"id": f"r{row}", "text": "q"} for row in range(5)]
    return FinishedRun(path, rows, dict.fromkeys(names or ("v",), outcomes), id_column="id", output_format="openai-batch", **settings)


def test_the_lines_are_those_of_openai(tmp_path: Path) -> None:
    """Answers in the one file, refused and failed requests in the other; bodies byte for byte, never a success that is none (promise 5)."""
    run = finished(tmp_path)
    output, errors = write_outputs(run.stored)
    assert (output.name, errors.name) == ("completions.openai-batch.jsonl", "errors.openai-batch.jsonl")
    assert (ok(0).response or b"?") in output.read_bytes()
    (answer,) = lines_of(output)
    assert list(answer) == ["id", "custom_id", "response", "error"]
    assert (answer["custom_id"], answer["error"], list(answer["response"])) == ("r0", None, ["status_code", "request_id", "body"])
    assert ChatCompletion.model_validate(answer["response"]["body"]).choices[0].message.content == "Paris"
    refused, unreached, inner = lines_of(errors)
    assert refused["response"] == {
        "status_code": 400,
        "request_id": f"req_{KEY.hex()}",
        "body": {"error": {"message": "context_length!", "type": "invalid_request_error", "param": None, "code": "context_length"}},
    }
    assert refused["error"] is None
    for line, code in ((unreached, "timeout_idle"), (inner, "error_in_body")):
        assert (line["response"], line["error"]) == (None, {"code": code, "message": f"{code}!"})
    ids = [line["id"] for line in (answer, refused, unreached, inner)]
    assert len(set(ids)) == 4
    assert all(each.startswith("batch_req_") for each in ids)


def test_each_variant_has_files_of_its_own(tmp_path: Path) -> None:
    """A custom_id stands once in a file; repeats share it and differ in id; verify knows all files (promise 11)."""
    run = finished(tmp_path, "a", "b")
    paths = write_outputs(run.stored)
    assert [path.name for path in paths] == [f"{kind}.openai-batch.{slug}.jsonl" for slug in "ab" for kind in ("completions", "errors")]
    assert [len(lines_of(path)) for path in paths] == [1, 3, 1, 3]
    assert verify(run.stored).sound
    paths[2].write_text(paths[2].read_text().replace("Paris", "Lyon"))
    (fault,) = verify(run.stored).outputs
    assert "completions.openai-batch.b.jsonl: differs from the journal from line 1 on" in fault

    (tmp_path / "two").mkdir()
    repeated = FinishedRun(tmp_path / "two", [{"id": "r0", "text": "q"}], {"v": [ok(0), ok(0, 1)]}, id_column="id", repeats=2)
    first, second = lines_of(export(repeated.stored, "openai-batch")[0])
    assert first["custom_id"] == second["custom_id"]
    assert first["id"] != second["id"]


def chat(finish_reason: str | None = "length") -> dict[str, Any]:
    """A chat completion as vLLM gives it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": finish_reason}
    return {"id": "cmpl-1", "object": "chat.completion", "model": "llama", "choices": [choice]}


def within(status: int | None, body: Any) -> dict[str, Any]:
    """A response with its status, which vLLM may leave out."""
    return {"request_id": "r", "body": body} | ({} if status is None else {"status_code": status})


BODY = chat()
EMBEDDING = {"object": "list", "model": "e5", "data": [{"index": 0, "object": "embedding", "embedding": [0.5]}]}
SAID = {"type": "message", "content": [{"type": "output_text", "text": "Ho"}]}
RESPONSE = {"object": "response", "model": "gpt", "status": "completed", "output": [SAID]}
MODERATION = {"id": "modr-1", "model": "omni", "results": [{"flagged": False}]}
BAD = {"message": "m", "type": "BadRequestError", "code": 400}
LIMIT = {"error": {"message": "m", "code": "rate_limit_exceeded"}}
INNER = {"error": {"message": "m", "code": "server_error"}}

# response and error, and what they are: the text, or the failure's code and status
VARIANTS: list[tuple[Any, Any, str | None, str | None, int | None]] = [
    (BODY, None, "Hi", None, 200),
    (within(200, BODY), None, "Hi", None, 200),
    (within(None, EMBEDDING), None, None, None, 200),
    (within(200, RESPONSE), None, "Ho", None, 200),
    (within(200, MODERATION), None, '{"flagged":false}', None, 200),
    (within(400, None), "Request must not be sent in stream mode", None, "http_400", 400),
    (within(400, None), {"error": BAD}, None, "BadRequestError", 400),
    (None, {"object": "error", **BAD}, None, "BadRequestError", 400),
    (within(429, LIMIT), None, None, "rate_limit_exceeded", 429),
    (within(500, None), None, None, "http_500", 500),
    (None, {"code": "batch_expired", "message": "m"}, None, "batch_expired", None),
    (None, None, None, "no_choices", None),
    (within(200, INNER), None, None, "server_error", None),
    (within(200, chat(None)), None, "Hi", None, 200),
    (within(200, {"choices": [{"message": {"content": ""}}]}), None, None, "truncated_body", 200),
]


@pytest.mark.parametrize(("response", "error", "text", "code", "status"), VARIANTS)
def test_lines_of_openai_and_of_vllm(
    tmp_path: Path, response: Any, error: Any, text: str | None, code: str | None, status: int | None
) -> None:
    """Bare bodies, texts as errors, error objects of either kind; what is not a whole answer has failed (promise 5); score agrees."""
    path = write(tmp_path / "out.jsonl", json.dumps({"id": "x", "custom_id": "c", "response": response, "error": error}).encode())
    (answer,) = read_batch_files([path])
    outcome = answer.outcome
    assert ((outcome.error.code if outcome.error else None), outcome.http_status) == (code, status)
    (scored,) = read_foreign([path])
    assert (scored.failure, scored.text, scored.row.id) == (code, text, "c")


def batch_files(folder: Path) -> list[Path]:
    """An output and an error file."""
    out = [{"custom_id": "a", "response": BODY}, {"custom_id": "b", "response": within(200, BODY), "error": None}]
    bad = [{"custom_id": "d", "response": None, "error": {"code": "batch_expired", "message": "late"}}]
    return [lines_to(folder / "out.jsonl", *out), lines_to(folder / "bad.jsonl", *bad)]


def lines_to(path: Path, *lines: Any) -> Path:
    """`path`, now holding these lines; texts as they are."""
    return write(path, "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines).encode())


def test_verify_holds_answers_against_requests(tmp_path: Path) -> None:
    """Rows in = ok + failed + missing, with what is doubled, damaged or was never asked (promise 1)."""
    paths = batch_files(tmp_path)
    asked = write(tmp_path / "in.jsonl", b"".join(b'{"custom_id": "%s", "body": {}}\n' % each for each in (b"a", b"b", b"c", b"d")))
    (check,) = verify_files(paths, asked).variants
    assert (check.tasks, check.ok, check.failed, check.missing, check.doubled, check.orphaned) == (4, 2, 1, 1, 0, 0)
    assert verify_files(paths, None).complete
    more = [{"custom_id": each, "response": BODY} for each in "az"]
    lines_to(paths[0], *lines_of(paths[0]), *more, {"x": 1}, "{cut")
    found = verify_files(paths, asked)
    (check,) = found.variants
    assert (check.doubled, check.orphaned, found.sound) == (1, 1, False)
    assert "out.jsonl:5: is no line of a batch's output, {custom_id, response, error}; it has: x" in found.damage[0]
    assert "out.jsonl:6: not JSON" in found.damage[1]


def test_export_of_other_runners_files(tmp_path: Path) -> None:
    """They become completions and errors of any format; a failed line has the model of all others."""
    completions, errors = export_files(batch_files(tmp_path), "jsonl", tmp_path / "new")
    assert [(line["id"], line["row"], line["variant"], line["completion"], line["finish_reason"]) for line in lines_of(completions)] == [
        ("a", 0, "llama", "Hi", "length"),
        ("b", 1, "llama", "Hi", "length"),
    ]
    (error,) = lines_of(errors)
    assert (error["id"], error["variant"], error["error"]["code"], error["error"]["message"]) == ("d", "llama", "batch_expired", "late")
    again = export_files(export_files(batch_files(tmp_path), "openai-batch", tmp_path / "new"), "parquet", tmp_path / "new")
    assert pq.read_table(again[0]).column("completion").to_pylist() == ["Hi", "Hi"]
    with pytest.raises(InputError, match=r"completions\.jsonl:1: is no line of a batch's output"):
        export_files([completions], "csv", tmp_path / "new")


JOB = '[input]\npath = "rows.jsonl"\nid = "id"\n[prompt]\nuser = "{{ q }}"\n[run]\nrepeats = 2\n[output]\ndir = "run"\n'


def test_the_requests_of_a_job_run_as_a_batch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written reads back as the same requests, with unique custom_ids, a file for each model and parts of allowed size."""
    write(tmp_path / "rows.jsonl", b'{"id": "a", "q": "1"}\n{"id": "b"}\n{bad\n{"id": "c", "q": "3"}\n')
    models = '[[model]]\nid = "openai/m"\nmax_tokens = 5\n[[model]]\nid = "openai/n"\n'
    job = load(write(tmp_path / "job.toml", (JOB + models).encode()), environ={}).job
    monkeypatch.setattr(batch_requests, "MAX_REQUESTS", 3)
    stale = write(tmp_path / "batch-input.openai--n-3.jsonl", b"of an earlier export")
    written = write_requests(job, Dataset(job.input), tmp_path)
    assert [path.name for path in written.paths] == [f"batch-input.openai--{model}{part}.jsonl" for model in "mn" for part in ("", "-2")]
    assert not stale.exists()
    assert (written.requests, written.unsendable) == (8, 8)
    assert "rows.jsonl:2" in written.examples[0]
    lines = [line for path in written.paths[:2] for line in lines_of(path)]
    assert [line["custom_id"] for line in lines] == ["a", "a (repeat 1)", "c", "c (repeat 1)"]
    assert lines[0] == {
        "custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": [{"role": "user", "content": "1"}], "max_completion_tokens": 5},
    }  # fmt: skip
    text = f'[input]\npath = "{written.paths[0]}"\n[[model]]\nid = "openai/*"\n[output]\ndir = "again"\n'
    again = load(write(tmp_path / "again.toml", text.encode()), environ={}).job
    assert again.input.format == "openai-batch"
    copied = write_requests(replace(again), Dataset(again.input), tmp_path / "again")
    assert copied.paths[0].read_bytes() == written.paths[0].read_bytes()


def test_large_requests_are_parted_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is larger than the Batch API takes."""
    monkeypatch.setattr(batch_requests, "MAX_BYTES", 500)
    write(tmp_path / "rows.jsonl", b"".join(b'{"id": %d, "q": "%s"}\n' % (n, b"x" * 120) for n in range(5)))
    job = load(write(tmp_path / "job.toml", (JOB.replace("repeats = 2", "") + '[[model]]\nid = "openai/m"\n').encode()), environ={}).job
    written = write_requests(job, Dataset(job.input), tmp_path)
    assert [len(lines_of(path)) for path in written.paths] == [2, 2, 1]
    assert all(path.stat().st_size <= 500 for path in written.paths)


def test_stored_requests_are_parted_by_endpoint_and_model(tmp_path: Path) -> None:
    """A batch takes one endpoint and one model: requests of several become a file each, and no mixed file of an earlier export stays."""
    kinds = [("chat/completions", "m1"), ("embeddings", "m1"), ("chat/completions", "org/m2"), ("chat/completions", "m1")]
    lines = [
        {"custom_id": str(n), "method": "POST", "url": f"/v1/{api}", "body": {"model": model, "messages": [], "input": "x"}}
        for n, (api, model) in enumerate(kinds)
    ]
    write(tmp_path / "rows.jsonl", b"".join(orjson.dumps(line) + b"\n" for line in lines))
    text = b'[input]\npath = "rows.jsonl"\nformat = "openai-batch"\n[[model]]\nid = "openai/*"\n'
    job = load(write(tmp_path / "job.toml", text), environ={}).job
    (tmp_path / "out").mkdir()
    mixed = write(tmp_path / "out" / "batch-input.jsonl", b"of an earlier export")

    written = write_requests(job, Dataset(job.input), tmp_path / "out")

    assert not mixed.exists()
    assert sorted(line["custom_id"] for path in written.paths for line in lines_of(path)) == ["0", "1", "2", "3"]
    assert [len(lines_of(path)) for path in written.paths] == [2, 1, 1]
    for path in written.paths:
        assert len({(line["url"], line["body"]["model"]) for line in lines_of(path)}) == 1
    assert written.paths[0].name == "batch-input.chat-completions-m1.jsonl"


def test_inputs_of_embeddings_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch takes 50,000 inputs of embeddings in all, of which a request may have many; a list of tokens is one input."""
    monkeypatch.setattr(batch_requests, "MAX_INPUTS", 5)
    inputs: list[object] = [["a", "b", "c"], ["d", "e"], ["f"], [1, 2, 3, 4, 5, 6], "g", [[1], [2], [3]]]
    lines = [{"custom_id": str(n), "url": "/v1/embeddings", "body": {"model": "m", "input": given}} for n, given in enumerate(inputs)]
    write(tmp_path / "rows.jsonl", b"".join(orjson.dumps(line) + b"\n" for line in lines))
    job = load(
        write(tmp_path / "job.toml", b'[input]\npath = "rows.jsonl"\nformat = "openai-batch"\n[[model]]\nid = "openai/*"\n'), environ={}
    ).job

    written = write_requests(job, Dataset(job.input), tmp_path)

    assert [[line["custom_id"] for line in lines_of(path)] for path in written.paths] == [["0", "1"], ["2", "3", "4"], ["5"]]
    assert [path.name for path in written.paths] == ["batch-input.jsonl", "batch-input-2.jsonl", "batch-input-3.jsonl"]
