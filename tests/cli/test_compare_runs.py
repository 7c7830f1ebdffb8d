"""promptmill compare with two runs or files, baselines and their gates, end to end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

import batch
from batch.cli.group import promptmill
from batch.rundir.local import RunDirectory
from tests.support.files import SCORING, old_and_new, write_answers
from tests.support.jobs import JobFolder
from tests.support.runs import texts_of
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, chat_reply

ROWS = [{"id": f"r{number}", "text": f"question {number}", "right": number} for number in range(60)]
SCORE = '[[score]]\nkind = "number"\nexpected = "right"\n'


def call(*arguments: str | Path) -> Result:
    """Call `promptmill ARGUMENTS` in this process."""
    return CliRunner().invoke(promptmill, [str(each) for each in arguments], catch_exceptions=False)


def test_two_files_of_2000_rows_with_30_worse_and_10_better(tmp_path: Path) -> None:
    """The change is tested, and the rows that went from right to wrong and back are named: some in words, all in JSON."""
    old, new = old_and_new(tmp_path)
    shown = call("compare", old, new, *SCORING)
    assert shown.exit_code == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    assert "m became worse: 84.5 % → 83.5 % on 2,000 rows, -1.0 pt [-1.6, -0.4] (p = 0.002)" in text
    assert "30 rows went from right to wrong: q0, q1, q2, q3, q4, q5, q6, q7, q8, q9 and 20 more." in text
    assert "10 rows went from wrong to right: q100, q101, q102, q103, q104, q105, q106, q107, q108, q109." in text
    (change,) = json.loads(call("compare", old, new, *SCORING, "--json").stdout)["scores"][0]["variants"]
    assert [row["id"] for row in change["worse"]] == [f"q{at}" for at in range(30)]


def test_one_model_in_two_files_is_two_variants(tmp_path: Path) -> None:
    """Answers of one model to the same rows in two files are never merged as tries; files of other rows are one variant."""
    old, new = old_and_new(tmp_path)
    document = json.loads(call("score", old, new, *SCORING, "--json").stdout)
    assert [stats["variant"] for stats in document["variants"]] == ["m (old.jsonl)", "m (new.jsonl)"]
    assert document["scores"][0]["findings"]["repeats"] == 1
    lines = old.read_text().splitlines(keepends=True)
    for at in range(2):
        (tmp_path / f"part{at}.jsonl").write_text("".join(lines[at::2]))
    document = json.loads(call("score", tmp_path / "part0.jsonl", tmp_path / "part1.jsonl", *SCORING, "--json").stdout)
    assert [(stats["variant"], stats["tasks"]) for stats in document["variants"]] == [("m", 2000)]
    refused = call("score", old, old, *SCORING)
    assert (refused.exit_code, "the same file is given twice" in refused.stderr) == (2, True)


@pytest.fixture(scope="module")
def sent_twice(tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """A job run twice, into runs/old and runs/new, the second time with another prompt that makes 12 rows wrong."""

    def reply(received: Received) -> Iterable[Action]:
        if not received.path.endswith("/chat/completions"):
            return answer(received)
        number = int(received.prompt.split()[-1])
        return [chat_reply(f"The answer is {-1 if number < 12 and received.prompt.startswith('Briefly') else number}.")]

    with ScriptedEndpoint(reply) as endpoint:
        job = JobFolder(tmp_path_factory.mktemp("runs"), endpoint.url, rows=ROWS)
        text = job.job.read_text() + SCORE
        job.job.write_text(text.replace("runs/test", "runs/old"))
        assert job.call().returncode == 0
        job.job.write_text(text.replace("runs/test", "runs/new").replace("{{ text }}", "Briefly: {{ text }}"))
        assert job.call().returncode == 0
        return job


@pytest.fixture
def two_runs(sent_twice: JobFolder) -> Iterator[JobFolder]:
    """The two runs with their newer job file. Nothing of these commands sends, so the endpoint need not be there."""
    text = sent_twice.job.read_text()
    yield sent_twice
    sent_twice.job.write_text(text)


def test_two_runs_and_what_changed_in_the_job(two_runs: JobFolder) -> None:
    """Runs of other jobs are joined by id, scored alike, and the settings that differ are listed."""
    shown = two_runs.call("compare", "runs/old", "runs/new")
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    assert 'prompt.user: "{{ text }}" → "Briefly: {{ text }}"' in text
    assert "house/test-model became worse: 100.0 % → 80.0 % on 60 rows" in text
    assert "12 rows went from right to wrong: r0, r1," in text
    kept = two_runs.path / "runs/old/scores/number.parquet"
    before = kept.read_bytes()
    two_runs.job.write_text(two_runs.job.read_text().replace('expected = "right"', 'expected = "right"\ntolerance = 0.5'))
    assert two_runs.call("compare", "runs/old", "runs/new", "--job", "test.toml").returncode == 0
    # Scores by another job's rules do not take the place of the run's own.
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    ("bounds", "code", "said"),
    [
        ("max_worse_rows = 12", 0, None),
        ("max_worse_rows = 11", 3, "12 rows are worse, more than the 11 allowed: r0, r1"),
        ("min = -0.4", 0, None),
        ("min = -0.05", 3, "is not shown to be at least -5.0 pt"),
    ],
)
@pytest.mark.parametrize("saved", [False, True])
def test_a_gate_with_a_baseline_sets_the_exit_code(two_runs: JobFolder, bounds: str, code: int, said: str | None, *, saved: bool) -> None:
    """A baseline is an earlier run, or the small file that was saved of it; the difference and the rows that are worse are bounded."""
    baseline = "runs/old"
    if saved:
        kept = two_runs.call("score", "runs/old", "--save-baseline", "baselines/release.jsonl")
        assert "baseline saved in baselines/release.jsonl" in kept.stderr
        baseline = "baselines/release.jsonl"
    two_runs.job.write_text(f'{two_runs.job.read_text()}[[gate]]\nscore = "number"\nbaseline = "{baseline}"\n{bounds}\n')
    for command in ("score", "compare"):
        done = two_runs.call(command, "runs/new", "--job", "test.toml")
        assert done.returncode == code, done.stderr
        assert said is None or said in done.stderr


def test_a_baseline_can_be_saved_before_it_exists(two_runs: JobFolder) -> None:
    """A gate on a missing baseline is an error that says how to save one; the command that it names works."""
    two_runs.job.write_text(f'{two_runs.job.read_text()}[[gate]]\nscore = "number"\nbaseline = "b.jsonl"\nmin = -0.1\n')
    refused = two_runs.call("score", "runs/new", "--job", "test.toml")
    assert refused.returncode == 2
    assert "promptmill score RUN_DIR --save-baseline" in refused.stderr
    assert two_runs.call("score", "runs/new", "--job", "test.toml", "--save-baseline", "b.jsonl").returncode == 0
    assert two_runs.call("score", "runs/new", "--job", "test.toml").returncode == 0


def test_a_baseline_of_other_score_settings_fails_its_gate(two_runs: JobFolder) -> None:
    """A file that was scored by other rules is no baseline: the gate fails and says that it must be saved again."""
    two_runs.call("score", "runs/old", "--save-baseline", "b.jsonl")
    more = '[[gate]]\nscore = "number"\nbaseline = "b.jsonl"\nmin = -1\n'
    two_runs.job.write_text(two_runs.job.read_text().replace('expected = "right"', 'expected = "right"\ntolerance = 0.5') + more)
    done = two_runs.call("score", "runs/new", "--job", "test.toml")
    assert done.returncode == 3
    assert "scored with other settings; save it again" in done.stderr


def test_misuse_is_explained(tmp_path: Path) -> None:
    """Three sides, --pair with one side, and a pair without = are usage errors."""
    old, new = old_and_new(tmp_path)
    assert "Compare one run, or two" in call("compare", old, new, old, *SCORING).stderr
    assert "--pair is for two runs" in call("compare", old, "--pair", "a=b", *SCORING).stderr
    assert "write OLD=NEW" in call("compare", old, new, "--pair", "a", *SCORING).stderr
    other = write_answers(tmp_path / "other.jsonl", set(), model="n")
    both = tmp_path / "both.jsonl"
    both.write_text(old.read_text() + other.read_text())
    renamed = call("compare", both, new, *SCORING, "--pair", "n=m", "--json")
    assert [one["before"] for one in json.loads(renamed.stdout)["scores"][0]["variants"]] == ["n"]


def test_a_report_of_two_runs(two_runs: JobFolder) -> None:
    """The same model of both runs side by side, row by row, with what each was sent; the scores are the newer job's."""
    made = two_runs.call("report", "runs/old", "runs/new", "--output", "both.html")
    assert (made.returncode, made.stdout) == (0, "both.html\n"), made.stderr
    lines = texts_of(two_runs.path / "both.html")
    assert [line[0] for line in lines] == [row["id"] for row in ROWS]
    old, new = lines[3][4]
    assert (old[2], new[2]) == ("The answer is 3.", "The answer is -1.")
    assert lines[3][1] == [[["user", "question 3"]], [["user", "Briefly: question 3"]]]
    assert (old[7][0][0], new[7][0][0]) == (1.0, 0.0)
    page = (two_runs.path / "both.html").read_text()
    assert "house/test-model (runs/old)" in page
    assert "--output is for files and two runs" in two_runs.call("report", "runs/old", "--output", "x.html").stderr


