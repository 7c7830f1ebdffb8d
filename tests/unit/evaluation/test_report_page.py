"""The report as a file: what it says, what it may do, and that it is whole or absent."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from batch.errors import DamagedError
from batch.evaluation.report import page
from batch.records import ErrorInfo, ErrorKind
from batch.settings import GateSettings, ScoreSettings
from tests.support.runs import EXACT, NOW, ReportedRun, texts_of, unpacked

ROWS = [{"text": f"question {at}", "label": "yes" if at % 2 else "no", "topic": "ab"[at % 2]} for at in range(40)]
LIMITED = ErrorInfo(ErrorKind.API, "rate_limited", "slow down", 429)


def answers(good: str = "yes", *, failed: Sequence[int] = (), missing: Sequence[int] = ()) -> list[str | ErrorInfo | None]:
    said: list[str | ErrorInfo | None] = [row["label"] if good == "right" else good for row in ROWS]
    for at in failed:
        said[at] = LIMITED
    for at in missing:
        said[at] = None
    return said


def visible(html: str) -> str:
    """The text of a page before its data."""
    body = html.partition("<body>")[2].partition("<script")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_it_says_what_the_scores_say(tmp_path: Path) -> None:
    """Verdict, gates, leaderboard, pairs, charts, slices, calls and errors are in the page, with figures that fit together."""
    gate = GateSettings(score="exact", minimum=0.9)
    run = ReportedRun(tmp_path, ROWS, {"good": answers("right"), "bad": answers(failed=[0, 2, 3], missing=[5])}, gates=[gate])
    text = visible(run.report().read_text())
    assert "wins with 100.0 %" in text
    assert "1 of 2 gates failed" in text or "2 of 2 gates failed" in text
    for title in ("Leaderboard", "Won, tied, lost", "Score against cost", "Score against latency", "Slices", "Calls", "Errors by code"):
        assert title in text
    assert "rate_limited" in text
    assert "$0.10" in text  # per 1,000 rows, of 0.01 cents each
    assert "40 36 3 1" in text  # the bad one's calls: answered, failed, not done


def test_every_sample_is_in_its_data(tmp_path: Path) -> None:
    """The data have each row once, with prompt, expected value, answers, marks and errors, and the index agrees with them."""
    path = ReportedRun(tmp_path, ROWS, {"good": answers("right"), "bad": answers(failed=[0], missing=[5])}).report()
    index, lines = json.loads(unpacked(path, "index")), texts_of(path)
    assert index["ids"] == [line[0] for line in lines] == [str(at) for at in range(40)]
    assert index["previews"][3] == "question 3"
    assert index["columns"][0]["values"] == ["a", "b"]
    assert index["states"][0][:4] + index["states"][0][10:12] == "51" + "55" + "50"
    identifier, prompts, carried, expected, tasks = lines[0]
    assert (identifier, prompts, carried, expected) == ("0", [[["user", "question 0"]]], ["a"], ["no"])
    assert tasks[0][:6] == [0, False, "no", None, None, None]
    assert tasks[0][7] == [[1.0, "no", tasks[0][7][0][2]]]
    assert tasks[1][5] == ["api", "rate_limited", "slow down", 429]
    assert lines[5][4][1] is None


def test_no_other_sample_is_lost_when_a_row_cannot_be_read(tmp_path: Path) -> None:
    """A row that is no JSON is a sample too, without a prompt, and the rows after it keep their marks."""
    broken = ErrorInfo(ErrorKind.INPUT, "bad_row", "in.jsonl:1: not JSON", None)
    said = answers("right")
    path = ReportedRun(tmp_path, ["{broken", *ROWS[1:]], {"good": [broken, *said[1:]]}).report()
    index, lines = json.loads(unpacked(path, "index")), texts_of(path)
    assert lines[0][1:4] == [[], [], [None]]
    assert index["states"][0] == "1" + "5" * 39
    assert "bad_row" in visible(path.read_text())


def test_a_run_without_scores_has_a_report(tmp_path: Path) -> None:
    """Counts, errors, latencies, cost and samples are there; disagreement is of the answers' texts."""
    path = ReportedRun(tmp_path, ROWS, {"one": answers("right"), "two": answers("yes", failed=[1])}, scores=()).report()
    text, index = visible(path.read_text()), json.loads(unpacked(path, "index"))
    assert "This run has no scores" in text
    assert "Leaderboard" not in text
    assert "40 39 1 0" in text
    assert "$0.0039" in text
    assert "rate_limited" in text
    assert index["states"][0][:4] == "6661"
    assert index["disagree"][0][:4] == "1010"


def test_another_prompt_than_the_one_that_was_sent_is_told(tmp_path: Path) -> None:
    """Where the job or its input changed since, a sample does not pass the new prompt off as the one that was sent."""
    run = ReportedRun(tmp_path, ROWS, {"one": answers("right")})
    made = run.make()
    made.rewrite([{**ROWS[0], "text": "changed"}, *ROWS[1:]])
    flags = [line[4][0][1] for line in texts_of(run.report(made))]
    assert flags == [True] + [False] * 39


def test_variants_with_prompts_of_their_own(tmp_path: Path) -> None:
    """Each different prompt is there once, and each variant is shown with its own."""
    run = ReportedRun(
        tmp_path,
        ROWS,
        {name: answers("right") for name in ("one", "two", "three", "four")},
        prompts={name: {"user": "Please: {{ text }}"} for name in ("two", "four")},
    )
    line = texts_of(run.report())[1]
    assert line[1] == [[["user", "question 1"]], [["user", "Please: question 1"]]]
    assert [task[0] for task in line[4]] == [0, 1, 0, 1]


