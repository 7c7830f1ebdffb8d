"""Parameters that each row has in a column are checked and sent with that row."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from batch.errors import RowError
from batch.prompts import RequestBuilder
from batch.prompts.row_parameters import checked_value
from tests.support.files import row, variant
from tests.support.jobs import JobFolder
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_reply, error

COLUMNS = {"temperature": "t", "model": "m", "max_tokens": "n"}


def body(columns: dict[str, Any], api: str = "chat/completions") -> dict[str, Any]:
    """What is sent for a row."""
    made = replace(variant({"seed": 1}, {"renames": {"max_tokens": "max_completion_tokens"}}, api=api, user="x"), row_parameters=COLUMNS)
    return orjson.loads(RequestBuilder(made, False).build(row(**columns)).body)


def test_each_row_has_its_own() -> None:
    """Numbers, and the text of numbers as CSV has it, are sent; the model replaces the job's; a row without a value sends none."""
    message = {"messages": [{"role": "user", "content": "x"}], "seed": 1}
    assert body({"t": "0.7", "m": "other", "n": 5}) == {"model": "other", **message, "temperature": 0.7, "max_completion_tokens": 5}
    assert body({"t": None, "m": "", "n": math.nan}) == {"model": "m", **message}
    assert body({"t": 0, "m": "other", "n": 5}, "responses")["model"] == "other"
    assert body({"t": 0, "m": None, "n": 5}, "responses")["max_output_tokens"] == 5


def test_rows_of_other_values_have_other_keys() -> None:
    """The value is part of the request's key."""
    made = replace(variant(user="x"), row_parameters={"temperature": "t"})
    builder = RequestBuilder(made, False)
    assert len({builder.build(row(t=value)).key for value in (0, 0.5, None)}) == 3


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("temperature", Decimal("0.5"), 0.5),
        ("temperature", "1", 1),
        ("max_tokens", "12", 12),
        ("max_tokens", 12.0, 12),
        ("seed", -3, -3),
        ("store", "True", True),
        ("store", False, False),
        ("reasoning_effort", "low", "low"),
        ("stop", '["a", "b"]', ["a", "b"]),
        ("stop", "[", "["),
        ("top_k", 7, 7),
    ],
)
def test_values_are_read_as_what_the_parameter_takes(name: str, value: Any, sent: Any) -> None:
    """Text becomes a number, a flag or JSON where the parameter takes these."""
    assert checked_value(name, value) == sent
    assert type(checked_value(name, value)) is type(sent)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("temperature", "warm", "a number of at least 0"),
        ("temperature", -1, "a number of at least 0"),
        ("temperature", True, "a number of at least 0"),
        ("temperature", [1], "a number of at least 0"),
        ("top_p", 1.5, "a number from 0 to 1"),
        ("max_tokens", 0, "a whole number of at least 1"),
        ("max_tokens", 1.5, "a whole number of at least 1"),
        ("seed", "1e400", "a whole number"),
        ("store", "perhaps", "true or false"),
        ("model", 5, "a text"),
    ],
)
def test_wrong_values_are_errors_of_the_row(name: str, value: Any, wanted: str) -> None:
    """The row, its column, what the parameter must be and what came are named."""
    made = replace(variant(user="x"), row_parameters={name: "c"})
    with pytest.raises(RowError) as caught:
        RequestBuilder(made, False).build(row(c=value))
    assert caught.value.code == "bad_parameter"
    assert f"countries.jsonl:17 (id FR): the column 'c': {name} must be {wanted}, not " in str(caught.value)
    with pytest.raises(RowError, match="needs the column 'c'"):
        RequestBuilder(made, False).build(row(d=value))


def test_a_job_names_columns_of_parameters(tmp_path: Path) -> None:
    """In the job file a parameter may be {column = "…"}: checked before anything is sent, and resumed like all else."""
    rows = [{"id": "a", "text": "x", "t": 0.5, "m": "m1"}, {"id": "b", "text": "y", "t": -1, "m": "m2"}]
    with ScriptedEndpoint(answer) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, preflight=False)
        text = folder.job.read_text().replace("temperature = 0\n", 'temperature = {column = "t"}\nmodel = {column = "m"}\n')
        folder.job.write_text(text)
        assert folder.call().returncode == 1
        (sent,) = endpoint.requests
        assert (sent.json()["temperature"], sent.json()["model"]) == (0.5, "m1")
        assert folder.errors()[0]["error"]["code"] == "bad_parameter"
        assert folder.call().returncode == 1
        assert len(endpoint.requests) == 1
    folder.job.write_text(text.replace('"t"', '"tt"'))
    told = folder.call("run", "test.toml", "--set", "output.dir=runs/other").stderr
    assert "model[0].temperature" in told
    assert "the input has no column 'tt'" in told
    folder.job.write_text(text.replace("temperature =", "temprature ="))
    assert "did you mean temperature" in folder.call("run", "test.toml", "--set", "output.dir=runs/other").stderr
    folder.job.write_text(text.replace('{column = "t"}', '{column = "t"}\nsweep = {temperature = [0, 1]}'))
    assert "set twice" in folder.call("run", "test.toml", "--set", "output.dir=runs/other").stderr


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("wrong", [0, 5, 19])
def test_a_model_that_a_row_alone_names_is_its_own_fault(tmp_path: Path, wrong: int, processes: int) -> None:
    """Promise 13: an endpoint that does not know one row's model refuses that row, and the run goes on to its end."""

    def serves(received: Received) -> Iterable[Action]:
        unknown = received.body and received.json()["model"] == "gone"
        refused = {"error": {"message": "The model `gone` does not exist", "type": "invalid_request_error", "code": "model_not_found"}}
        return [error(404, refused)] if unknown else [chat_reply("ok")]

    rows = [{"id": f"r{number}", "text": f"question {number}", "m": "gone" if number == wrong else "good"} for number in range(20)]
    with ScriptedEndpoint(serves) as endpoint:
        own = 'model = {column = "m"}'
        folder = JobFolder(tmp_path, endpoint.url, rows=rows, preflight=False, concurrency=2, parameters=own, processes=processes)
        assert folder.call().returncode == 1
    assert [(line["id"], line["error"]["code"]) for line in folder.errors()] == [(f"r{wrong}", "model_not_found")]
    assert len(folder.completions()) == 19