def test_a_report_of_files(tmp_path: Path) -> None:
    """Files of answers have the report of a run: answers, extracted values and reasons, failures, and rows that one file lacks."""
    lines = [{"id": f"q{at}", "model": "m", "question": f"what is {at}?", "output": f"It is {at}.", "gold": at} for at in range(5)]
    lines += [{"id": f"q{at}", "model": "n", "question": f"what is {at}?", "output": "It is 1.", "gold": at} for at in range(3)]
    lines.append({"id": "q3", "model": "n", "question": "what is 3?", "error": {"code": "timeout"}, "gold": 3})
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = call("report", path, *SCORING, "--output", tmp_path / "r.html")
    assert made.exit_code == 0, made.stderr
    texts = texts_of(tmp_path / "r.html")
    assert [line[0] for line in texts] == [f"q{at}" for at in range(5)]
    assert texts[2][1] == [[["user", "what is 2?"]]]
    first, second = texts[2][4]
    assert (first[2], first[7][0][:2], second[7][0][:2]) == ("It is 2.", [1.0, "2"], [0.0, "1"])
    assert texts[3][4][1][5][1] == "timeout"
    assert texts[4][4][1] is None


def test_a_history_is_scored_as_the_newest_run_is(two_runs: JobFolder) -> None:
    """The newest run is the one that began last, whatever the names and the order given; each run is opened once."""
    manifest = two_runs.path / "runs" / "old" / "run.json"
    kept = manifest.read_text()
    document = {**json.loads(kept), "created": "2026-01-01T00:00:00+00:00"}
    document["job"]["score"][0]["name"] = "former"
    manifest.write_text(json.dumps(document))
    try:
        for targets in (["runs"], ["runs/new", "runs/old"], ["runs/old", "runs/new"]):
            points = json.loads(two_runs.call("history", *targets, "--json").stdout)["points"]
            assert [(point["run"], point["score"]) for point in points] == [("runs/old", "number"), ("runs/new", "number")]
        # Of two targets, compare takes the second as the newer one, as its help says.
        assert json.loads(two_runs.call("compare", "runs/new", "runs/old", "--json").stdout)["scores"][0]["score"] == "former"
    finally:
        manifest.write_text(kept)


