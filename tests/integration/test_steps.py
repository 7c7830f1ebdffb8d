"""Jobs that build on each other: extract, judge, write."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path

import pytest

import batch
from tests.support.jobs import ids, lines_of
from tests.support.pictures import picture
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, chat_reply, error
from tests.support.scripts import for_rows, wait_for
from tests.support.steps import StepsFolder, reply

DOCUMENTS = [
    {"doc": "a", "text": "good bad great"},
    {"doc": "b", "text": "bad"},
    {"doc": "c", "text": "refuse"},
    {"doc": "d", "text": "gold"},
]


def test_one_command_runs_all_steps(tmp_path: Path) -> None:
    """The last job runs those before it first; elements are rows with ids ID/N, columns stay, and failed rows are counted."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, DOCUMENTS)
        ended = folder.call("run", "last.toml")
        assert ended.returncode == 1, ended.stderr
        assert ids(folder.lines("extract")) == ["a", "b", "d"]
        judged = folder.lines("judge")
        assert [(line["id"], line["doc"], line["item"]) for line in judged] == [
            ("a/0", "a", "good"), ("a/1", "a", "bad"), ("a/2", "a", "great"), ("b/0", "b", "bad"), ("d/0", "d", "gold"),
        ]  # fmt: skip
        assert [(line["id"], line["completion"]) for line in folder.lines("last")] == [
            ("a/0", "about good of a"), ("a/2", "about great of a"), ("d/0", "about gold of d"),
        ]  # fmt: skip
        assert "5 rows of the answers of extract (no row here: 1 failed)" in ended.stderr
        assert "step 2 of 3: judge" in ended.stderr
        before = endpoint.counts()
        again = folder.call("run", "last.toml")
        assert again.returncode == 1
        assert "(no row here: 1 failed)" in again.stderr
        assert endpoint.counts() == before


def test_rows_of_a_step_have_all_columns(tmp_path: Path) -> None:
    """A step's rows have the columns of the answered ones, completion, parsed and finish_reason; those of earlier steps are in steps."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, [{"doc": "a", "text": "good", "completion": "its own"}])
        ended = folder.call("run", "last.toml")
        assert ended.returncode == 0, ended.stderr
    assert "columns of the input that have the names of answers are under steps.input here: completion" in ended.stderr
    assert folder.kept("judge") == [
        {
            "doc": "a", "text": "good", "completion": '{"items": ["good"]}', "finish_reason": "stop", "parsed": {"items": ["good"]},
            "item": "good", "parent_id": "a", "steps": {"input": {"completion": "its own"}}, "promptmill_id": "a/0",
        }
    ]  # fmt: skip
    (row,) = folder.kept("last")
    assert row["parsed"] == {"good": True}
    assert row["item"] == "good"
    assert row["steps"]["input"] == {"completion": "its own"}
    assert row["steps"]["extract"] == {"completion": '{"items": ["good"]}', "finish_reason": "stop", "parsed": {"items": ["good"]}}


def test_a_changed_row_sends_what_descends_from_it_and_nothing_else(tmp_path: Path) -> None:
    """One row changed upstream: each step explains its changed rows; --changed rerun sends them and new ones only."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, DOCUMENTS[:2])
        assert folder.call("run", "last.toml").returncode == 0
        endpoint.requests.clear()
        folder.documents([{"doc": "a", "text": "good worse great gem"}, DOCUMENTS[1]])
        refused = folder.call("run", "last.toml")
        assert refused.returncode == 2
        assert "1 finished rows of house/test-model differ: the input changed (for example a)" in refused.stderr
        assert folder.call("run", "extract.toml", "--changed", "rerun").returncode == 0
        refused = folder.call("run", "last.toml")
        assert (
            "1 finished rows of house/test-model differ: the answers of extract of which they are made changed (for example a/1)"
            in refused.stderr
        )
        assert ids(folder.lines("judge")) == ["a/0", "a/1", "a/2", "b/0"]
        ended = folder.call("run", "last.toml", "--changed", "rerun")
        assert ended.returncode == 0, ended.stderr
        assert set(endpoint.counts()) == {"extract: good worse great gem", "judge: worse", "judge: gem", "write: gem of a"}
        assert set(endpoint.counts().values()) == {1}
    assert ids(folder.lines("last")) == ["a/0", "a/2", "a/3"]


