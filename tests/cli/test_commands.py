"""The commands end to end: real jobs against a scripted endpoint on loopback, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder, ids
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep, answer, error, sse_text, unused_port
from tests.support.sessions import status_json


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    """An endpoint that answers everything."""
    with ScriptedEndpoint() as endpoint:
        yield endpoint


def refuse_every_third(received: Received) -> Iterable[Action]:
    """Rows r0, r3, r6, … have a prompt that is too long."""
    if received.body and int(received.prompt.split()[-1]) % 3 == 0:
        return [error(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})]
    return answer(received)


def test_run_does_all_rows_and_says_so(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A job without faults ends with 0, nothing on stdout, plain progress and the summary on stderr (promise 1, fault 58)."""
    job = JobFolder(tmp_path, endpoint.url)
    result = job.run()
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    lines = result.stderr.splitlines()
    assert lines[0] == "promptmill: test: results go to runs/test"
    assert any(line.startswith("promptmill: 10 of 10 rows (100 %)") for line in lines)
    assert any(line.startswith("promptmill: all rows done in ") for line in lines)
    assert "  rows       10 = 10 ok + 0 failed + 0 not attempted" in lines
    assert "  files      runs/test/completions.jsonl" in lines
    assert ids(job.completions()) == [f"r{number}" for number in range(10)]


def test_failed_rows_end_with_1_and_can_be_sent_again(tmp_path: Path) -> None:
    """Failed rows give exit code 1 and the command that sends them again; that command does it (promise 1)."""
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        job = JobFolder(tmp_path, endpoint.url)
        first = job.run()
        sent = endpoint.counts()
        second = job.run()
        assert endpoint.counts() == sent
    assert (first.returncode, second.returncode) == (1, 1)
    assert "  failures   4 context_length" in first.stderr.splitlines()
    assert first.stderr.splitlines()[-1].strip() == "promptmill run test.toml --retry-failed"
    with ScriptedEndpoint() as endpoint:
        result = job.run("run", "test.toml", "--retry-failed", "--set", f"provider.house.base_url={endpoint.url}", "--changed", "keep")
        assert len(endpoint.counts()) == 4, result.stderr
    assert result.returncode == 0, result.stderr
    assert "             6 of them kept from before" in result.stderr.splitlines()


