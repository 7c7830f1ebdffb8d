"""promptmill score and compare, end to end and as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from batch.app.evaluate import Comparison, EvaluationReport
from batch.cli.comparison import comparisons, leaderboards
from batch.evaluation.gates import GateResult
from batch.evaluation.reading import ScoreResult, VariantStats
from batch.evaluation.table import ScoreTable, State
from batch.evaluation.verdict import reach_verdict
from batch.rundir.local import RunDirectory
from batch.settings import GateSettings, ScoreSettings
from tests.support.jobs import JobFolder, called
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_reply, error

ROWS = [{"id": f"r{number}", "text": f"question {number}", "right": number} for number in range(20)]
SCORE = '[[score]]\nkind = "number"\nexpected = "right"\n'


def reply(received: Received) -> Iterable[Action]:
    """The number of the question, 99 for those from 15 on; question 7 is refused."""
    if not received.path.endswith("/chat/completions"):
        return answer(received)
    number = int(received.prompt.split()[-1])
    if number == 7:
        return [error(400, {"error": {"message": "no", "code": "context_length_exceeded"}})]
    return [chat_reply(f"The answer is {number if number < 15 else 99}.")]


def unstyled(text: str) -> str:
    """The text without the console's marks of style."""
    return re.sub("[\ufdd0-\ufdd7]", "", text)


def asked(endpoint: ScriptedEndpoint) -> int:
    """How many prompts were sent."""
    return sum(received.path.endswith("/chat/completions") for received in endpoint.requests)


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[tuple[JobFolder, ScriptedEndpoint]]:
    """A run with 14 right, 5 wrong and 1 failed of 20 rows."""
    with ScriptedEndpoint(reply) as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=ROWS)
        job.job.write_text(job.job.read_text() + SCORE)
        assert job.call().returncode == 1
        yield job, endpoint


def test_run_warns_of_columns_that_scores_will_miss(tmp_path: Path) -> None:
    """A misspelt column of a score is told with the first rows, not when all are paid for; a right one is not."""
    with ScriptedEndpoint(reply) as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=ROWS)
        job.job.write_text(job.job.read_text() + SCORE.replace('"right"', '"rigth"') + 'slices = ["txet"]\n')
        warned = job.call().stderr
        assert "score number: in none of the first 20 rows can an answer be judged: the row has no rigth (did you mean 'right'?)" in warned
        assert "score number: none of the first 20 rows has a column 'txet' (did you mean 'text'?)" in warned
        job.job.write_text(job.job.read_text().replace('"rigth"', '"right"').replace('"txet"', '"text"'))
        assert "score number" not in job.call().stderr


def test_score_and_compare_send_nothing(finished: tuple[JobFolder, ScriptedEndpoint]) -> None:
    """Scores are made once and read back; leaderboard to stdout, the rest to stderr; marks as Parquet; not one request more."""
    job, endpoint = finished
    sent = asked(endpoint)
    first, second = job.call("score", "runs/test"), job.call("score", "runs/test")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "house/test-model" in first.stdout
    assert "70.0 %" in first.stdout
    assert first.stderr == "promptmill: scored again: number; in runs/test/scores\n"
    assert (second.stdout, second.stderr) == (first.stdout, "promptmill: nothing had changed; in runs/test/scores\n")
    compared = job.call("compare", "runs/test")
    assert compared.stdout.splitlines()[1].startswith("house/test-model scores 70.0 %")
    marks = pq.read_table(job.directory / "scores/number.parquet").to_pylist()
    assert [(mark["id"], mark["state"], mark["value"], mark["extracted"]) for mark in marks[5:8]] == [
        ("r5", "scored", 1.0, "5"),
        ("r6", "scored", 1.0, "6"),
        ("r7", "failed", None, None),
    ]
    assert asked(endpoint) == sent


