"""`promptmill try`: one row, its request shown and its answer streamed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder
from tests.support.scripted import ScriptedEndpoint, answer
from tests.support.scripts import refuse_every_third
from tests.support.streams import sse_text


def test_try_shows_the_request_and_streams_the_answer(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`try` puts the answer, and only that, on stdout; the request and the figures go to stderr; no run directory is made."""
    result = JobFolder(tmp_path, endpoint.url).call("try", "test.toml", "--row", "3")
    assert result.returncode == 0, result.stderr
    [received] = [received for received in endpoint.requests if received.body]
    assert received.prompt == "question 3"
    assert received.json()["stream"] is True
    head, rest = result.stderr.split("\n", 1)
    assert head == "row 3 (id r3) → house/test-model, chat/completions"
    assert json.loads(rest[: rest.rindex("}") + 1]) == received.json()
    assert "finish_reason stop, 7 tokens in + 3 out, first token after" in result.stderr
    assert "question 3" in result.stdout
    assert result.stdout.endswith("\n")
    assert not (tmp_path / "runs").exists()


def test_try_as_json_is_one_object(tmp_path: Path) -> None:
    """`try --json` gives scripts the request, the answer and the figures as one JSON object, and writes nothing else."""
    with ScriptedEndpoint(lambda received: [sse_text("Paris it is.")] if received.body else answer(received)) as endpoint:
        result = JobFolder(tmp_path, endpoint.url).call("try", "test.toml", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert (told["row"], told["id"], told["variant"], told["completion"]) == (0, "r0", "house/test-model", "Paris it is.")
    assert told["finish_reason"] == "stop"
    assert told["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert told["request"]["messages"] == [{"role": "user", "content": "question 0"}]
    assert told["error"] is None
    assert 0 <= told["first_token_s"] <= told["latency_s"]


def test_an_answer_cannot_steer_the_terminal_but_is_data_elsewhere(tmp_path: Path) -> None:
    """Escape sequences in an answer are shown on a terminal, and kept as they are in a pipe."""
    with ScriptedEndpoint(lambda received: [sse_text("a\x1b[2Jb")] if received.body else answer(received)) as endpoint:
        job = JobFolder(tmp_path, endpoint.url)
        assert job.call("try", "test.toml").stdout == "a\x1b[2Jb\n"
        screen, line = os.openpty()
        subprocess.run(job.command("try", "test.toml"), cwd=tmp_path, stdout=line, stderr=subprocess.DEVNULL, check=True)
        # Read first: what is in a terminal may be lost when the last program closes it.
        assert os.read(screen, 1000) == b"a\\x1b[2Jb\r\n"
        os.close(line)
        os.close(screen)


def test_try_of_a_failing_row_says_why(tmp_path: Path) -> None:
    """A row that the endpoint refuses ends with 1, nothing on stdout and the error's code."""
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        result = JobFolder(tmp_path, endpoint.url).call("try", "test.toml")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("promptmill: error: context_length: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--row", "10"), "there is no row 10: the input has 10 rows"), (("--variant", "gpt"), "there are: house/test-model")],
)
def test_try_names_what_there_is(words: tuple[str, ...], message: str, endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A row or variant that does not exist is an error with code 2 that says which do."""
    result = JobFolder(tmp_path, endpoint.url).call("try", "test.toml", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