def test_a_refused_step_keeps_its_rows_for_resume(tmp_path: Path) -> None:
    """After a refusal the run directory still reads the rows that its answers are of, and old rows are removed once new ones count."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, DOCUMENTS[:2])
        assert folder.call("run", "judge.toml").returncode == 0
        folder.documents([{"doc": "a", "text": "gone"}, DOCUMENTS[1]])
        assert folder.call("run", "judge.toml").returncode == 2
        assert folder.call("run", "extract.toml", "--changed", "rerun").returncode == 0
        assert folder.call("run", "judge.toml").returncode == 2
        resumed = folder.call("resume", "runs/judge")
        assert resumed.returncode == 0, resumed.stderr
        assert folder.call("verify", "runs/judge").returncode == 0
        assert ids(folder.lines("judge")) == ["a/0", "a/1", "a/2", "b/0"]
        assert folder.call("run", "judge.toml", "--changed", "rerun").returncode == 0
        assert len(list((tmp_path / "runs/judge/rows").iterdir())) == 1
        assert ids(folder.lines("judge")) == ["a/0", "b/0"]


@pytest.mark.parametrize("killed_in", ["extract", "judge", "write"])
def test_killed_in_each_step_and_resumed_nothing_is_sent_twice(tmp_path: Path, killed_in: str) -> None:
    """Promises 1, 2, 4: SIGKILL in each of the steps; the same command continues, and re-sends no more than what was in flight."""
    documents = [{"doc": f"d{number}", "text": f"good{number} bad{number}"} for number in range(60)]
    concurrency = 8

    def slowly(received: Received) -> Iterable[Action]:
        return [Sleep(0.02), *reply(received)]

    with ScriptedEndpoint(for_rows(slowly)) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, documents, concurrency=concurrency, durability="row")
        process = folder.start("run", "last.toml", measured=False)
        wait_for(lambda: sum(each.startswith(killed_in) for each in list(endpoint.counts())) > 25, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        ended = folder.call("run", "last.toml")
        assert ended.returncode == 0, ended.stderr
        sent = endpoint.counts()
    assert len(sent) == 60 + 120 + 60
    assert sum(sent.values()) - len(sent) <= concurrency
    assert all(prompt.startswith(killed_in) for prompt, count in sent.items() if count > 1)
    assert len(folder.lines("last")) == 60
    for name in ("extract", "judge", "last"):
        assert folder.call("verify", f"runs/{name}").returncode == 0


def test_status_and_plan_show_the_whole_chain(tmp_path: Path) -> None:
    """`plan` says what waits for answers; `status` goes up to the first run; --limit bounds each step."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, DOCUMENTS)
        planned = json.loads(folder.call("plan", "last.toml", "--json").stdout)
        assert planned["waits_for"] == "judge"
        assert [step["name"] for step in planned["steps"]] == ["extract", "judge"]
        assert planned["steps"][0]["rows"] == 4
        assert "which has none yet: 4 requests before it are still to be answered" in folder.call("plan", "last.toml").stdout
        assert not (tmp_path / "runs").exists()
        ended = folder.call("run", "last.toml", "--limit", "2")
        assert ended.returncode == 0, ended.stderr
        assert (len(folder.lines("extract")), len(folder.lines("judge")), len(folder.lines("last"))) == (2, 2, 1)
        planned = json.loads(folder.call("plan", "last.toml", "--json").stdout)
        assert [step["variants"][0]["requests"] for step in planned["steps"]] == [2, 1]
        assert (planned["rows"], planned["variants"][0]["kept"], planned["coming"]) == (1, 1, 4)
        assert folder.call("run", "last.toml").returncode == 1
    status = json.loads(folder.call("status", "runs/last", "--json").stdout)
    assert [status["name"], status["upstream"]["name"], status["upstream"]["upstream"]["name"]] == ["last", "judge", "extract"]
    assert status["upstream"]["origin"]["omitted"] == {"failed": 1}
    shown = folder.call("status", "runs/last").stdout
    assert "its rows: 5 rows of the answers of extract (no row here: 1 failed)" in shown


def test_a_step_that_ends_early_ends_the_chain(tmp_path: Path) -> None:
    """When an endpoint refuses a step, those after it are not begun, and the exit code is its own."""
    with ScriptedEndpoint(for_rows(lambda _: [error(401, "no such key")])) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, DOCUMENTS)
        ended = folder.call("run", "last.toml")
    assert ended.returncode == 5
    assert "not begun, since the step before did not end: judge, last" in ended.stderr
    assert not (tmp_path / "runs/judge").exists()


