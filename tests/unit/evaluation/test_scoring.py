"""From a run directory to score tables: states, files, what is scored anew, and gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from batch.errors import InputError, RunDirectoryError
from batch.evaluation import row_scorer
from batch.evaluation.answers import run_answers, run_state
from batch.evaluation.gates import check_gates
from batch.evaluation.reading import Evaluation, read_evaluation
from batch.evaluation.scoring import score_answers
from batch.evaluation.table import State
from batch.settings import GateSettings, ScoreSettings
from tests.support.runs import FinishedRun
from tests.support.stores import outcome, write_journal

EXACT = ScoreSettings(name="exact", kind="exact", expected="capital")
ROWS: list[dict[str, Any] | str] = [
    {"text": "France", "capital": "Paris", "part": "Europe", "sheet": "a"},
    {"text": "Peru", "capital": "Lima", "part": "America", "sheet": "a"},
    {"text": "Chad", "capital": None, "part": "Africa", "sheet": "b"},
    "no JSON",
    {"text": "Cuba", "capital": "Havana", "part": None, "sheet": None},
]


@pytest.fixture
def run(tmp_path: Path) -> FinishedRun:
    good = [
        outcome(0, text="Paris"),
        outcome(1, text="Quito"),
        outcome(2, text="?"),
        outcome(3, error="bad_row"),
        outcome(4, text="Havana."),
    ]
    bad = [outcome(0, text="Rome"), outcome(1, error="server_error"), outcome(2, text="?"), outcome(3, error="bad_row")]
    return FinishedRun(tmp_path, ROWS, {"good": good, "bad": bad})


def scored(run: FinishedRun, *scores: ScoreSettings) -> Evaluation:
    """The evaluation of a run, brought up to date."""
    folder = run.directory.path / "scores"
    state = run_state(run.stored)
    fresh = score_answers(lambda: run_answers(run.stored), state, scores, folder)
    return read_evaluation(folder, scores, [variant.name for variant in run.job.variants], fresh)


def test_every_task_of_a_judged_row_has_its_state(run: FinishedRun) -> None:
    """Scored, failed and missing tasks are told apart; rows without a right value, and unreadable ones, are in no figure."""
    judged = scored(run, EXACT).scores[0]
    assert judged.table.variants == ("good", "bad")
    assert judged.table.row_ids == ("0", "1", "4")
    assert judged.table.binary
    assert judged.table.states[:, :, 0].tolist() == [
        [State.SCORED, State.SCORED, State.SCORED],
        [State.SCORED, State.FAILED, State.MISSING],
    ]
    assert judged.table.values[0, :, 0].tolist() == [1, 0, 1]
    assert judged.table.values[1, 0, 0] == 0
    assert (judged.left_out, judged.left_out_example) == (1, "the row has no capital")


def test_unscored_is_not_zero(run: FinishedRun) -> None:
    """An answer that cannot be read is unscored, with its reason in the file."""
    number = ScoreSettings(name="n", kind="number", expected="{{ text|length }}")
    table = scored(run, number).scores[0].table
    assert table.states[0, :, 0].tolist() == [State.UNSCORED] * 4
    assert np.isnan(table.values).all()
    assert set(pq.read_table(run.directory.path / "scores/n.parquet")["reason"].to_pylist()) == {
        "no number in the answer",
        "server_error",
        "no outcome yet",
    }


def test_answers_that_were_cut_off_are_known(tmp_path: Path) -> None:
    """A number at the end of an answer that the token limit cut off may lack digits: it is unscored; a whole answer is not."""
    cut = replace(outcome(0, text="It is 12"), finish_reason="length")
    run = FinishedRun(tmp_path, [{"text": "q", "n": 12}] * 2, {"m": [cut, outcome(1, text="It is 12")]})
    number = ScoreSettings(name="n", kind="number", expected="n")
    assert scored(run, number).scores[0].table.states.tolist() == [[[State.UNSCORED], [State.SCORED]]]


def test_graded_scores_stay_graded(tmp_path: Path) -> None:
    """A graded score is one even where it happens to have only full marks."""
    run = FinishedRun(tmp_path, [{"text": "q", "capital": "x"}], {"m": [outcome(0, text="x")]})
    assert not scored(run, replace(EXACT, kind="token_f1")).scores[0].table.binary


def test_facts_of_the_variants(run: FinishedRun) -> None:
    """Failures by code, tokens and times; a cost only where every answer has a price."""
    good, bad = scored(run, EXACT).variants
    assert (good.tasks, good.failed, good.missing, good.cost_usd) == (4, 0, 0, None)
    assert (good.prompt_tokens, good.completion_tokens, good.latency_p50_s, good.first_token_p50_s) == (12, 8, 1.5, None)
    assert (bad.failed, bad.missing, bad.failures) == (1, 1, {"server_error": 1})


def test_costs_are_summed_when_all_are_known(tmp_path: Path) -> None:
    """Two priced answers have a cost together; with a third that has no price there is none."""
    priced = [replace(outcome(row, text="x"), cost_usd=0.25) for row in range(2)]
    rows = [{"text": "x", "capital": "x"}] * 3
    run = FinishedRun(tmp_path, rows, {"m": priced})
    assert scored(run, EXACT).variants[0].cost_usd == 0.5
    write_journal(run.directory.journal_dir("m"), *priced, outcome(2, text="x"))
    assert scored(run, EXACT).variants[0].cost_usd is None


def test_slices_and_clusters_stand_beside_the_rows_of_the_table(run: FinishedRun) -> None:
    """Columns are those of the judged rows; a row without a cluster stands for itself."""
    judged = scored(run, replace(EXACT, slices=("part",), cluster="sheet")).scores[0]
    assert judged.columns == {"part": ("Europe", "America", None)}
    assert judged.table.clusters == ("of a", "of a", "alone 4")


def test_repeats(tmp_path: Path) -> None:
    """Each repeat of a row has its own mark."""
    answers = [replace(outcome(0, text=text), repeat=repeat) for repeat, text in enumerate(["x", "y", "x"])]
    run = FinishedRun(tmp_path, [{"text": "q", "capital": "x"}], {"m": answers}, repeats=3)
    assert scored(run, EXACT).scores[0].table.values.tolist() == [[[1, 0, 1]]]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the scorers that are made from now on."""
    made: list[str] = []
    real = row_scorer.make_scorer

    def make(settings: ScoreSettings) -> Any:
        made.append(settings.name)
        return real(settings)

    monkeypatch.setattr(row_scorer, "make_scorer", make)
    return made


