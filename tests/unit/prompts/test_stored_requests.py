"""Requests that the rows hold whole: the lines of OpenAI's batch files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from batch.errors import InputError, RowError
from batch.job import from_document
from batch.prompts import RequestBuilder
from batch.readers import Dataset
from batch.records import BadRow, Request, Row
from batch.settings.embedded import EmbeddedModelSettings
from tests.support.files import row, variant
from tests.support.jobs import loaded, problem

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "é"}], "max_tokens": 5}
JOB = '[input]\npath = "batch.jsonl"\n{input}\n\n[[model]]\nid = "{model}"\n{more}\n'
LINE: dict[str, Any] = {"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}


def sent(body: Any = CHAT, url: Any = "/v1/chat/completions", *, stream: bool = False, model: str = "*", **settings: Any) -> Request:
    """The request for a row with this body and url."""
    builder = RequestBuilder(variant(settings.get("parameters"), settings.get("provider"), model, stored=True), stream)
    return builder.build(row(custom_id="request-1", method="POST", url=url, body=body))


def read(request: Request) -> Any:
    """The body that is sent."""
    return orjson.loads(request.body)


def test_bodies_are_sent_as_they_are() -> None:
    """Order, unknown members, nulls and large numbers stay; no member is added."""
    body = {"zzz": None, **CHAT, "logit_bias": {"5": -1}, "big": 2**70}
    assert sent(body).body == json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("url", "api"),
    [
        (f"{version}/{api}", api)
        for version in ("/v1", "")
        for api in ("chat/completions", "completions", "embeddings", "responses", "moderations")
    ],
)
def test_each_line_has_its_own_api(url: str, api: str) -> None:
    """Urls of one file may differ; Azure's have no /v1."""
    assert sent({"model": "m", "input": "x"}, url).api == api


def test_lines_without_method_and_url_are_chats() -> None:
    """As Together's and Mistral's batch files have them."""
    request = RequestBuilder(variant(model="*", stored=True), False).build(row(custom_id="1", body=CHAT))
    assert (request.api, read(request)) == ("chat/completions", CHAT)


def test_what_the_model_entry_says_comes_over_the_body() -> None:
    """A model and parameters of the entry replace the body's; the other name of the length goes, and each API takes what it knows."""
    parameters = {"temperature": 0, "max_tokens": 9, "top_k": 4}
    provider = {"renames": {"max_tokens": "max_completion_tokens"}}
    changed = read(sent(model="new/model", parameters=parameters, provider=provider))
    assert changed == {
        "model": "new/model", "messages": CHAT["messages"], "temperature": 0, "max_completion_tokens": 9, "top_k": 4
    }  # fmt: skip
    responses = read(sent({"model": "m", "input": "x", "max_output_tokens": 3}, "/v1/responses", parameters=parameters, provider=provider))
    assert responses == {"model": "m", "input": "x", "temperature": 0, "top_k": 4, "max_output_tokens": 9}
    assert read(sent({"model": "m", "input": "x"}, "/v1/embeddings", parameters=parameters)) == {"model": "m", "input": "x", "top_k": 4}


def test_the_key_follows_the_request_but_not_the_stream() -> None:
    """Promise 9: url, model and body decide; `stream` in a body is put aside, since [run] decides it."""
    keys = {sent().key, sent(url="/v1/completions").key, sent({**CHAT, "max_tokens": 6}).key, sent(model="other").key}
    assert len(keys) == 4
    streamed = {**CHAT, "stream": True, "stream_options": {"x": 1}}
    assert sent(streamed).key == sent(streamed, stream=True).key == sent().key
    assert sent(streamed).body == sent().body
    assert read(sent(streamed, stream=True)) == {**CHAT, "stream": True, "stream_options": {"include_usage": True, "x": 1}}
    assert read(sent({"model": "m", "input": "x"}, "/v1/responses", stream=True)) == {"model": "m", "input": "x", "stream": True}
    assert "stream" not in read(sent({"model": "m", "input": "x"}, "/v1/embeddings", stream=True))


def test_the_same_request_from_a_template_has_the_same_key() -> None:
    """A job that moves from a template to a batch file goes on."""
    made = RequestBuilder(variant({"max_tokens": 5}, model="gpt-4o-mini", user="é"), False).build(row())
    assert (made.key, made.body) == (sent().key, sent().body)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"method": "GET"}, "its method must be \"POST\", not 'GET'"),
        ({"url": "/v1/audio/speech"}, r"its url '/v1/audio/speech' cannot be called; choose one of: /v1/chat/completions, "),
        ({"url": 7}, "its url 7 cannot be called"),
        ({"body": "{}"}, "its body must be an object"),
        ({"body": {"messages": []}}, 'names no model; name one for all rows: id = "PROVIDER/MODEL"'),
        ({"body": {**CHAT, "background": True}}, "in the background"),
    ],
)
def test_lines_that_cannot_be_sent_are_named(columns: dict[str, Any], says: str) -> None:
    """Each becomes an error record of code bad_row with its line (fault 49)."""
    with pytest.raises(RowError, match=rf"countries\.jsonl:17.*{says}") as caught:
        RequestBuilder(variant(model="*", stored=True), False).build(row(**{**LINE, **columns}))
    assert caught.value.code == "bad_row"