@pytest.mark.parametrize("command", [["compare"], ["report", "--output", "x.html"], ["history"]])
def test_runs_that_are_compared_are_opened_once(two_runs: JobFolder, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """run.json of each run is read once a command, for its scores as for its answers."""
    opened: list[str] = []
    read = RunDirectory._read_manifest
    monkeypatch.setattr(RunDirectory, "_read_manifest", lambda directory: opened.append(directory.path.name) or read(directory))
    assert two_runs.call(command[0], "runs/old", "runs/new", *command[1:]).returncode == 0
    assert sorted(opened) == ["new", "old"]


def test_a_history_of_runs(two_runs: JobFolder) -> None:
    """The runs of a folder, oldest first, each with its score, its interval, and its change against the one before; and a picture."""
    manifest = two_runs.path / "runs" / "old" / "run.json"
    # Both began within the same second.
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "created": "2026-01-01T00:00:00+00:00"}))
    shown = two_runs.call("history", "runs", "--svg", "h.svg", environ={"COLUMNS": "200"})
    assert shown.returncode == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == ["number"]
    assert lines[2][0] == "runs/old"
    assert lines[2][-4:] == ["-", "-", "-", "-"]
    assert (lines[3][0], lines[3][-6:]) == ("runs/new", ["-20.0", "pt", "<", "0.001", "12", "0"])
    picture = ET.parse(two_runs.path / "h.svg").getroot()
    titles = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[0] == "Scores over time"
    assert titles[1].startswith("house/test-model, old: 100.0 % [")
    assert titles[2].startswith("house/test-model, new: 80.0 % [")
    points = json.loads(two_runs.call("history", "runs/new", "runs/old", "--json").stdout)["points"]
    assert [point["run"] for point in points] == ["runs/old", "runs/new"]
    assert [row["id"] for row in points[1]["change"]["worse"]] == [f"r{at}" for at in range(12)]
    assert "is no run directory, and holds none" in two_runs.call("history", ".venv-none").stderr