def test_quiet_is_silent_when_all_is_well(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """--quiet writes nothing about a run without faults."""
    result = JobFolder(tmp_path, endpoint.url).run("run", "test.toml", "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_quiet_does_not_hide_failures(tmp_path: Path) -> None:
    """--quiet still says what failed."""
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        result = JobFolder(tmp_path, endpoint.url).run("run", "test.toml", "-q")
    assert result.returncode == 1
    assert "4 context_length" in result.stderr


def test_limit_and_set_change_the_job(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """--limit takes the first rows only, --set overrides a setting, and the next run takes the rest."""
    job = JobFolder(tmp_path, endpoint.url)
    result = job.run("run", "test.toml", "--limit", "3", "--set", "model.temperature=0.5")
    assert result.returncode == 0, result.stderr
    assert sorted(endpoint.counts()) == ["question 0", "question 1", "question 2"]
    assert {received.json()["temperature"] for received in endpoint.requests if received.body} == {0.5}
    assert job.run("run", "test.toml", "--set", "model.temperature=0.5").returncode == 0
    assert ids(job.completions()) == [f"r{number}" for number in range(10)]
    assert set(endpoint.counts().values()) == {1}


def test_an_interrupted_run_goes_on_with_resume(tmp_path: Path) -> None:
    """Ctrl-C ends with 130 and the command to go on; `resume` finishes from the directory alone (fault 37)."""

    def slowly(received: Received) -> Iterable[Action]:
        return [Sleep(0.05), *answer(received)]

    with ScriptedEndpoint(slowly) as endpoint:
        job = JobFolder(tmp_path, endpoint.url, rows=200, concurrency=4)
        process = job.start()
        while len(endpoint.counts()) < 20:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        assert stderr.splitlines()[-1].strip() == "promptmill run test.toml"
        job.job.unlink()
        result = job.run("resume", "runs/test")
        assert result.returncode == 0, result.stderr
        assert set(endpoint.counts().values()) == {1}
    assert ids(job.completions()) == [f"r{number}" for number in range(200)]


def test_a_refused_key_stops_with_5(tmp_path: Path) -> None:
    """An endpoint that refuses the key stops the run before a row is sent: exit code 5 and the reason (fault 4)."""
    with ScriptedEndpoint(lambda received: [error(401, {"error": {"message": "wrong key"}})]) as endpoint:
        result = JobFolder(tmp_path, endpoint.url).run()
        assert not endpoint.counts()
    assert result.returncode == 5
    assert "wrong key" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_job_shows_every_problem(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A job file with several mistakes ends with 2 and a line for each of them, with its place."""
    job = JobFolder(tmp_path, endpoint.url, concurency=4, attempts="six")
    result = job.run()
    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("promptmill: error: test.toml:") for line in lines), lines
    assert "concurrency" in lines[0]


@pytest.mark.parametrize(
    "words",
    [
        ("run", "gone.toml"),
        ("resume", "runs/gone"),
        ("status", "runs/gone"),
        ("verify", "runs/gone"),
        ("export", "runs/gone", "--format", "csv"),
    ],
)
def test_what_is_not_there_is_named(words: tuple[str, ...], endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A job or run directory that does not exist is a plain error with code 2, and nothing is made."""
    result = JobFolder(tmp_path, endpoint.url).run(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("promptmill: error: ")
    assert "gone" in result.stderr
    assert "bug" not in result.stderr
    assert not (tmp_path / "runs").exists()


def test_try_shows_the_request_and_streams_the_answer(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`try` puts the answer, and only that, on stdout; the request and the figures go to stderr; no run directory is made."""
    result = JobFolder(tmp_path, endpoint.url).run("try", "test.toml", "--row", "3")
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
        result = JobFolder(tmp_path, endpoint.url).run("try", "test.toml", "--json")
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
        assert job.run("try", "test.toml").stdout == "a\x1b[2Jb\n"
        screen, line = os.openpty()
        subprocess.run(job.command("try", "test.toml"), cwd=tmp_path, stdout=line, stderr=subprocess.DEVNULL, check=True)
        os.close(line)
        assert os.read(screen, 1000) == b"a\\x1b[2Jb\r\n"
        os.close(screen)


def test_try_of_a_failing_row_says_why(tmp_path: Path) -> None:
    """A row that the endpoint refuses ends with 1, nothing on stdout and the error's code."""
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        result = JobFolder(tmp_path, endpoint.url).run("try", "test.toml")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("promptmill: error: context_length: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--row", "10"), "there is no row 10: the input has 10 rows"), (("--variant", "gpt"), "there are: house/test-model")],
)
def test_try_names_what_there_is(words: tuple[str, ...], message: str, endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """A row or variant that does not exist is an error with code 2 that says which do."""
    result = JobFolder(tmp_path, endpoint.url).run("try", "test.toml", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


def test_models_lists_what_the_endpoint_serves(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`models` prints one id per line."""
    result = JobFolder(tmp_path, endpoint.url).run("models", "vllm", "--base-url", endpoint.origin)
    assert [received.path for received in endpoint.requests] == ["/v1/models"]
    assert (result.returncode, result.stdout, result.stderr) == (0, "test-model\n", "")


def test_models_of_an_endpoint_without_a_list(tmp_path: Path) -> None:
    """An endpoint that has no /models is no error: its models are believed."""
    with ScriptedEndpoint(lambda received: [error(404, {"detail": "Not Found"})]) as endpoint:
        result = JobFolder(tmp_path, endpoint.url).run("models", "vllm", "--base-url", endpoint.url)
    assert (result.returncode, result.stdout) == (0, "")
    assert "no list of models" in result.stderr


def test_models_of_nobody_names_the_url(tmp_path: Path) -> None:
    """Fault 13: where nobody listens the message says which address was asked, so that a wrong base URL is seen."""
    url = f"http://127.0.0.1:{unused_port()}"
    result = JobFolder(tmp_path, url).run("models", "vllm", "--base-url", url)
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith(f"promptmill: error: {url}/v1/models: no connection could be made")
    refused = JobFolder(tmp_path, url).run("models", "vllm", "--base-url", "gpu-7:8000")
    assert (refused.returncode, refused.stderr) == (2, "promptmill: error: --base-url: a base URL begins with http:// or https://\n")


def test_a_mended_line_leaves_an_outcome_that_is_explained(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Promise 1, fault 50: a bad line that was mended is a new row; its old failure is in no output, and status and verify say so."""
    folder = JobFolder(tmp_path, endpoint.url, rows=4)
    path = tmp_path / "rows.jsonl"
    good = path.read_text()
    path.write_text(good.replace('"question 2"}', '"question'))
    assert folder.run().returncode == 1
    path.write_text(good)
    assert folder.run().returncode == 0
    (variant,) = status_json(folder)
    counts = {name: variant[name] for name in ("total", "ok", "failed", "not_attempted", "orphaned", "orphaned_failed", "failures")}
    assert counts == {"total": 4, "ok": 4, "failed": 0, "not_attempted": 0, "orphaned": 1, "orphaned_failed": 1, "failures": []}
    assert "or a bad line that was mended" in folder.run("status", str(folder.directory)).stdout
    verified = folder.run("verify", str(folder.directory))
    assert verified.returncode == 0
    assert "or a bad line that was mended); no fault, and in no output" in verified.stdout
    assert folder.errors() == []


def test_schema_is_json_schema(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`schema` prints a JSON Schema that has the sections of a job file."""
    result = JobFolder(tmp_path, endpoint.url).run("schema")
    schema = json.loads(result.stdout)
    assert result.returncode == 0
    assert schema["$schema"].startswith("http")
    assert {"input", "prompt", "provider", "model", "run", "output"} <= set(schema["properties"])


def test_providers_are_listed_and_explained(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`providers` tells for each preset whether its key is set, never the key; `providers NAME` has its note and options."""
    job = JobFolder(tmp_path, endpoint.url)
    listed = job.run("providers", environ={"OPENAI_API_KEY": "sk-canary", "GROQ_API_KEY": ""})
    assert "sk-canary" not in listed.stdout
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in listed.stdout.splitlines()}
    assert rows["openai"].split() == ["OPENAI_API_KEY", "set", "${OPENAI_BASE_URL:-https://api.openai.com/v1}"]
    assert rows["groq"].split()[:3] == ["GROQ_API_KEY", "not", "set"]
    explained = job.run("providers", "anyscale").stdout
    assert "2024-08-01" in explained
    assert "guided_json" in explained


def test_ones_own_providers_are_listed_and_explained(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Providers of providers.toml stand beside the presets; a mistake in that file is told with its line."""
    job = JobFolder(tmp_path, endpoint.url)
    file = tmp_path / "config" / "promptmill" / "providers.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[provider.mine]\npreset = "vllm"\nbase_url = ["${A}", "http://b"]\napi_key_env = "MINE_KEY"\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "MINE_KEY": "sk-canary"}
    listed = job.run("providers", environ=environ).stdout
    assert listed.splitlines()[-1].split() == ["mine", "MINE_KEY", "set", "${A},", "http://b"]
    explained = job.run("providers", "mine", environ=environ)
    assert str(file) in explained.stdout
    assert "vllm" in explained.stdout
    assert "sk-canary" not in listed + explained.stdout
    assert "did you mean mine?" in job.run("providers", "mien", environ=environ).stderr
    file.write_text("[provider.mine]\nbase_ulr = 3\n")
    broken = job.run("providers", environ=environ)
    assert (broken.returncode, "providers.toml:2: provider.mine.base_ulr" in broken.stderr) == (2, True)


@pytest.fixture
def failed_run(tmp_path: Path) -> JobFolder:
    """A finished run of ten rows of which four failed."""
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        job = JobFolder(tmp_path, endpoint.url)
        assert job.run().returncode == 1
    return job


def test_status_shows_counts_and_failures(failed_run: JobFolder) -> None:
    """`status` has a line for each model, and each kind of failure with its count and an example."""
    result = failed_run.run("status", "runs/test")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "test in runs/test"
    heading, counts = lines[2:4]
    assert heading.split("  ")[0] == "model"
    assert counts.split()[:5] == ["house/test-model", "10", "6", "4", "0"]
    assert "  4 context_length (api)" in lines
    assert "    row 0, id r0: too long" in lines


def test_status_as_json(failed_run: JobFolder) -> None:
    """`status --json` has the same as one JSON object."""
    status = json.loads(failed_run.run("status", "runs/test", "--json").stdout)
    [variant] = status["variants"]
    assert status["directory"].endswith("runs/test")
    assert (variant["name"], variant["total"], variant["ok"], variant["failed"], variant["not_attempted"]) == (
        "house/test-model",
        10,
        6,
        4,
        0,
    )
    assert [(failures["code"], failures["count"]) for failures in variant["failures"]] == [("context_length", 4)]


def test_verify_of_a_sound_run(failed_run: JobFolder) -> None:
    """`verify` ends with 0 when input, journal and outputs agree."""
    result = failed_run.run("verify", "runs/test")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "sound and complete"


def test_verify_names_damage_and_salvage_mends_it(failed_run: JobFolder) -> None:
    """A flipped byte is named with its offset and refused by `run`; `--salvage` keeps the rest, `resume` sends the lost row (fault 40)."""
    [journal] = failed_run.directory.glob("journal/*/*.jsonl")
    text = journal.read_bytes()
    begin = text.index(b"\n") + 1
    journal.write_bytes(text[: begin + 200] + bytes([text[begin + 200] ^ 1]) + text[begin + 201 :])
    found = failed_run.run("verify", "runs/test")
    assert found.returncode == 2
    assert f"damaged at byte {begin}" in found.stdout
    assert found.stdout.splitlines()[-1] == "not sound; to keep every whole record: promptmill verify runs/test --salvage"
    assert failed_run.run().returncode == 2
    failed_run.run("verify", "runs/test", "--salvage")
    with ScriptedEndpoint(refuse_every_third) as endpoint:
        result = failed_run.run("resume", "runs/test", "--set", f"provider.house.base_url={endpoint.url}", "--changed", "keep")
        assert sum(endpoint.counts().values()) == 1, result.stderr
    assert failed_run.run("verify", "runs/test").stdout.splitlines()[-1] == "sound and complete"


def test_verify_tells_what_is_left(failed_run: JobFolder) -> None:
    """Rows without an outcome are no fault; the way on is shown. JSON says the same."""
    with (failed_run.path / "rows.jsonl").open("a") as rows:
        rows.write('{"id": "r10", "text": "question 10"}\n')
    result = failed_run.run("verify", "runs/test")
    assert result.returncode == 0, result.stdout
    assert result.stdout.splitlines()[-1] == "sound so far; 1 of 11 tasks have no outcome yet: promptmill resume runs/test"
    found = json.loads(failed_run.run("verify", "runs/test", "--json").stdout)
    assert (found["sound"], found["complete"], found["variants"][0]["missing"]) == (True, False, 1)


def test_export_prints_the_files_it_wrote(failed_run: JobFolder) -> None:
    """`export` writes both files in the format that was asked for, and stdout has their paths for other programs."""
    result = failed_run.run("export", "runs/test", "--format", "csv", "--output", "for-excel")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["for-excel/completions.csv", "for-excel/errors.csv"]
    assert len((failed_run.path / "for-excel/completions.csv").read_text().splitlines()) == 7