def test_several_scores_have_a_section_and_marks_each(tmp_path: Path) -> None:
    """Each score has its section and tab; samples have the marks of all."""
    scores = (EXACT, ScoreSettings(name="says-yes", kind="contains", expected="{{ 'yes' }}"))
    path = ReportedRun(tmp_path, ROWS, {"one": answers("yes"), "two": answers("right")}, scores=scores).report()
    html, index = path.read_text(), json.loads(unpacked(path, "index"))
    body = html.partition("<body>")[2]
    assert (body.count('class="score"'), body.count('role="tab"')) == (2, 2)
    assert (index["states"][0][:4], index["states"][1][:4]) == ("3555", "5355")


def test_repeats_are_all_there(tmp_path: Path) -> None:
    """Each repeat is a task of its own, in its place; variants disagree by the means of their repeats."""
    twice: list[Any] = [["no", "no"], ["yes", "no"], [None, "no"], [LIMITED, "no"], *([row["label"]] * 2 for row in ROWS[4:])]
    path = ReportedRun(tmp_path, ROWS, {"one": twice, "two": [[row["label"]] * 2 for row in ROWS]}).report()
    index, lines = json.loads(unpacked(path, "index")), texts_of(path)
    assert index["repeats"] == 2
    assert [index["states"][0][at : at + 4] for at in range(0, 16, 4)] == ["5555", "5355", "0555", "1355"]
    assert index["disagree"][0][:4] == "0101"
    assert [task and task[2] for task in lines[1][4]] == ["yes", "no", "yes", "yes"]
    assert "each asked 2 times" in visible(path.read_text())


def test_rows_without_a_right_value_are_shown_and_not_judged(tmp_path: Path) -> None:
    """A row that a score leaves out is a sample that is answered, neither right nor wrong."""
    rows = [{**ROWS[0], "label": None}, *ROWS[1:]]
    path = ReportedRun(tmp_path, rows, {"one": answers("right")}).report()
    assert json.loads(unpacked(path, "index"))["states"][0] == "6" + "5" * 39
    assert "1 rows have no right value" in visible(path.read_text())


def test_a_very_large_run_shows_every_nth_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more tasks than a page can hold, evenly spaced rows are shown, and the page says so; counts are of all rows."""
    monkeypatch.setattr(page, "MOST_TASKS", 20)
    path = ReportedRun(tmp_path, ROWS, {"one": answers("right"), "two": answers(failed=[1])}).report()
    index, text = json.loads(unpacked(path, "index")), visible(path.read_text())
    assert index["ids"] == [str(at) for at in range(0, 40, 4)]
    assert "Every 4th row is here: 10 of 40" in text
    assert "40 39 1 0" in text


def test_it_may_do_nothing_but_run_its_own_script(tmp_path: Path) -> None:
    """The policy allows the page's own style and script by their hashes and nothing else; no markup needs more than that."""
    html = ReportedRun(tmp_path, ROWS, {"one": answers("right"), "two": answers()}).report().read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none'; ")
    assert "connect-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    style, script = re.search(r"<style>(.*?)</style>", html, re.DOTALL), re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert style
    assert script
    for inner, kind in ((style[1], "style-src"), (script[1], "script-src")):
        assert f"{kind} 'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'" in policy[1]
    markup = html.replace(style[0], "").replace(script[0], "")
    assert not re.search(r"<[^>]+\s(style=|on\w+=|src=|href=\"(?!#))", markup)
    assert "http://" not in html
    assert "https://" not in html


def test_the_script_never_makes_markup_of_text() -> None:
    """No script writes markup, evaluates text or asks for anything; model texts go through text nodes alone."""
    script = page._script()
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "fetch(",
        "XMLHttp",
        "import(",
    ):
        assert forbidden not in script
    assert "</script" not in script.lower()


def test_a_damaged_journal_leaves_the_old_report(tmp_path: Path) -> None:
    """When the results cannot be read, the old report stays as it was and nothing else is left (promise 11)."""
    reported = ReportedRun(tmp_path, ROWS, {"one": answers("right")})
    run = reported.make()
    path, evaluated = reported.report(run), reported.evaluated(run)
    before = path.read_bytes()
    journal = run.directory.journal_dir("v0") / "000001.jsonl"
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 1
    journal.write_bytes(data)
    with pytest.raises(DamagedError):
        page.write_report(run.stored, evaluated, NOW)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["journal", "report.html", "run.json", "scores"]


def test_no_secret_of_the_environment_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is made of the job without secrets and the journal, so a key in the environment is not in it (promise 12)."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    path = ReportedRun(tmp_path, ROWS, {"one": answers("right")}).report()
    whole = path.read_text() + unpacked(path, "index") + json.dumps(texts_of(path))
    assert "sk-secret-0123456789" not in whole


def test_lone_surrogates_and_nul_are_no_obstacle(tmp_path: Path) -> None:
    """Texts that UTF-8 cannot hold still make a page."""
    rows = ['{"text": "a \\ud83d b", "label": "yes", "topic": "\\ud800"}', *ROWS[1:]]
    path = ReportedRun(tmp_path, rows, {"one": ["a\0b", *answers("right")[1:]]}).report()
    lines = texts_of(path)
    assert (len(lines), lines[0][4][0][2]) == (40, "a\0b")
