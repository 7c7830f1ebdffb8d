"""promptmill report, end to end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.jobs import JobFolder
from tests.support.runs import texts_of, unpacked
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_reply, error

ROWS = [{"id": f"r{number}", "text": f"question {number}", "right": number} for number in range(20)]
SCORE = '[[score]]\nkind = "number"\nexpected = "right"\n[[gate]]\nscore = "number"\nmin = 0.9\n'


def reply(received: Received) -> Iterable[Action]:
    """The number of the question; question 7 is refused."""
    if not received.path.endswith("/chat/completions"):
        return answer(received)
    number = int(received.prompt.split()[-1])
    if number == 7:
        return [error(400, {"error": {"message": "no", "code": "context_length_exceeded"}})]
    return [chat_reply(f"The answer is {number}.")]


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[tuple[JobFolder, ScriptedEndpoint]]:
    """A run of 20 rows, one of which failed; its job has no scores."""
    with ScriptedEndpoint(reply) as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=ROWS)
        assert job.call().returncode == 1
        yield job, endpoint


def test_a_run_without_scores_has_a_report(finished: tuple[JobFolder, ScriptedEndpoint]) -> None:
    """The path of the report goes to stdout, its samples hold what was sent and answered, and nothing is sent."""
    job, endpoint = finished
    sent = len(endpoint.requests)
    ended = job.call("report", "runs/test")
    assert (ended.returncode, ended.stdout) == (0, "runs/test/report.html\n"), ended.stderr
    path = job.directory / "report.html"
    lines = texts_of(path)
    assert [line[0] for line in lines] == [row["id"] for row in ROWS]
    assert lines[3][1] == [[["user", "question 3"]]]
    assert lines[3][4][0][2] == "The answer is 3."
    assert lines[7][4][0][5][1] == "context_length"
    assert not any(line[4][0][1] for line in lines)
    assert len(endpoint.requests) == sent
    page = path.read_text()
    navigation = page[page.index("<nav") : page.index("</nav>")]
    assert re.findall('href="#([a-z]+)"', navigation) == ["scores", "calls", "time", "samples"]
    assert all(f' id="{name}"' in page for name in ("scores", "calls", "time", "samples"))


def test_scores_of_another_job_file(finished: tuple[JobFolder, ScriptedEndpoint]) -> None:
    """--job brings scores and gates; a failed gate is told in the page, and is no failure of the command that writes it."""
    job, _ = finished
    (job.path / "scored.toml").write_text(job.job.read_text() + SCORE)
    ended = job.call("report", "runs/test", "--job", "scored.toml")
    assert ended.returncode == 0, ended.stderr
    path = job.directory / "report.html"
    assert json.loads(unpacked(path, "index"))["states"] == ["5" * 7 + "1" + "5" * 12]
    assert "1 of 1 gates failed" in path.read_text()


def test_misuse(tmp_path: Path) -> None:
    """A folder that is no run is refused in words, with exit code 2."""
    with ScriptedEndpoint() as endpoint:
        ended = JobFolder(tmp_path, endpoint.url).call("report", ".")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_scores_see_columns_that_no_request_needs(tmp_path: Path) -> None:
    """Of a Parquet input, whose columns are read one by one, the report and `plan` have those that only a score names (fault 73)."""
    with ScriptedEndpoint(reply) as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=ROWS)
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
        embedded = 'name = "near"\nkind = "embedding"\nmodel = "house/embedder"\nexpected = "right"\n'
        job.job.write_text(job.job.read_text().replace("rows.jsonl", "rows.parquet") + SCORE + f"[[score]]\n{embedded}")
        assert job.call().returncode == 1
        planned = json.loads(job.call("plan", "test.toml", "--json").stdout)
        assert job.call("report", "runs/test").returncode == 0
    (asked,) = planned["asked"]
    assert (asked["left_out"], asked["calls"]["requests"]) == (0, 19 * 2)
    texts = texts_of(job.directory / "report.html")
    assert [line[3] for line in texts][:2] == [["0", "0"], ["1", "1"]]
