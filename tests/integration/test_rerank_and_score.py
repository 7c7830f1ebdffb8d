"""Rerank and score as APIs of a prompt: requests by templates or columns, scores by index, usage and prices."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from tests.support.jobs import JobFolder, problem, run_here
from tests.support.scripted import Action, Received, ScriptedEndpoint, error, http

RERANK = 'api = "rerank"\nquery = "{{ question }}"\ndocuments = "found"\n'
SCORE = 'api = "score"\ntext_1 = "{{ question }}"\ntext_2 = "{{ found[0] }}"\n'
ROWS = [{"id": f"r{n}", "question": f"q{n}", "found": ["a" * (n + 1), "b", {"text": "c"}]} for n in range(5)]


def relevance(document: Any) -> float:
    """What the endpoint thinks of a document."""
    return len(document if isinstance(document, str) else document["text"]) / 8


def rerank_reply(body: dict[str, Any], **more: Any) -> bytes:
    """A reply in the shape of vLLM, Jina and Cohere: the best first."""
    results = [{"index": place, "relevance_score": relevance(each)} for place, each in enumerate(body["documents"])]
    best = sorted(results, key=lambda each: -each["relevance_score"])[: body.get("top_n")]
    return http(200, orjson.dumps({"id": "x", "results": best, **more}))


def reranks(received: Received) -> Iterable[Action]:
    """The usage of vLLM: tokens in all, none of an answer."""
    return [rerank_reply(received.json(), model="m", usage={"total_tokens": 21})]


def job(path: Path, url: str, prompt: str, *, parameters: str = "", rows: Any = None, **run: Any) -> JobFolder:
    """A job with this prompt."""
    folder = JobFolder(path, url, rows=ROWS if rows is None else rows, parameters=parameters, preflight=False, **run)
    text = folder.job.read_text().replace("temperature = 0\n", "").replace('columns = ["text"]', 'columns = ["question"]')
    start, end = text.index("[prompt]"), text.index("[provider")
    folder.job.write_text(f"{text[:start]}[prompt]\n{prompt}\n{text[end:]}")
    return folder


def test_documents_of_a_column_are_ranked(tmp_path: Path) -> None:
    """The request is the API's own; `scores` are by the document's place, whatever order they came in, and tokens have their price."""
    with ScriptedEndpoint(reranks) as endpoint:
        folder = job(tmp_path, endpoint.url, RERANK, parameters="return_documents = false\nprice = {input = 1000}")
        session = run_here(folder)
        sent = {received.path: received.json() for received in endpoint.requests}
    assert session.exit_code == 0
    assert [path for path in sent if path.endswith("/v1/rerank")] == list(sent)
    assert list(sent["/v1/rerank"]) == ["model", "query", "documents", "return_documents"]
    lines = folder.completions()
    assert [line["scores"] for line in lines] == [[relevance(each) for each in row["found"]] for row in ROWS]
    assert [each["index"] for each in orjson.loads(lines[4]["completion"])] == [0, 1, 2]
    assert {line["usage"]["prompt_tokens"] for line in lines} == {21}
    assert {line["cost_usd"] for line in lines} == {0.021}


def test_documents_without_a_score_are_null(tmp_path: Path) -> None:
    """With `top_n` the others have no score; a row may have its own, and Parquet has a list of doubles."""
    with ScriptedEndpoint(reranks) as endpoint:
        rows = [{**row, "best": number % 3 + 1} for number, row in enumerate(ROWS)]
        folder = job(tmp_path, endpoint.url, RERANK, parameters='top_n = {column = "best"}', rows=rows)
        folder.job.write_text(folder.job.read_text().replace("[output]\n", '[output]\nformat = "parquet"\n'))
        assert folder.call().returncode == 0
    table = pq.read_table(folder.directory / "completions.parquet")
    assert str(table.schema.field("scores").type) == "list<element: double>"
    assert table["scores"].to_pylist()[3] == [relevance(ROWS[3]["found"][0])]
    assert table["scores"].to_pylist()[1] == [relevance(ROWS[1]["found"][0]), 0.125]


def test_search_units_are_billed_as_requests(tmp_path: Path) -> None:
    """Cohere states units and no tokens: `price.per_request` is for each."""
    with ScriptedEndpoint(lambda received: [rerank_reply(received.json(), meta={"billed_units": {"search_units": 2}})]) as endpoint:
        folder = job(tmp_path, endpoint.url, RERANK, parameters="price = {input = 0, per_request = 0.002}")
        assert run_here(folder, "run.max_cost_usd=1").exit_code == 0
    assert {line["cost_usd"] for line in folder.completions()} == {0.004}
    assert folder.completions()[0]["usage"] == {"search_units": 2}


@pytest.mark.parametrize("several", [False, True])
def test_texts_are_scored(tmp_path: Path, several: bool) -> None:
    """The score API of vLLM: a text against a text, or against each text of a column."""

    def scores(received: Received) -> Iterable[Action]:
        body = received.json()
        texts = body["text_2"] if isinstance(body["text_2"], list) else [body["text_2"]]
        data = [{"index": place, "object": "score", "score": relevance(each)} for place, each in enumerate(texts)]
        usage = {"prompt_tokens": 5, "total_tokens": 5, "completion_tokens": 0}
        return [http(200, orjson.dumps({"object": "list", "model": "m", "data": data[::-1], "usage": usage}))]

    with ScriptedEndpoint(scores) as endpoint:
        prompt = SCORE.replace('"{{ found[0] }}"', '"found"') if several else SCORE
        folder = job(tmp_path, endpoint.url, prompt)
        assert run_here(folder).exit_code == 0
        assert all(received.path.endswith("/v1/score") for received in endpoint.requests)
    wanted = [[relevance(each) for each in row["found"]] for row in ROWS]
    assert [line["scores"] for line in folder.completions()] == (wanted if several else [found[:1] for found in wanted])
    shown = folder.call("show", "runs/test", "r1")
    assert "score" in shown.stdout


@pytest.mark.parametrize(
    "reply",
    [
        {"results": []},
        {"results": [{"index": 0, "relevance_score": "high"}]},
        {"results": [{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 2}]},
        {"results": [{"index": -1, "relevance_score": 1}]},
        {"results": [{"index": 10**12, "relevance_score": 1}]},
        {"results": [7]},
    ],
)
def test_a_reply_without_scores_is_no_answer(tmp_path: Path, reply: dict[str, Any]) -> None:
    """Promise 5: what has no finite score for each index fails its row, and ends no run with a traceback."""
    with ScriptedEndpoint(lambda received: [http(200, orjson.dumps(reply))]) as endpoint:
        folder = job(tmp_path, endpoint.url, RERANK, rows=ROWS[:1])
        assert run_here(folder).exit_code in (1, 5)
    assert folder.completions() == []


def test_rows_whose_documents_cannot_be_sent_fail_alone(tmp_path: Path) -> None:
    """A list as JSON text, as CSV has it, is read; an empty one and a number are errors of their rows, that name row and column."""
    found = ['["x", "y"]', "one text", [], 7, ["ok", None], None]
    rows = [{"id": f"r{number}", "question": "q", "found": each} for number, each in enumerate(found)]
    with ScriptedEndpoint(reranks) as endpoint:
        folder = job(tmp_path, endpoint.url, RERANK, rows=rows)
        assert run_here(folder).exit_code == 1
        assert sorted(received.json()["documents"] for received in endpoint.requests) == [["one text"], ["x", "y"]]
    errors = folder.errors()
    assert [line["id"] for line in errors] == ["r2", "r3", "r4", "r5"]
    assert all("rows.jsonl:" in line["error"]["message"] and "'found'" in line["error"]["message"] for line in errors)


def test_equal_pairs_are_sent_once_and_errors_are_the_rows_own(tmp_path: Path) -> None:
    """Scores are repeatable, so that equal requests share one; a refused row fails."""
    rows = [{"id": f"r{number}", "question": "bad" if number == 3 else "q", "found": ["x"]} for number in range(8)]

    def refuses(received: Received) -> Iterable[Action]:
        return [error(400, "bad query")] if received.json()["query"] == "bad" else reranks(received)

    with ScriptedEndpoint(refuses) as endpoint:
        folder = job(tmp_path, endpoint.url, RERANK, rows=rows)
        session = run_here(folder)
    assert (session.tally.ok, session.tally.failed, session.tally.copies) == (7, 1, 6)


@pytest.mark.parametrize(
    ("prompt", "key", "said"),
    [
        ('api = "rerank"\nquery = "{{ question }}"', "prompt", "has no documents"),
        ('api = "score"\ntext_1 = "{{ question }}"', "prompt", "has no text_2"),
        (RERANK + 'user = "x"', "prompt.user", "cannot be used with api = 'rerank'"),
        ('user = "{{ question }}"\nquery = "x"', "prompt.query", "cannot be used with api = 'chat/completions'"),
        (RERANK.replace("{{ question }}", "{{ question"), "prompt.query", "not a template"),
        (RERANK.replace('"found"', '["{{ a }}", "{{ b"]'), "prompt.documents[1]", "not a template"),
    ],
)
def test_a_prompt_without_its_texts_is_refused(tmp_path: Path, prompt: str, key: str, said: str) -> None:
    """Every mistake is found before anything is sent, with its key."""
    found = problem(
        tmp_path, f'[input]\npath = "rows.jsonl"\n[prompt]\n{prompt}\n[provider.house]\nbase_url = "http://h"\n[[model]]\nid = "house/m"\n'
    )
    assert found.key == key
    assert said in found.message


def test_a_column_that_the_input_lacks_is_found_at_once(tmp_path: Path) -> None:
    """A misspelt column of documents is a mistake in the job, not of each row."""
    folder = job(tmp_path, "http://127.0.0.1:9/v1", RERANK.replace('"found"', '"fuond"'))
    ended = folder.call()
    assert ended.returncode == 2
    assert "prompt.documents" in ended.stderr
    assert "found" in ended.stderr