def test_reports_from_python(two_runs: JobFolder, tmp_path: Path) -> None:
    """`batch.report` writes what the command writes: a run's own report, two runs', and files'; misuse is an error that says how."""
    old, new = (two_runs.path / "runs" / name for name in ("old", "new"))
    assert batch.report(old) == str(old / "report.html")
    assert batch.report(old, new, output=tmp_path / "both.html") == str(tmp_path / "both.html")
    assert "house/test-model (" in (tmp_path / "both.html").read_text()
    one, _ = old_and_new(tmp_path)
    batch.report(one, score={"kind": "number", "expected": "gold"}, output=tmp_path / "files.html")
    assert len(texts_of(tmp_path / "files.html")) == 2000
    for arguments, said in (((), "name a run"), ((one,), "files are scored by"), ((old,), "its report.html")):
        with pytest.raises(ValueError, match=said):
            batch.report(*arguments, output=tmp_path / "x.html")


def test_changes_are_arrow_tables(tmp_path: Path) -> None:
    """30 rows worse and 10 better of 2,000: the table of variants counts them, that of rows names them."""
    old, new = old_and_new(tmp_path)
    changes = batch.compare(old, new, score={"kind": "number", "expected": "gold"})
    (line,) = changes.variants().to_pylist()
    assert (line["worse"], line["better"], line["rows"], line["separable"]) == (30, 10, 2000, True)
    rows = changes.rows()
    assert rows.num_rows == 40
    assert rows.column("id").to_pylist()[:3] == ["q0", "q1", "q2"]
    assert set(rows.column("direction").to_pylist()) == {"worse", "better"}
    scores = batch.score([old, new], score={"kind": "number", "expected": "gold"})
    assert (scores.leaderboard().num_rows, scores.pairs().num_rows, scores.samples().num_rows) == (2, 1, 4000)
