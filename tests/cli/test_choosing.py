"""Which rows a session sends: failures by their code, models by a pattern, and failures that are final."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner

from batch.cli.group import promptmill
from tests.support.jobs import JobFolder, ids
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, error
from tests.support.scripts import for_rows, row_number


def two_kinds(received: Received) -> Iterable[Action]:
    """Row 1 is too long, row 2 is filtered, all others are answered."""
    refusals = {1: {"code": "context_length_exceeded", "message": "too long"}, 2: {"code": "content_filter", "message": "no"}}
    refusal = refusals.get(row_number(received))
    return answer(received) if refusal is None else [error(400, {"error": refusal})]


def test_failures_are_sent_again_by_code_and_accepted(tmp_path: Path) -> None:
    """--retry-failed=CODE sends those alone, bare it sends all but the accepted, and accepted failures make exit code 0 until undone."""
    with ScriptedEndpoint(for_rows(two_kinds)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=6)
        run, place = ("run", folder.job.name), str(folder.directory)
        assert folder.call().returncode == 1
        codes = {line["id"]: line["error"]["code"] for line in folder.errors()}
        assert set(codes) == {"r1", "r2"}
        unknown = folder.call(*run, "--retry-failed=context_lenght")
        assert (unknown.returncode, "did you mean context_length?" in unknown.stderr) == (2, True), unknown.stderr
        assert folder.call(*run, f"--retry-failed={codes['r1']}").returncode == 1
        assert (endpoint.counts()["question 1"], endpoint.counts()["question 2"]) == (2, 1)
        accepted = folder.call("accept", place, "--code", codes["r1"])
        assert accepted.stdout == f"1 failures are accepted as final: 1 {codes['r1']}\n"
        assert folder.call("run", "--retry-failed", folder.job.name).returncode == 1
        assert (endpoint.counts()["question 1"], endpoint.counts()["question 2"]) == (2, 2)
        assert folder.call("accept", place).returncode == 0
        done = folder.call(*run)
        assert done.returncode == 0
        assert "2 failed" in done.stderr
        assert "2 failures are accepted as final" in done.stderr
        assert ids(folder.errors()) == ["r1", "r2"]
        assert folder.call("accept", place, "--undo").returncode == 0
        assert folder.call(*run).returncode == 1


def test_models_are_chosen_by_pattern(tmp_path: Path) -> None:
    """--variant sends the models that match, with one process and with two; the rest later; a pattern without a match is refused."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=600, preflight=False, parameters='[[model]]\nid = "house/other"')
        assert folder.call("run", folder.job.name, "--variant", "*tset*").returncode == 2
        for processes, pattern in (("1", "*/test-*"), ("2", "house/oth??")):
            done = folder.call("run", folder.job.name, "--variant", pattern, "--set", f"run.processes={processes}")
            assert done.returncode == 0, done.stderr
            assert ("600 tasks of other models are not sent yet" in done.stderr) == (processes == "1"), done.stderr
            assert len(folder.completions()) == 600 * int(processes)


def test_one_place_for_a_run(tmp_path: Path) -> None:
    """The run is beside its job from any folder; a run where earlier versions had it is not sent again, but named."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=3)
        (tmp_path / "else").mkdir()
        for place in (tmp_path, tmp_path / "else", Path("/")):
            assert called_in(folder, place) == 0
        assert endpoint.counts()["question 0"] == 1
        (tmp_path / "else" / "runs").mkdir()
        folder.directory.rename(tmp_path / "else" / "runs" / "test")
        assert called_in(folder, tmp_path / "else") == 2
        assert endpoint.counts()["question 0"] == 1


def called_in(folder: JobFolder, place: Path) -> int:
    """The exit code of the job's run, called in another folder."""
    with chdir(place):
        return CliRunner().invoke(promptmill, ["run", str(folder.job)]).exit_code


def test_two_jobs_in_one_directory_are_told_apart(tmp_path: Path) -> None:
    """A job whose input has none of the finished rows of another job's run is refused; --changed keep continues there."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=5)
        assert folder.call().returncode == 0
        other = tmp_path / "other.toml"
        other.write_text(folder.job.read_text().replace("rows.jsonl", "more.jsonl"))
        (tmp_path / "more.jsonl").write_text('{"id": "x1", "text": "question 9"}\n')
        refused = folder.call("run", "other.toml")
        assert refused.returncode == 2
        assert "has the run of another job, 'test': none of the 5 finished rows is in this input" in refused.stderr
        assert folder.call("run", "other.toml", "--changed", "keep").returncode == 0


def test_the_larger_budget_has_room_for_the_next_request(tmp_path: Path) -> None:
    """Twice the budget would stop at once again where one request may cost more: with the figure of `next`, rows are sent."""
    with ScriptedEndpoint() as endpoint:
        # At most 1 $ of completion tokens a request, of which 3 are used.
        folder = JobFolder(tmp_path, endpoint.url, rows=6, parameters="price = {input = 0.0, output = 1000.0}\nmax_tokens = 1000")
        first = folder.call("run", folder.job.name, "--set", "run.max_cost_usd=0.2")
        assert first.returncode == 4, first.stderr
        (more,) = re.findall(r"run\.max_cost_usd=([\d.]+)\n", first.stderr)
        assert float(more) == 2.0
        assert folder.call("run", folder.job.name, "--set", f"run.max_cost_usd={more}").returncode == 0
    assert len(folder.completions()) == 6


def test_a_pass_that_was_interrupted_says_what_it_has_still_to_send(tmp_path: Path) -> None:
    """With --changed rerun no row is without an answer: those of the former prompt are counted."""
    with ScriptedEndpoint() as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=6, parameters="price = {input = 0.0, output = 1000.0}\nmax_tokens = 1000")
        assert folder.call().returncode == 0
        folder.write(user="again: {{ text }}", parameters="price = {input = 0.0, output = 1000.0}\nmax_tokens = 1000", max_cost_usd=0.1)
        ended = folder.call("run", folder.job.name, "--changed", "rerun")
    assert ended.returncode == 4, ended.stderr
    assert "6 of them are still to be sent again" in ended.stderr


def test_the_next_command_is_the_one_that_continues(tmp_path: Path) -> None:
    """A kept change lasts; a spent budget is not repeated but doubled; figures of a later session are told from those of all."""
    with ScriptedEndpoint(for_rows(two_kinds)) as endpoint:
        price = "price = {input = 1000.0, output = 1000.0}\nmax_tokens = 5"
        folder = JobFolder(tmp_path, endpoint.url, rows=6, parameters=price)
        spent = folder.call("run", folder.job.name, "--set", "run.max_cost_usd=0.13")
        assert spent.returncode == 4, spent.stderr
        assert "--set run.max_cost_usd=0.26" in spent.stderr
        assert spent.stderr.count("run.max_cost_usd=0.13") == 0
        ended = folder.call()
        assert ended.returncode == 1
        assert "(this session)" in ended.stderr
        assert "in all sessions" in ended.stderr
        folder.write(user="Again: {{ text }}", parameters=price)
        assert folder.call().returncode == 2
        assert folder.call("run", folder.job.name, "--changed", "keep").returncode in {0, 1}
        assert folder.call().returncode in {0, 1}
