"""promptmill calibrate: labelling in a terminal, and from a pipe."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.evaluation import JudgedJob, judged_parts, judging
from tests.support.scripted import PATIENCE_S

# Ctrl-C is a signal to those only whose controlling terminal it is typed at.
ON_A_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
CALIBRATE = ("calibrate", "runs/test", "--job", "test.toml")


def verdict(prompt: str) -> str:
    """5 for answers of model a, 1 for those of b."""
    return f"It is what it is.\nRating: {5 if judged_parts(prompt)['ANSWER'].startswith('a') else 1}"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgedJob]:
    """A run with 20 judged answers."""
    with judging(lambda model, question: f"{model} says {question}", verdict) as endpoint:
        job = JudgedJob(tmp_path_factory.mktemp("judged"), endpoint, "")
        job.run()
        assert job.score().exit_code == 0
        yield job


@pytest.fixture(autouse=True)
def unlabelled(judged: JudgedJob) -> None:
    """No labels of other tests."""
    (judged.folder.directory / "scores/calibration/s.jsonl").unlink(missing_ok=True)


def test_labels_from_a_pipe(judged: JudgedJob) -> None:
    """Verdicts and models stay hidden; a stop keeps what was labelled, and the same command continues; the agreement goes to stdout."""
    first = judged.call(*CALIBRATE, "--rows", "4", input="5\nwhat\n1\nu\n5\nq\n")
    assert first.exit_code == 0, first.output
    assert "Rating" not in first.output
    assert "It is what it is" not in first.output
    assert "house/a" not in first.output
    assert "> what? one of 1, 2, 3, 4, 5, s, u, q" in first.stderr
    assert "2 of the sample of 4 are not labelled" in first.stdout
    second = judged.call(*CALIBRATE, "--rows", "4", input="s\n3\n")
    assert second.stderr.count("1 of 2") == 1
    assert second.stdout.startswith("s: house/judge against 3 labels\nCohen's kappa (weighted by squares) ")
    assert "you \\ judge  1  2  3  4  5" in second.stdout
    lines = [json.loads(line) for line in (judged.folder.directory / "scores/calibration/s.jsonl").read_text().splitlines()]
    assert [line["label"] for line in lines] == [5, 1, 5, 3]


def test_json_asks_nothing(judged: JudgedJob) -> None:
    """--json writes the agreement so far."""
    judged.call(*CALIBRATE, "--rows", "2", input="5\n1\n")
    document = json.loads(judged.call(*CALIBRATE, "--rows", "2", "--json").stdout)
    assert (document["score"], document["judge"], document["labelled"], document["weights"]) == ("s", "house/judge", 2, "quadratic")
    assert sum(each["count"] for each in document["table"]) == 2
    assert judged.call(*CALIBRATE, "--rows", "2", input="").stderr == "", "all are labelled: nothing is asked"


def test_keys_in_a_terminal(judged: JudgedJob) -> None:
    """On a terminal a key is enough, without Enter; arrows mean nothing; Ctrl-C ends it, and what was labelled is kept."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, *judged.folder.command(*CALIBRATE, "--rows", "3")],
        cwd=judged.folder.path,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    seen = b""

    def read_until(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            ready, _, _ = select.select([leader], [], [], PATIENCE_S)
            assert ready, seen
            seen += os.read(leader, 65536)

    try:
        for at, key in ((1, b"5"), (2, b"\x1b[Ax1"), (3, b"\x03")):
            read_until(b"%d of 3" % at)
            os.write(leader, key)
        assert process.wait() == 130
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    lines = (judged.folder.directory / "scores/calibration/s.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == [5, 1]


def test_the_agreement_stands_beside_the_score(judged: JudgedJob) -> None:
    """What calibrate found is told by score, compare and the report, of all labels there are, and is brought up to date by the next one."""
    assert judged.compared()["judge"]["person"] is None
    told = judged.call("compare", "runs/test", "--job", "test.toml").stdout
    assert "kappa" not in told
    labelled = judged.call(*CALIBRATE, "--rows", "6", "--json", input="")
    assert json.loads(labelled.stdout)["labelled"] == 0
    judged.call(*CALIBRATE, "--rows", "6", input="5\n1\n5\n1\n3\nq\n")
    sent = len(judged.endpoint.requests)
    person = judged.compared()["judge"]["person"]
    calibrated = json.loads(judged.call(*CALIBRATE, "--rows", "6", "--json").stdout)
    assert person == {
        "labels": 5,
        "weights": "quadratic",
        **{key: calibrated["agreement"][key] for key in ("kappa", "low", "high", "agreed")},
    }
    note = f"10 rows; kappa {person['kappa']:z.2f} with 5 labels"
    sentence = f"The judge against a person: Cohen's kappa (weighted by squares) {person['kappa']:z.2f} ["
    for command in ("score", "compare"):
        shown = judged.call(command, "runs/test", "--job", "test.toml").stdout
        assert f"s (judge by house/judge; {note})" in shown, command
    assert sentence in " ".join(shown.split())
    assert judged.call("report", "runs/test", "--job", "test.toml").exit_code == 0
    page = (judged.folder.directory / "report.html").read_text()
    assert note in page
    assert "The judge against a person" in page
    judged.call(*CALIBRATE, "--rows", "20", input="1\n" * 15)
    assert judged.compared()["judge"]["person"]["labels"] == 20
    assert len(judged.endpoint.requests) == sent, "nothing of this asks the judge"


def test_what_cannot_be_calibrated(judged: JudgedJob, tmp_path: Path) -> None:
    """A score that is not there or that no model judges is told, as is one whose judge was not asked yet."""
    other = judged.call(*CALIBRATE, "--score", "x")
    assert (other.exit_code, "x is no judged score; there are: s" in other.stderr) == (2, True)
    none = tmp_path / "none.toml"
    none.write_text(judged.folder.job.read_text().partition("[[score]]")[0] + '[[score]]\nkind = "json"\n')
    assert "no score is judged by a model" in judged.call("calibrate", "runs/test", "--job", str(none)).stderr
    none.write_text(judged.folder.job.read_text().replace('name = "s"', 'name = "new"'))
    assert (
        "nothing is judged yet; ask the judge first: promptmill score runs/test"
        in judged.call("calibrate", "runs/test", "--job", str(none)).stderr
    )
