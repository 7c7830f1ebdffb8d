"""Embeddings in bulk: many rows a request, and each row a task of its own all the same."""

from __future__ import annotations

import hashlib
import json
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from tests.support.jobs import JobFolder, check_accounts, ids, run_here
from tests.support.scripted import Action, Received, ScriptedEndpoint, error, http
from tests.support.scripts import wait_for

BULK = '[prompt]\napi = "embeddings"\ntexts_per_request = {size}\ntext = "{{{{ text }}}}"\n'


def vector(text: str, size: int = 4) -> list[float]:
    """What stands for a text: small fractions that a 32-bit float holds exactly."""
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 256 for byte in digest[:size]]


def texts_of(received: Received) -> list[str]:
    """The texts of a request."""
    given = received.json()["input"]
    return given if isinstance(given, list) else [given]


def embedded(texts: Sequence[str], usage: Mapping[str, Any] | None = None, size: int = 4) -> bytes:
    """A reply with a vector for each text, in another order than they came in."""
    data = [{"object": "embedding", "index": place, "embedding": vector(text, size)} for place, text in enumerate(texts)]
    tokens = sum(map(len, texts))
    usage = usage or {"prompt_tokens": tokens, "total_tokens": tokens}
    return http(200, orjson.dumps({"object": "list", "model": "m", "data": data[::-1], "usage": usage}))


def embeds(received: Received) -> Iterable[Action]:
    """A good endpoint."""
    return [embedded(texts_of(received))] if received.body else [http(200, b'{"object": "list", "data": []}')]


class BulkFolder(JobFolder):
    """A job that embeds `text`, up to `size` rows a request."""

    def __init__(self, path: Path, url: str, *, size: int, rows: Any = 10, parameters: str = "", **run: Any) -> None:
        super().__init__(path, url, rows=rows, parameters=parameters, **{"concurrency": 2, "preflight": False, **run})
        text = self.job.read_text().replace("temperature = 0\n", "")
        start, end = text.index("[prompt]"), text.index("[provider")
        self.job.write_text(text[:start] + BULK.format(size=size) + "\n" + text[end:])


def sent_texts(endpoint: ScriptedEndpoint) -> Counter[str]:
    """How often each text was sent."""
    return Counter(text for received in endpoint.requests if received.body for text in texts_of(received))


def test_rows_share_requests_and_keep_outcomes_of_their_own(tmp_path: Path) -> None:
    """103 rows, 10 a request: 11 requests, a right vector each, and usage whose sums are the endpoint's, to the token."""
    rows = [{"id": f"r{number}", "text": "x" * (number % 7 + 1) + str(number)} for number in range(103)]
    uneven = {"prompt_tokens": 1013, "total_tokens": 1013, "prompt_tokens_details": {"cached_tokens": 7}, "cost": 0.25}
    with ScriptedEndpoint(lambda received: [embedded(texts_of(received), uneven)]) as endpoint:
        folder = BulkFolder(tmp_path, endpoint.url, size=10, rows=rows)
        session = run_here(folder)
        assert (session.exit_code, session.tally.requests, session.tally.ok) == (0, 11, 103)
    assert ids(folder.completions()) == [row["id"] for row in rows]
    assert [line["embedding"] for line in folder.completions()] == [vector(row["text"]) for row in rows]
    usages = [line["usage"] for line in folder.completions()]
    assert sum(usage["prompt_tokens"] for usage in usages) == 11 * 1013 == session.tally.prompt_tokens
    assert sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in usages) == 11 * 7
    assert sum(line["cost_usd"] for line in folder.completions()) == pytest.approx(11 * 0.25)
    assert all(usage["prompt_tokens"] == usage["total_tokens"] > 0 for usage in usages)
    # A row of eight characters gets more of the tokens than one of two in the same request.
    assert usages[6]["prompt_tokens"] > usages[0]["prompt_tokens"]
    records = folder.journal()
    assert len({record["key"] for record in records}) == 103
    assert all(len(record["response"]["data"]) == 1 and record["response"]["data"][0]["index"] == 0 for record in records)