def test_a_moderation_needs_no_model() -> None:
    """OpenAI's own default is used."""
    assert read(sent({"input": "x"}, "/v1/moderations")) == {"input": "x"}


def folder(path: Path, *lines: Any) -> Path:
    """`path`, with these lines in batch.jsonl."""
    (path / "batch.jsonl").write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def job(input_: str = "", model: str = "openai/*", more: str = "") -> str:
    """A job file over batch.jsonl."""
    return JOB.format(input=input_, model=model, more=more)


@pytest.mark.parametrize("setting", ['format = "openai-batch"', "", 'id = "custom_id"'])
def test_a_job_without_prompt_over_requests(tmp_path: Path, setting: str) -> None:
    """The format may be named, or is known by the first line; run.json keeps it, so that a resumed run does not look again."""
    found = loaded(folder(tmp_path, LINE), job(setting))
    assert (found.job.input.format, found.job.input.id) == ("openai-batch", "custom_id")
    assert found.job.variants[0].prompt.stored
    again = from_document(found.document)
    assert again.job.input == found.job.input
    assert found.document["input"]["format"] == "openai-batch"


@pytest.mark.parametrize(
    "line", ["{bad", '{"question": "x"}', {**LINE, "method": "GET"}, {**LINE, "body": "x"}, {"custom_id": "1", "body": CHAT}]
)
def test_other_rows_are_not_taken_for_requests(tmp_path: Path, line: Any) -> None:
    """Without a prompt, and without all the marks of a request, the prompt is what is missing; the hint names the format."""
    wrong = problem(folder(tmp_path, line), job(model="openai/gpt-5-mini"))
    assert (wrong.key, wrong.message) == ("prompt", "is missing")
    assert 'format = "openai-batch"' in str(wrong.hint)


def test_rows_like_requests_under_a_prompt_are_rows(tmp_path: Path) -> None:
    """A prompt always means its columns: nothing is found out behind its back."""
    found = loaded(folder(tmp_path, LINE), '[prompt]\nuser = "{{ body }}"\n' + job(model="openai/gpt-5-mini"))
    assert (found.job.input.format, found.job.input.id) == ("auto", None)


def test_what_does_not_go_with_requests(tmp_path: Path) -> None:
    """A prompt beside whole requests, another id, and * without requests are told with their lines."""
    path = folder(tmp_path, LINE)
    asked = problem(path, '[prompt]\nuser = "x"\n' + job('format = "openai-batch"'))
    assert (asked.key, asked.place) == ("prompt", "job.toml:1")
    assert "cannot be used with" in asked.message
    assert problem(path, job('format = "openai-batch"\nid = "n"')).key == "input.id"
    star = problem(path, '[prompt]\nuser = "x"\n' + job())
    assert "names no model" in star.message


def test_the_embedded_model_answers_and_embeds(tmp_path: Path) -> None:
    """Requests of both kinds may stand in one file, so the local server is set up for both."""
    (made,) = loaded(folder(tmp_path, LINE), job(model="local/*")).job.variants
    assert made.provider.embedded == EmbeddedModelSettings(embedding=True)
    assert (made.name, made.slug, made.model) == ("local/*", "local", "*")


def test_lines_without_custom_id_are_errors_and_doubles_are_refused(tmp_path: Path) -> None:
    """A line without id is an error record, all others run; a custom_id that stands twice has no one answer (fault 49)."""
    path = folder(tmp_path, LINE, {**LINE, "custom_id": None}, "{bad", {**LINE, "custom_id": "request-2"})
    data = Dataset(loaded(path, job()).job.input)
    data.check_ids()
    rows = [row for batch in data.batches() for row in batch]
    assert [row.id for row in rows] == ["request-1", "batch.jsonl:2 (row 1)", "batch.jsonl:3 (row 2)", "request-2"]
    assert [row.code if isinstance(row, BadRow) else "" for row in rows] == ["", "bad_id", "bad_row", ""]
    assert isinstance(rows[0], Row)
    with pytest.raises(InputError, match=r"duplicate id request-1: .*batch\.jsonl:1 and .*batch\.jsonl:2"):
        Dataset(loaded(folder(tmp_path, LINE, LINE), job()).job.input).check_ids()
