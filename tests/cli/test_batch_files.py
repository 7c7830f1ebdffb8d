"""Batch files of OpenAI and vLLM through the command: run as they are, converted, checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tests.support.jobs import JobFolder, lines_of
from tests.support.scripted import Received, ScriptedEndpoint, answer, error, http


def chat(number: int, model: str, **body: Any) -> dict[str, Any]:
    """A line as the documentation of OpenAI and of vLLM has them."""
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "Hello world!"}]
    body = {"model": model, "messages": messages, **body}
    return {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def other(number: int, url: str, **body: Any) -> dict[str, Any]:
    """A line for another API."""
    return {"custom_id": f"request-{number}", "method": "POST", "url": url, "body": body}


OPENAI = [chat(1, "gpt-3.5-turbo-0125", max_tokens=8), chat(2, "gpt-3.5-turbo-0125", max_tokens=8, temperature=0)]
VLLM = [
    chat(3, "meta-llama/Meta-Llama-3-8B-Instruct", max_completion_tokens=8),
    other(4, "/v1/embeddings", model="intfloat/e5-mistral-7b-instruct", input="You are a helpful assistant."),
    other(5, "/v1/completions", model="meta-llama/Meta-Llama-3-8B-Instruct", prompt="The capital of France is", max_tokens=6),
]
MORE = [
    other(6, "/v1/responses", model="gpt-5-mini", input="Hello world!", max_output_tokens=32, temperature=0),
    other(7, "/v1/moderations", model="omni-moderation-latest", input="Hello world!"),
    other(8, "/v1/audio/speech", model="tts-1", input="a", voice="alloy"),
    {"method": "POST", "url": "/v1/completions", "body": {"model": "m", "prompt": "x"}},
]


def batch_job(path: Path, *lines: Any, model: str, more: str = "", output: str = 'format = "openai-batch"') -> Path:
    """A job over a batch file of these lines, without prompt and without a word on the format."""
    (path / "batch.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = path / "batch.toml"
    job.write_text(f'[input]\npath = "batch.jsonl"\n\n[[model]]\nid = "{model}"\n\n{more}\n[output]\ndir = "run"\n{output}\n')
    return job


@pytest.mark.local_model
def test_documented_batch_files_run_unchanged_on_the_embedded_model(tmp_path: Path) -> None:
    """OpenAI's and vLLM's own examples give output lines that the OpenAI SDK's types take; what cannot be answered is in the error file."""
    folder = JobFolder(tmp_path, "")
    batch_job(tmp_path, *OPENAI, *VLLM, *MORE, model="local/*", more="[run]\nconcurrency = 1")
    result = folder.run("run", "batch.toml")
    assert result.returncode == 1, result.stderr
    output = lines_of(tmp_path / "run" / "completions.openai-batch.jsonl")
    assert [line["custom_id"] for line in output] == [f"request-{number}" for number in range(1, 7)]
    assert all(line["error"] is None and line["response"]["status_code"] == 200 for line in output)
    types = [ChatCompletion] * 3 + [CreateEmbeddingResponse, Completion]
    read = [kind.model_validate(line["response"]["body"]) for kind, line in zip(types, output, strict=False)]
    assert all(isinstance(each, ChatCompletion) and each.choices[0].message.content for each in read[:3])
    # llama.cpp leaves out members that the SDK's type demands; the SDK itself reads such replies without checking them.
    assert Response.construct(**output[5]["response"]["body"]).output_text
    moderation, speech, nameless = lines_of(tmp_path / "run" / "errors.openai-batch.jsonl")
    assert moderation["response"]["status_code"] == 404
    assert moderation["response"]["body"]["error"]["code"] == "not_found"
    assert speech["custom_id"] == "request-8"
    assert speech["error"]["code"] == "bad_row"
    assert "batch.jsonl:8" in speech["error"]["message"]
    assert (nameless["custom_id"], nameless["error"]["code"]) == ("batch.jsonl:9 (row 8)", "bad_id")
    checked = folder.call("verify", "run/completions.openai-batch.jsonl", "run/errors.openai-batch.jsonl", "--input", "batch.jsonl")
    assert checked.returncode == 2  # The line without a custom_id is named.
    assert "batch.jsonl:9" in checked.stdout
    assert folder.call("verify", "run").stdout.splitlines()[-1] == "sound and complete"


def without_moderations(received: Received) -> Any:
    """A server that does not know the path, as FastAPI says it."""
    return [error(404, {"detail": "Not Found"})] if received.path.endswith("/moderations") else answer(received)