def test_a_row_at_fault_fails_alone(tmp_path: Path) -> None:
    """A request that is refused for one of its rows is sent again row by row; the others are answered, and it is said once."""

    def refuses(received: Received) -> Iterable[Action]:
        return [error(400, "bad text") if any("bad" in text for text in texts_of(received)) else embedded(texts_of(received))]

    rows = [{"id": f"r{number}", "text": "bad" if number in (13, 14, 37) else f"text {number}"} for number in range(60)]
    with ScriptedEndpoint(refuses) as endpoint:
        folder = BulkFolder(tmp_path, endpoint.url, size=10, rows=rows, dedupe=False)
        session = run_here(folder)
        sent = sent_texts(endpoint)
    assert (session.exit_code, session.tally.ok, session.tally.failed) == (1, 57, 3)
    assert [line["id"] for line in folder.errors()] == ["r13", "r14", "r37"]
    assert all(line["error"]["message"].startswith("bad text") for line in folder.errors())
    assert len([text for text in session.notices if "each is sent alone" in text]) == 1
    assert {sent[f"text {number}"] for number in range(10)} == {1}
    assert {sent[f"text {number}"] for number in (10, 19, 30, 39)} == {2}
    assert {line["attempts"] for line in folder.completions()} == {1, 2}


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param(lambda data: data[:-1], id="one vector too few"),
        pytest.param(lambda data: [{**each, "index": 0} for each in data], id="no index each"),
        pytest.param(lambda data: [{**data[0], "embedding": []}, *data[1:]], id="an empty vector"),
        pytest.param(lambda data: [{**data[0], "embedding": "!"}, *data[1:]], id="no vector"),
        pytest.param(lambda data: [None, *data[1:]], id="no object"),
    ],
)
def test_an_answer_that_cannot_be_divided_is_asked_for_row_by_row(tmp_path: Path, spoiled: Any) -> None:
    """No row gets a vector of which it is not certain that it is its own; what the whole answer cost is not lost."""

    def spoils(received: Received) -> Iterable[Action]:
        reply = embedded(texts_of(received))
        if len(texts_of(received)) == 1:
            return [reply]
        document = orjson.loads(reply.partition(b"\r\n\r\n")[2])
        return [http(200, orjson.dumps({**document, "data": spoiled(document["data"])}))]

    with ScriptedEndpoint(spoils) as endpoint:
        folder = BulkFolder(tmp_path, endpoint.url, size=5, rows=10, parameters="price = {input = 1000, output = 0}")
        session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.requests, session.tally.doubled) == (0, 10, 12, 2)
    assert [line["embedding"] for line in folder.completions()] == [vector(row["text"]) for row in folder.rows]
    assert sum(line["cost_usd"] for line in folder.completions()) == pytest.approx(2 * sum(len(row["text"]) for row in folder.rows) / 1000)


def test_a_busy_endpoint_gets_the_same_request_again(tmp_path: Path) -> None:
    """A refusal for the rate is no row's fault: the request is retried as it was, and counts once."""
    with ScriptedEndpoint(
        lambda received: [error(429, "slow", {"retry-after": "0"}) if received.number == 1 else embedded(texts_of(received))]
    ) as endpoint:
        folder = BulkFolder(tmp_path, endpoint.url, size=10, rows=10, concurrency=1)
        session = run_here(folder)
        assert [len(texts_of(received)) for received in endpoint.requests] == [10, 10]
    assert (session.exit_code, session.tally.ok, session.tally.requests, session.tally.retries) == (0, 10, 2, 1)


def test_rows_with_other_parameters_do_not_share_a_request(tmp_path: Path) -> None:
    """A row's own model or size of vectors stays its own: only rows with the same share a request."""
    rows = [{"id": f"r{n}", "text": f"text {n}", "size": (2, 3)[n % 2], "model": "m2" if n == 4 else None} for n in range(12)]
    with ScriptedEndpoint(lambda received: [embedded(texts_of(received), size=received.json()["dimensions"])]) as endpoint:
        own = 'dimensions = {column = "size"}\nmodel = {column = "model"}'
        folder = BulkFolder(tmp_path, endpoint.url, size=4, rows=rows, parameters=own)
        assert run_here(folder).exit_code == 0
        sizes = sorted(len(texts_of(received)) for received in endpoint.requests)
    assert [line["embedding"] for line in folder.completions()] == [vector(row["text"], row["size"]) for row in rows]
    assert sizes == [1, 1, 2, 4, 4]