def test_a_circle_is_an_error_with_its_path(tmp_path: Path) -> None:
    """Jobs that build on each other in a circle are refused with the whole circle; so are two with one run directory, and both sources."""
    folder = StepsFolder(tmp_path, "http://127.0.0.1:1", DOCUMENTS)
    folder.step("extract", 'job = "last.toml"', "{{ text }}")
    ended = folder.call("run", "judge.toml")
    assert ended.returncode == 2
    assert (
        "last.toml:2: input.job: the jobs build on each other in a circle: judge.toml → extract.toml → last.toml → judge.toml"
        in ended.stderr
    )
    folder.step("extract", 'run = "runs/last"', "{{ text }}")
    assert "in a circle: extract reads" in folder.call("run", "last.toml").stderr
    folder.step("extract", 'path = "docs.jsonl"', "{{ text }}", more='dir = "runs/judge"')
    assert "extract has the same run directory" in folder.call("run", "judge.toml").stderr
    folder.step("judge", 'path = "docs.jsonl"\njob = "extract.toml"\nexplode = "x"\nid = "doc"', "{{ text }}")
    stderr = folder.call("run", "judge.toml").stderr
    assert "input.job: cannot be used with path" in stderr
    assert "input.explode: is only for rows made of another job's answers" in stderr
    folder.step("judge", 'job = "extract.toml"\nid = "doc"\nencoding = "latin-1"', "{{ text }}")
    stderr = folder.call("run", "judge.toml").stderr
    assert "input.id: cannot be used with job or run" in stderr
    assert "input.encoding: is only for files" in stderr


def test_rows_of_a_run_directory(tmp_path: Path) -> None:
    """`run` takes the answers of a run directory as they are, runs nothing before, and says when there are none."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, DOCUMENTS[:2])
        folder.step("judge", 'run = "runs/extract"', "judge: {{ parsed.items[0] }}")
        missing = folder.call("run", "judge.toml")
        assert missing.returncode == 2
        assert "has no answers yet" in missing.stderr
        assert folder.call("run", "extract.toml", "--limit", "1").returncode == 0
        assert folder.call("run", "judge.toml").returncode == 0
        assert ids(folder.lines("judge")) == ["a"]
        assert folder.call("run", "extract.toml").returncode == 0
        ended = folder.call("run", "judge.toml")
        assert ended.returncode == 0, ended.stderr
        assert ids(folder.lines("judge")) == ["a", "b"]
        assert max(endpoint.counts().values()) == 1


def test_group_makes_one_row_of_many(tmp_path: Path) -> None:
    """A group is one row whose columns are lists; where applies before, and rows without the value are counted."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(
            tmp_path, endpoint.url, [{**each, "lang": lang} for each, lang in zip(DOCUMENTS, ["en", None, "en", "en"], strict=True)]
        )
        folder.step(
            "last", 'job = "judge.toml"\ngroup = "lang"\nwhere = \'parsed.good == true or lang == null\'', "sum: {{ item | join(', ') }}"
        )
        ended = folder.call("run", "last.toml")
        assert ended.returncode == 1, ended.stderr
        (row,) = folder.kept("last")
    assert (row["item"], row["doc"], row["lang"], row["promptmill_id"]) == (["good", "great", "gold"], ["a", "a", "d"], "en", "en")
    assert "1 without a value to group by" in ended.stderr
    assert [(line["id"], line["completion"]) for line in folder.lines("last")] == [("en", "about good, great, gold")]