def test_an_api_that_is_not_there_costs_its_rows_only(tmp_path: Path) -> None:
    """A 404 ends a run whose address is wrong; where other APIs were served, it is the row that cannot be answered (promise 1)."""
    lines = [*(chat(number, "test-model") for number in range(5)), other(5, "/v1/moderations", input="x"), chat(6, "test-model")]
    with ScriptedEndpoint(without_moderations) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url)
        provider = f'[provider.house]\nbase_url = "{endpoint.url}"\n[run]\nconcurrency = 1\n'
        batch_job(tmp_path, *lines, model="house/*", more=provider, output="")
        result = folder.call("run", "batch.toml")
    assert result.returncode == 1, result.stderr
    assert [line["id"] for line in lines_of(tmp_path / "run" / "completions.jsonl")] == [f"request-{n}" for n in (0, 1, 2, 3, 4, 6)]
    (failed,) = lines_of(tmp_path / "run" / "errors.jsonl")
    assert (failed["id"], failed["error"]["code"]) == ("request-5", "not_found")


def moderate(received: Received) -> Any:
    """Moderations and responses beside the usual APIs."""
    if received.path.endswith("/moderations"):
        return [http(200, orjson.dumps({"id": "modr-1", "model": "omni", "results": [{"flagged": False}]}))]
    if received.path.endswith("/responses"):
        output = [{"type": "message", "content": [{"type": "output_text", "text": "Ho"}]}]
        usage = {"input_tokens": 3, "output_tokens": 2}
        return [
            http(
                200,
                orjson.dumps({"object": "response", "status": "completed", "output": output, "usage": usage}),
            )
        ]
    return answer(received)


def test_all_apis_of_a_file_streamed_or_not(tmp_path: Path) -> None:
    """Each url gets its line, bodies as they stand; only what can be streamed is; tokens of all APIs are counted."""
    lines = [chat(0, "test-model", stream=False), *VLLM[:2], *MORE[:2]]
    with ScriptedEndpoint(moderate) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url)
        provider = f'[provider.house]\nbase_url = "{endpoint.url}"\n[run]\nconcurrency = 1\nstream = true\n'
        batch_job(tmp_path, *lines, model="house/*", more=provider, output="")
        result = folder.call("run", "batch.toml")
        sent = {received.path: received.json() for received in endpoint.requests if received.body}
    assert result.returncode == 0, result.stderr
    assert sent["/v1/responses"]["stream"] is True
    assert "stream" not in sent["/v1/moderations"].keys() | sent["/v1/embeddings"].keys()
    assert sent["/v1/chat/completions"]["stream"] is True
    answers = {line["id"]: line for line in lines_of(tmp_path / "run" / "completions.jsonl")}
    assert answers["request-4"]["embedding"] == [0.5, -0.25]
    assert answers["request-6"]["completion"] == "Ho"
    assert answers["request-6"]["usage"]["prompt_tokens"] == 3
    assert answers["request-7"]["completion"] == '{"flagged":false}'


def test_export_of_requests_and_of_foreign_answers(tmp_path: Path) -> None:
    """The requests of a job go into files, nothing is sent; answers of other runners become our formats (fault 58)."""
    with ScriptedEndpoint() as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=3)
        written = job.call("export", "test.toml", "--format", "openai-batch-input", "-o", "out")
        assert not endpoint.requests
    assert (written.returncode, written.stdout) == (0, "out/batch-input.jsonl\n"), written.stderr
    assert "3 requests in 1 files; nothing was sent" in written.stderr
    assert [line["custom_id"] for line in lines_of(tmp_path / "out" / "batch-input.jsonl")] == ["r0", "r1", "r2"]
    answers = [{"custom_id": f"r{n}", "response": {"status_code": 400}, "error": "no"} for n in range(2)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in answers))
    assert job.call("export", "answers.jsonl", "--format", "csv").returncode == 2
    exported = job.call("export", "answers.jsonl", "--format", "csv", "-o", "new")
    assert exported.stdout.splitlines() == ["new/completions.csv", "new/errors.csv"]
    checked = job.call("verify", "answers.jsonl", "--input", "out/batch-input.jsonl")
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "sound; 1 without an answer")
    assert job.call("verify", "answers.jsonl", "--salvage").returncode == 2


def test_export_names_rows_that_cannot_be_sent(tmp_path: Path) -> None:
    """They are counted, some are named, and the exit code says that not all is there."""
    job = JobFolder(tmp_path, "http://127.0.0.1:1/v1", rows=[{"id": "a", "text": "x"}, {"id": "b"}])
    result = job.call("export", "test.toml", "--format", "openai-batch-input")
    assert result.returncode == 1
    assert result.stdout == "runs/test/batch-input.jsonl\n"
    assert "1 rows cannot be sent" in result.stderr
    assert "rows.jsonl:2" in result.stderr