def test_only_what_changed_is_scored_anew(run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run and scorers: nothing is read or scored; another option, or another outcome: what depends on it (promise 9)."""
    made = counted(monkeypatch)
    contains = ScoreSettings(name="in", kind="contains", expected="capital")
    assert scored(run, EXACT, contains).fresh == ("exact", "in")
    before = scored(run, EXACT, contains)
    assert (before.fresh, made) == ((), ["exact", "in"])
    case = replace(EXACT, options={"case_sensitive": True})
    assert scored(run, case, contains).fresh == ("exact",)
    assert scored(run, replace(case, slices=("part",)), contains).fresh == (), "what is broken down by is no part of a mark"
    write_journal(run.directory.journal_dir("bad"), outcome(0, text="Paris"), outcome(1, text="Lima"), outcome(4, text="Havana"))
    after = scored(run, case, contains)
    assert after.fresh == ("exact", "in")
    assert after.scores[0].table.values[1, :, 0].tolist() == [1, 1, 1]


def test_nothing_is_read_when_nothing_changed(run: FinishedRun) -> None:
    """Answers are not even asked for."""
    scored(run, EXACT)

    def answers() -> Sequence[Any]:
        raise AssertionError("read")

    state = run_state(run.stored)
    assert score_answers(answers, state, [EXACT], run.directory.path / "scores") == ()


def test_damaged_score_files_are_made_again(run: FinishedRun) -> None:
    """Scores are derived: a file cut short is no error, it is made anew (promise 11)."""
    path = run.directory.path / "scores/exact.parquet"
    scored(run, EXACT)
    path.write_bytes(path.read_bytes()[:-20])
    assert scored(run, EXACT).fresh == ("exact",)
    (run.directory.path / "scores/_tasks.parquet").unlink()
    assert scored(run, EXACT).scores[0].table.values[0, 0, 0] == 1


def test_score_files_that_are_damaged_within_are_named(run: FinishedRun) -> None:
    """A file whose end is whole and whose values are not: its name, and what makes it again (issue 13, part 1)."""
    scored(run, EXACT)
    path = run.directory.path / "scores/exact.parquet"
    data = bytearray(path.read_bytes())
    data[4:64] = b"\xff" * 60
    path.write_bytes(data)
    with pytest.raises(RunDirectoryError, match=r"exact\.parquet: is damaged .*; remove it, and `promptmill score` makes it again"):
        read_evaluation(run.directory.path / "scores", [EXACT], [variant.name for variant in run.job.variants])


def test_marks_of_a_users_function_are_kept(run: FinishedRun, tmp_path: Path) -> None:
    """A function that may be slow is called again only for answers that are new."""
    calls = tmp_path / "calls"
    file = tmp_path / "mine.py"
    body = f"    with open({str(calls)!r}, 'a') as f:\n        f.write('x')\n    return answer == row['capital']\n"
    file.write_text(f"def good(answer, expected, row):\n{body}")
    mine = ScoreSettings(name="mine", kind="python", options={"function": f"{file}:good"})
    assert scored(run, mine).scores[0].table.binary, "all marks are 0 or 1"
    assert len(calls.read_text()) == 6
    write_journal(run.directory.journal_dir("bad"), outcome(0, text="Rome"), outcome(1, text="Lima"))
    assert scored(run, mine).scores[0].table.values[1, 1, 0] == 1
    assert len(calls.read_text()) == 7
    file.write_text(file.read_text() + "# changed\n")
    scored(run, mine)
    assert len(calls.read_text()) == 14


@pytest.mark.parametrize(("column", "hint"), [("capitol", "did you mean 'capital'"), ("x", "the rows have: text, capital")])
def test_a_column_that_is_not_there(run: FinishedRun, column: str, hint: str) -> None:
    """When no row has a right value, the column's name is wrong: that is told, and no file is left."""
    with pytest.raises(InputError, match=f"score exact: no row can be judged: the row has no {column}.*{hint}"):
        scored(run, replace(EXACT, expected=column))
    assert list((run.directory.path / "scores").iterdir()) == []


def test_lone_surrogates_are_written(run: FinishedRun, tmp_path: Path) -> None:
    """A user's function may give what UTF-8 cannot hold (fault 51)."""
    file = tmp_path / "odd.py"
    file.write_text("def odd(answer, expected, row):\n    return 1, 'a' + chr(0xDC80)\n")
    scored(run, ScoreSettings(name="odd", kind="python", options={"function": f"{file}:odd"}))
    reasons = pq.read_table(run.directory.path / "scores/odd.parquet")["reason"].to_pylist()
    assert reasons[0] == "a\ufffd"


@pytest.fixture
def wide(tmp_path: Path) -> FinishedRun:
    """Two models on 100 rows: one with 90 right, one with 60 right and 10 failed."""
    rows = [{"text": "q", "capital": "x"}] * 100
    better = [outcome(row, text="x" if row < 90 else "y") for row in range(100)]
    worse = [outcome(row, error="server_error") if row >= 90 else outcome(row, text="x" if row < 60 else "y") for row in range(100)]
    return FinishedRun(tmp_path, rows, {"better": better, "worse": worse})


GATES = [
    (GateSettings(score="exact", variant="better", minimum=0.8), [True]),
    (GateSettings(score="exact", variant="better", minimum=0.9), [False]),
    (GateSettings(score="exact", variant="better", maximum=0.95), [True]),
    (GateSettings(score="exact", variant="better", maximum=0.9), [False]),
    (GateSettings(score="exact", variant="better", minimum=0.8, maximum=0.9), [False]),
    (GateSettings(score="exact", minimum=0.8), [True, False]),
    (GateSettings(score="exact", metric="coverage", minimum=0.9), [True, False]),
    (GateSettings(score="exact", metric="difference", against="worse", minimum=0.1), [True]),
    (GateSettings(score="exact", metric="difference", against="better", minimum=-0.02), [False]),
    (GateSettings(score="exact", metric="difference", against="better", maximum=0.0), [True]),
]


@pytest.mark.parametrize(("gate", "passed"), GATES)
def test_gates_test_the_end_of_an_interval(wide: FinishedRun, gate: GateSettings, passed: list[bool]) -> None:
    """A bound must hold at the interval's end: 90 of 100 show that a score is over 0.8, but not that it is 0.9."""
    results = check_gates(scored(wide, EXACT), [gate])
    assert [result.passed for result in results] == passed, [result.text for result in results]


def test_gates_say_why(wide: FinishedRun) -> None:
    """One line with the figure, its interval and the bound."""
    (result,) = check_gates(scored(wide, EXACT), [GateSettings(score="exact", variant="better", minimum=0.9)])
    assert result.text == "exact: better: score 90.0 % [82.6 %, 94.5 %] is not shown to be at least 90.0 %"


def test_a_gate_waits_for_the_whole_run(run: FinishedRun) -> None:
    """Nothing passes by not being asked: tasks without an outcome fail a gate."""
    gates = check_gates(scored(run, EXACT), [GateSettings(score="exact", minimum=0.0)])
    assert [gate.passed for gate in gates] == [True, False]
    assert gates[0].text.endswith("keeps at least 0.0 %")
    assert gates[1].text == "exact: bad: score is not known yet: 1 tasks have no outcome"


@pytest.mark.parametrize("gate", [GateSettings(score="other", minimum=1), GateSettings(score="exact", variant="other", minimum=1)])
def test_gates_on_what_is_not_there(run: FinishedRun, gate: GateSettings) -> None:
    """A gate that names no score or variant of the evaluation is an error, not a pass."""
    with pytest.raises(InputError, match="which this evaluation has not"):
        check_gates(scored(run, EXACT), [gate])


def test_an_unexpected_exception_of_a_scorer_is_that_answers(run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is unscored, with the class and the place in the code and nothing of the answer; all others are scored (issue 13, part 1)."""
    make = row_scorer.make_scorer

    def breaking(settings: ScoreSettings) -> Any:
        score = make(settings)

        def broken(sample: Any) -> Any:
            if sample.text == "Quito":
                raise RecursionError("about Quito")
            return score(sample)

        return broken

    monkeypatch.setattr(row_scorer, "make_scorer", breaking)
    answers = list(run_answers(run.stored))
    scorer = row_scorer.RowScorer(EXACT)
    cells = {answer.text: scorer.cell(answer, scorer.expected(answer.row)) for answer in answers if answer.text in {"Paris", "Quito"}}
    assert cells["Paris"].value == 1.0
    assert cells["Quito"].state == "unscored"
    assert "met RecursionError" in cells["Quito"].reason
    assert "this is a bug in promptmill" in cells["Quito"].reason
    assert "about Quito" not in cells["Quito"].reason