def test_answers_of_several_models_and_repeats_are_rows_of_their_own(tmp_path: Path) -> None:
    """Each answer is a row whose id names model and repeat; `variant` takes one model's answers under the rows' own ids."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, [DOCUMENTS[0]], repeats=2)
        second = '\n[[model]]\nid = "house/test-model"\nname = "warm"\ntemperature = 1\n'
        with (tmp_path / "extract.toml").open("a") as file:
            file.write(second)
        folder.step("judge", 'job = "extract.toml"', "judge: {{ variant }}")
        assert folder.call("run", "judge.toml", "--set", "run.repeats=1").returncode == 0
        assert ids(folder.lines("judge")) == [f"a/{slug}/{n}" for slug in ("house--test-model", "warm") for n in (0, 1)]
        folder.step("judge", 'job = "extract.toml"\nvariant = "warm"', "judge: {{ repeat }}", more='dir = "runs/one"')
        assert folder.call("run", "judge.toml", "--set", "run.repeats=1").returncode == 0
        assert ids(folder.lines("one")) == ["a/0", "a/1"]
        folder.step("judge", 'job = "extract.toml"\nvariant = "cold"', "judge: {{ repeat }}", more='dir = "runs/two"')
        assert "it has no answers of 'cold'; there are those of house/test-model, warm" in folder.call("run", "judge.toml").stderr


def test_answers_without_a_list_are_counted(tmp_path: Path) -> None:
    """Explode makes no row of an answer without the list, or with an empty one, and says how many there are."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, [DOCUMENTS[0], {"doc": "e", "text": ""}])
        ended = folder.call("run", "judge.toml")
        assert "3 rows of the answers of extract (no row here: 1 without an element of a list parsed.items)" in ended.stderr
        folder.step("judge", 'job = "extract.toml"\nexplode = "parsed.words"', "judge: {{ item }}", more='dir = "runs/other"')
        ended = folder.call("run", "judge.toml")
        assert "0 rows of the answers of extract (no row here: 2 without a list parsed.words)" in ended.stderr


def test_try_and_requests_of_a_step(tmp_path: Path) -> None:
    """`try` and `export --format openai-batch-input` make a step's rows without writing them anywhere."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, DOCUMENTS)
        assert "has no answers yet" in folder.call("try", "judge.toml").stderr
        assert folder.call("run", "extract.toml").returncode == 1
        tried = folder.call("try", "judge.toml", "--row", "1")
        assert tried.returncode == 0, tried.stderr
        assert json.loads(tried.stdout) == {"good": False}
        exported = folder.call("export", "judge.toml", "--format", "openai-batch-input", "-o", "out")
        assert exported.returncode == 0, exported.stderr
    (file,) = (tmp_path / "out").iterdir()
    assert [line["custom_id"] for line in lines_of(file)] == ["a/0", "a/1", "a/2", "b/0", "d/0"]
    assert not (tmp_path / "runs/judge").exists()


def test_fresh_starts_one_step_over(tmp_path: Path) -> None:
    """--fresh moves the job's own run aside, its rows with it; the steps before it keep their answers."""
    with ScriptedEndpoint(reply) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, DOCUMENTS[:2])
        assert folder.call("run", "judge.toml").returncode == 0
        ended = folder.call("run", "judge.toml", "--fresh")
        assert ended.returncode == 0, ended.stderr
        sent = endpoint.counts()
    assert sent["judge: good"] == 2
    assert sent["extract: bad"] == 1
    (aside,) = (tmp_path / "runs/judge/old").iterdir()
    assert len(list((aside / "rows").iterdir())) == 1
    assert folder.call("verify", str(aside)).returncode == 0


def test_files_that_rows_name_are_found_from_each_step(tmp_path: Path) -> None:
    """Paths in rows are relative to the first input's folder in all steps, and to the working directory for rows from Python."""

    def with_text(received: Received) -> Iterable[Action]:
        parts = received.json()["messages"][-1]["content"]
        pictures.append([part["type"] for part in parts])
        return [chat_reply(json.dumps({"items": ["one"]}))]

    pictures: list[list[str]] = []
    with ScriptedEndpoint(for_rows(with_text)) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, [{"doc": "a", "photo": "in/photo.png"}])
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "photo.png").write_bytes(picture())
        for name in ("extract", "judge"):
            path = tmp_path / f"{name}.toml"
            path.write_text(path.read_text().replace("[prompt]\n", '[prompt]\nimages = "photo"\n').replace("{{ text }}", "{{ doc }}"))
        path.write_text(path.read_text().replace('schema = "verdict.json"\n', ""))
        ended = folder.call("run", "judge.toml")
        assert ended.returncode == 0, ended.stderr
        assert len(pictures) == 2
        (tmp_path / "given.toml").write_text((tmp_path / "extract.toml").read_text().replace('path = "docs.jsonl"', 'path = "-"'))
        with chdir(tmp_path):
            assert batch.run("given.toml", rows=[{"doc": "z", "photo": "in/photo.png"}]).exit_code == 0
    assert len(pictures) == 3
    assert all("image_url" in parts for parts in pictures)