@pytest.mark.parametrize("command", ["score", "compare", "report"])
def test_a_run_is_opened_once(finished: tuple[JobFolder, ScriptedEndpoint], monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """run.json is read, and the job of the run made from it, once a command, whatever reads of the run follow."""
    job, _ = finished
    opened: list[Path] = []
    read = RunDirectory._read_manifest
    monkeypatch.setattr(RunDirectory, "_read_manifest", lambda directory: opened.append(directory.path) or read(directory))
    assert called(job, command, "runs/test").exit_code == 0
    assert len(opened) == 1


def test_other_scores_send_nothing_again(finished: tuple[JobFolder, ScriptedEndpoint]) -> None:
    """Scores and gates are no part of a request: a run goes on with others, and --job takes them without a run (promise 9)."""
    job, endpoint = finished
    sent = asked(endpoint)
    job.job.write_text(job.job.read_text() + '[[score]]\nkind = "contains"\nname = "says-answer"\nexpected = "answer {{ \'\' }}"\n')
    scored = job.call("score", "runs/test", "--job", "test.toml")
    assert scored.returncode == 0, scored.stderr
    assert scored.stderr == "promptmill: scored again: number, says-answer; in runs/test/scores\n"
    again = job.call()
    assert (again.returncode, asked(endpoint)) == (1, sent), again.stderr
    assert "says-answer" in job.call("compare", "runs/test").stdout


@pytest.mark.parametrize("command", ["score", "compare"])
@pytest.mark.parametrize(("bound", "code"), [("min = 0.4", 0), ("min = 0.65", 3), ("max = 0.9", 0), ("max = 0.75", 3)])
def test_gates_set_the_exit_code(finished: tuple[JobFolder, ScriptedEndpoint], command: str, bound: str, code: int) -> None:
    """A gate that is not passed ends with 3 and one line that says why."""
    job, _ = finished
    job.job.write_text(f'{job.job.read_text()}[[gate]]\nscore = "number"\n{bound}\n')
    result = job.call(command, "runs/test", "--job", "test.toml")
    assert result.returncode == code, result.stderr
    told = [line for line in result.stderr.splitlines() if "gate failed" in line]
    assert len(told) == (code == 3)
    assert code == 0 or told[0].startswith("promptmill: error: gate failed: number: house/test-model: score 70.0 % [")


def test_json(finished: tuple[JobFolder, ScriptedEndpoint]) -> None:
    """--json has the findings, the sentences and the facts."""
    job, _ = finished
    document = json.loads(job.call("compare", "runs/test", "--json").stdout)
    (score,) = document["scores"]
    assert score["findings"]["standings"][0]["summary"]["counts"] == {"scored": 19, "unscored": 0, "failed": 1, "missing": 0}
    assert score["verdict"][0].startswith("house/test-model scores 70.0 %")
    assert document["variants"][0]["failures"] == {"context_length": 1}


def test_a_run_without_scores(tmp_path: Path) -> None:
    """What is missing is told, with an example."""
    with ScriptedEndpoint() as endpoint:
        job = JobFolder(tmp_path, endpoint.url)
        job.call()
    result = job.call("score", "runs/test")
    assert result.returncode == 2
    assert 'has no [[score]]; add one (kind = "exact", expected = "COLUMN")' in result.stderr


def test_files_of_others(tmp_path: Path) -> None:
    """Any lines with answers are scored, with right values in them or in another file."""
    job = JobFolder(tmp_path, "http://127.0.0.1:9")
    answers = [{"id": f"r{number}", "model": model, "output": f"It is {number + (model == 'b')}"} for model in "ab" for number in range(4)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in answers))
    (tmp_path / "right.csv").write_text("code,right\n" + "".join(f"r{number},{number}\n" for number in range(4)))
    options = ["--kind", "number", "--expected", "right", "--rows", "right.csv", "--id", "code"]
    result = job.call("score", "answers.jsonl", *options)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "answers.jsonl: number (number against right; 4 rows)"
    assert [line.split()[:4] for line in lines[2:4]] == [["A", "a", "1-2", "100.0"], ["B", "b", "1-2", "0.0"]]
    lenient = job.call("score", "answers.jsonl", *options, "--option", "tolerance=1")
    assert [line.split()[3] for line in lenient.stdout.splitlines()[2:4]] == ["100.0", "100.0"]


MISUSES = [
    (["score", "answers.jsonl"], "Say how to score these files"),
    (["score", "answers.jsonl", "--kind", "exakt", "--expected", "x"], "'exakt' is not a kind of score (did you mean exact?)"),
    (["score", "answers.jsonl", "--kind", "number"], "expected: is missing"),
    (["score", "answers.jsonl", "--kind", "number", "--expected", "x", "--option", "y"], "'y' has no '='"),
    (
        ["score", "answers.jsonl", "--kind", "number", "--expected", "x", "--option", "tolerance=-1"],
        "tolerance: must be a number, at least 0",
    ),
    (["score", "answers.jsonl", "--job", "test.toml"], "has no [[score]] that needs no model"),
    (["score", ".", "--kind", "number"], "--kind is for files"),
    (["score", ".", "--option", "a=1"], "--option is for files"),
    (["score", ".", "--id", "a"], "--id is for files"),
    (["score", "."], "no run was begun here"),
    (["compare", "nowhere"], "no run was begun here"),
]


