"""Two models behind one endpoint, of which one is broken: the other's rows are answered all the same. Promises 7 and 13."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from batch import app
from batch.job import load
from batch.tally import sum_tallies
from tests.support.jobs import JobFolder, Notices
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer, error
from tests.support.scripts import for_rows

ROWS = 600  # more than a pool reads ahead: the refused rows alone fill it
SECOND = '\n[[model]]\nid = "house/broken"\n'
REFUSALS: dict[str, bytes] = {
    "not found": error(404, {"error": {"message": "The model `broken` does not exist", "code": "model_not_found"}}),
    "overloaded": error(503, "The model is overloaded"),
    "bad request": error(400, "this model takes no system prompt"),
}


def two_models(path: Path, url: str, processes: int = 1, *, outage_timeout_s: float = 1.0) -> JobFolder:
    """A job of ROWS rows over two models of one endpoint."""
    return JobFolder(
        path,
        url,
        rows=ROWS,
        parameters=SECOND,
        concurrency=4,
        attempts=2,
        outage_timeout_s=outage_timeout_s,
        preflight=False,
        processes=processes,
    )


def run(folder: JobFolder, notices: Notices) -> app.RunReport:
    """Run the job of both models."""
    return app.run(load(str(folder.job), [f"output.dir={folder.directory}"], {}), app.RunOptions(), [notices])


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("name", "failed"), [("not found", 0), ("overloaded", 0), ("bad request", 20)])
def test_a_model_that_is_refused_keeps_no_row_of_the_other_from_its_answer(tmp_path: Path, name: str, failed: int, processes: int) -> None:
    """Fault 6, promise 13: all rows of the sound model are answered, the broken one's stay for later, exit 5 in its words; it resumes."""

    def handler(received: Received) -> Iterable[Action]:
        return [REFUSALS[name]] if received.json()["model"] == "broken" else answer(received)

    notices = Notices()
    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        # Where rows fail, the first of them stop the model, and not the time.
        folder = two_models(tmp_path, endpoint.url, processes, outage_timeout_s=60.0 if failed else 1.0)
        report = run(folder, notices)
        sound, broken = report.tallies.values()
        assert (report.exit_code, sound.ok, sound.failed, broken.ok) == (5, ROWS, 0, 0)
        # They are judged in groups, and there are those in flight; workers send until they next hear of each other.
        assert failed <= broken.failed <= failed + (14 if processes == 1 else ROWS // 4)
        assert bool(failed) is bool(broken.failed)
        (shown,) = [notice for notice in notices.seen if "house/broken is not sent any more" in notice]
        assert "the other models are" in shown
        endpoint.handler = answer
        again = run(folder, notices)
    assert sum_tallies(again.tallies).ok == ROWS - broken.failed


@pytest.mark.parametrize("processes", [1, 2])
def test_an_endpoint_that_refuses_both_models_is_given_up(tmp_path: Path, processes: int) -> None:
    """Promise 7: where no model is served the endpoint is at fault, by its deadline, and no row fails."""
    with ScriptedEndpoint(for_rows(lambda _: [REFUSALS["overloaded"]])) as endpoint:
        report = run(two_models(tmp_path, endpoint.url, processes), Notices())
    whole = sum_tallies(report.tallies)
    assert (report.exit_code, whole.ok, whole.failed) == (5, 0, 0)
    assert (report.reason or "").startswith("house has served nothing for ")


def test_an_endpoint_that_refuses_all_in_unknown_words_fails_no_row_of_a_model_that_it_never_served(tmp_path: Path) -> None:
    """Promise 13: the endpoint served the first model when it begins to refuse both: an answered row of the first tests it for both."""
    served: set[str] = set()
    tests: list[str] = []

    def handler(received: Received) -> Iterable[Action]:
        model, prompt = received.json()["model"], received.prompt
        if served and not tests and (model == "broken" or len(served) == 20):
            tests.extend([prompt] if model != "broken" and prompt in served else [])
            return [error(400, "the contract has ended")]
        if model != "broken":
            served.add(prompt)
        return answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=20, parameters=SECOND, concurrency=4, attempts=2, preflight=False)
        report = run(folder, Notices())
    whole = sum_tallies(report.tallies)
    assert (report.exit_code, whole.ok, whole.failed) == (0, 40, 0)
    assert tests


@pytest.mark.parametrize("processes", [1, 2])
def test_an_endpoint_out_of_money_ends_the_run_for_all_its_models(tmp_path: Path, processes: int) -> None:
    """Fault 3: what is wrong with the key is not the fault of one model."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(402, "no credit left")] if received.json()["model"] == "broken" else answer(received)

    with ScriptedEndpoint(for_rows(handler)) as endpoint:
        report = run(two_models(tmp_path, endpoint.url, processes), Notices())
    whole = sum_tallies(report.tallies)
    assert (report.exit_code, report.reason, whole.failed) == (5, "house: no credit left", 0)
    assert whole.ok < ROWS


@pytest.mark.parametrize("processes", [1, 2])
def test_an_endpoint_that_refuses_everything_keeps_no_row_of_another_from_its_answer(tmp_path: Path, processes: int) -> None:
    """Fault 3, promise 13: with one endpoint out of money all rows of the other's model are answered; exit 5, its cause; it resumes."""
    with ScriptedEndpoint(for_rows(lambda _: [error(402, "no credit left")])) as poor, ScriptedEndpoint(for_rows(answer)) as rich:
        more = f'\n[provider.rich]\nbase_url = "{rich.url}"\n\n[[model]]\nid = "rich/sound"\n'
        folder = JobFolder(tmp_path, poor.url, rows=ROWS, parameters=more, concurrency=4, preflight=False, processes=processes)
        report = run(folder, Notices())
        broken, sound = report.tallies.values()
        assert (report.exit_code, report.reason) == (5, "house: no credit left")
        assert (sound.ok, sound.failed, broken.ok, broken.failed) == (ROWS, 0, 0, 0)
        assert folder.call("verify", str(folder.directory)).returncode == 0
        poor.handler = answer
        again = run(folder, Notices())
    assert (again.exit_code, sum_tallies(again.tallies).ok) == (0, ROWS)