def test_equal_texts_are_sent_once(tmp_path: Path) -> None:
    """Dedupe finds the equal rows before they are put into requests."""
    rows = [{"id": f"r{number}", "text": f"text {number % 5}"} for number in range(50)]
    with ScriptedEndpoint(embeds) as endpoint:
        folder = BulkFolder(tmp_path, endpoint.url, size=4, rows=rows)
        session = run_here(folder)
        assert set(sent_texts(endpoint).values()) == {1}
    assert (session.exit_code, session.tally.ok, session.tally.copies) == (0, 50, 45)
    assert [line["embedding"] for line in folder.completions()] == [vector(row["text"]) for row in rows]


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_in_the_middle_only_what_is_missing_is_sent(tmp_path: Path, processes: int) -> None:
    """Promises 1 and 4: killed and gone on, with one process and with two, every row has one record, and few were sent twice."""
    with ScriptedEndpoint(embeds) as endpoint:
        folder = BulkFolder(tmp_path, endpoint.url, size=8, rows=4000, processes=processes, durability="row")
        process = folder.start(measured=False)
        wait_for(lambda: len(endpoint.requests) > 60, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        ended = folder.run()
        assert ended.returncode == 0, ended.stderr
        sent = sent_texts(endpoint)
        again = folder.run()
        assert (again.returncode, sent_texts(endpoint)) == (0, sent)
    check_accounts(folder)
    assert [line["embedding"] for line in folder.completions()] == [vector(row["text"]) for row in folder.rows]
    assert len(sent) == 4000
    assert sum(sent.values()) - 4000 <= 2 * processes * 2 * 8


def test_a_budget_is_kept_by_requests(tmp_path: Path) -> None:
    """What a request of many rows may cost is reserved before it leaves; the run stops within the budget and goes on with more."""
    with ScriptedEndpoint(embeds) as endpoint:
        folder = BulkFolder(
            tmp_path, endpoint.url, size=10, rows=400, parameters="price = {input = 1000, output = 0}", max_cost_usd=2.0, concurrency=1
        )
        session = run_here(folder)
        assert session.exit_code == 4
        spent = sum(line["cost_usd"] for line in folder.completions())
        assert 1.0 < spent <= 2.0
        assert run_here(folder, "run.max_cost_usd=100").exit_code == 0
        assert set(sent_texts(endpoint).values()) == {1}


def test_only_embeddings_take_several_texts(tmp_path: Path) -> None:
    """A chat has one prompt: the setting is refused with its line."""
    folder = JobFolder(tmp_path, "http://127.0.0.1:9/v1")
    folder.job.write_text(folder.job.read_text().replace("[prompt]\n", "[prompt]\ntexts_per_request = 8\n"))
    told = folder.call()
    assert told.returncode == 2
    assert "prompt.texts_per_request" in told.stderr
    assert "cannot be used with api = 'chat/completions'" in told.stderr


def test_plan_counts_requests(tmp_path: Path) -> None:
    """`plan` says how many requests there will be, not how many rows."""
    folder = BulkFolder(tmp_path, "http://127.0.0.1:9/v1", size=10, rows=103, requests_per_minute=11)
    planned = json.loads(folder.call("plan", "test.toml", "--json").stdout)
    (variant,) = planned["variants"]
    assert (variant["tasks"], variant["requests"], variant["at_least_s"]) == (103, 11, 60.0)


def parquet_run(tmp_path: Path, endpoint: ScriptedEndpoint, rows: int, second: str = "", **output: Any) -> list[pq.ParquetFile]:
    """The Parquet files that a run of `rows` texts leaves; `second` are the lines of a further model."""
    folder = BulkFolder(tmp_path, endpoint.url, size=16, rows=rows)
    more = "".join(f"{name} = {json.dumps(value)}\n" for name, value in output.items())
    text = folder.job.read_text().replace("[output]\n", f'[output]\nformat = "parquet"\n{more}').replace("[run]\n", f"{second}\n[run]\n")
    folder.job.write_text(text)
    ended = folder.call()
    assert ended.returncode in (0, 1), ended.stderr
    return [pq.ParquetFile(path) for path in sorted(folder.directory.glob("completions*.parquet"))]


@pytest.mark.parametrize("parts", [{}, {"rows_per_part": 30}])
def test_vectors_are_fixed_size_lists_of_32_bit_floats(tmp_path: Path, parts: dict[str, Any]) -> None:
    """Arrow gives the vectors to numpy without a copy; all parts have one type, the one without an answer in it too."""

    def half(received: Received) -> Iterable[Action]:
        texts = texts_of(received)
        return [error(400, "late") if any(int(text.split()[-1]) >= 60 for text in texts) else embedded(texts)]

    with ScriptedEndpoint(half) as endpoint:
        files = parquet_run(tmp_path, endpoint, 90, **parts)
    assert len(files) == (3 if parts else 1)
    assert {str(file.schema_arrow.field("embedding").type) for file in files} == {"fixed_size_list<element: float>[4]"}
    found = [value for file in files for value in file.read().column("embedding").to_pylist()]
    assert found == [vector(f"question {number}") for number in range(60)]


def test_vectors_of_several_sizes_are_lists(tmp_path: Path) -> None:
    """Two models with vectors of their own sizes share a file."""
    with ScriptedEndpoint(lambda received: [embedded(texts_of(received), size=received.json().get("dimensions", 4))]) as endpoint:
        (file,) = parquet_run(tmp_path, endpoint, 20, '[[model]]\nid = "house/small"\ndimensions = 2\n')
    assert str(file.schema_arrow.field("embedding").type) == "list<element: float>"
    assert sorted({len(value) for value in file.read().column("embedding").to_pylist()}) == [2, 4]