@pytest.mark.parametrize(("words", "message"), MISUSES)
def test_misuse(tmp_path: Path, words: Sequence[str], message: str) -> None:
    """Wrong use ends with 2 and says what to do."""
    job = JobFolder(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "answers.jsonl").write_text('{"output": "5"}\n')
    result = job.call(*words)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def report_of(names: Sequence[str], rows: int = 200, repeats: int = 1) -> EvaluationReport:
    """A report on seeded marks, each variant worse than the one before, with some failures."""
    rng = np.random.default_rng(7)
    chances = np.linspace(0.9, 0.6, len(names))[:, None, None]
    values = (rng.random((len(names), rows, repeats)) < chances).astype(float)
    states = np.full(values.shape, State.SCORED, np.uint8)
    failed = rng.random(values.shape) < 0.05
    values[failed], states[failed] = np.nan, State.FAILED
    table = ScoreTable("exact", True, tuple(names), tuple(map(str, range(rows))), None, values, states)
    verdict = reach_verdict(table, costs=dict.fromkeys(names, 1.5), failures={names[0]: {"server_error": 4}})
    judged = ScoreResult(ScoreSettings(name="exact", kind="exact", expected="right"), table, {}, 3, "the row has no right")
    facts = tuple(VariantStats(name, rows, 0, 0, {}, 1.5, 1.2, 3.4, 0.3, 100, 100) for name in names)
    gate = GateResult(GateSettings(score="exact", minimum=0.5), names[0], True, None, "exact: kept")
    return EvaluationReport("job", (Comparison(judged, verdict),), facts, (gate,), (), None)


def test_repeats_have_columns_of_their_own() -> None:
    """Where rows were asked three times, the shares of one right and of all right stand in the leaderboard."""
    assert "pass@" not in leaderboards(report_of(["a", "b"]), 200)
    text = leaderboards(report_of(["a", "b"], repeats=3), 200)
    assert "pass@3" in text
    assert "pass^3" in text


@pytest.mark.parametrize("width", [60, 80, 100, 132, 200])
@pytest.mark.parametrize(
    "names", [["a", "b"], ["openai/gpt-5-mini temperature=0.7 top_p=0.95", "anyscale/mistralai/Mistral-7B-Instruct-v0.1"], list("abcdef")]
)
def test_text_fits_the_terminal(names: Sequence[str], width: int) -> None:
    """Nothing is wider than the terminal; every name and every count is there at any width."""
    for text in (unstyled(leaderboards(report_of(names), width)), unstyled(comparisons(report_of(names), width))):
        assert max(map(len, text.splitlines())) <= max(width, 66)
        assert text.isascii()
        for word in (*names, "score", "scored", "failed", "unscored", "3 rows cannot be judged", "pass exact: kept"):
            assert word in " ".join(text.split()), (word, text)


def test_a_wide_terminal_shows_more() -> None:
    """With room, there are intervals as bars, costs and times; without, the table says which columns it does not show."""
    wide, narrow = (unstyled(comparisons(report_of(["a", "b"]), width)) for width in (220, 80))
    for word in ("per right", "p95", "first token", "|"):
        assert word in wide
    assert "not shown in" not in wide
    table, _, dropped = narrow.partition("not shown in 80 columns: ")
    assert "first token" not in table
    assert "first token" in dropped.partition(";")[0]
    assert max(map(len, narrow.splitlines())) <= 80


def test_many_pairs_are_cut_short_and_say_so() -> None:
    """Of more than ten pairs, ten are shown."""
    assert "and 5 more pairs: --json has all of them" in comparisons(report_of(list("abcdef")), 100)


def test_letters_stand_for_names_that_do_not_fit() -> None:
    """On a narrow terminal rows and pairs have the report's letters, and the names stand below the table once."""
    names = ["openai/gpt-5-mini temperature=0.7 top_p=0.95", "anyscale/mistralai/Mistral-7B-Instruct-v0.1"]
    lines = unstyled(comparisons(report_of(names), 80)).splitlines()
    assert any(line.startswith("A vs B ") for line in lines)
    assert [line for line in lines if line in (f"A {names[0]}", f"B {names[1]}")] == [f"A {names[0]}", f"B {names[1]}"]
    wide = unstyled(comparisons(report_of(names), 200))
    assert f"{names[0]} vs {names[1]}" in wide


def test_what_is_said_of_many_names_them_by_their_letters() -> None:
    """A sentence about more than four variants has letters, which the leaderboard explains."""
    text = " ".join(comparisons(report_of([f"model number {at}" for at in range(12)]), 100).split())
    assert re.search(r"- (?:[A-L], ){3,}[A-L] and [A-L]: \d+ to \d+ calls of each failed or could not be scored", text)
    assert "model number 3, model" not in text
