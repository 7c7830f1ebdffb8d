"""Steps that other executors send: worker processes, a Batch API; killed in each and resumed, nothing is sent twice."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.batch_server import BatchServer
from tests.support.scripted import Action, Received, ScriptedEndpoint, Sleep
from tests.support.scripts import for_rows, wait_for
from tests.support.steps import StepsFolder, reply

DOCUMENTS = [{"doc": f"d{number}", "text": f"good{number} bad{number}"} for number in range(40)]
STEPS = ("extract", "judge", "last")


def check_done(folder: StepsFolder) -> None:
    """All three steps have their answers, and nothing else."""
    assert [len(folder.lines(name)) for name in STEPS] == [40, 80, 40]
    for name in STEPS:
        assert folder.call("verify", f"runs/{name}").returncode == 0


@pytest.mark.parametrize("killed_in", ["extract", "judge", "write"])
def test_steps_with_worker_processes(tmp_path: Path, killed_in: str) -> None:
    """Each step is shared by two processes; killed in any of them, the same command goes on."""

    def slowly(received: Received) -> Iterable[Action]:
        return [Sleep(0.05), *reply(received)]

    with ScriptedEndpoint(for_rows(slowly)) as endpoint:
        folder = StepsFolder(tmp_path, endpoint.url, DOCUMENTS, concurrency=4, processes=2, durability="row", preflight=False)
        process = folder.start("run", "last.toml", measured=False)
        wait_for(lambda: sum(each.startswith(killed_in) for each in list(endpoint.counts())) > 15, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        ended = folder.run("run", "last.toml")
        assert ended.returncode == 0, ended.stderr
        sent = endpoint.counts()
    check_done(folder)
    assert len(sent) == 40 + 80 + 40
    # What was in flight, and what the workers still sent until they saw that the coordinator is gone.
    assert sum(sent.values()) - len(sent) <= 40
    assert all(prompt.startswith(killed_in) for prompt, count in sent.items() if count > 1)


def answered(body: dict[str, Any]) -> Any:
    """Answer a chat of a batch as the live endpoint does."""
    received = Received(1, 1, 1, "POST", "/v1/chat/completions", {}, orjson.dumps(body))
    (whole,) = reply(received)
    assert isinstance(whole, bytes)
    return json.loads(whole.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_steps_by_a_batch_api(tmp_path: Path, killed_after: int) -> None:
    """`--engine batch-api` holds for every step; killed after the batch of any step was made, no row is submitted twice."""
    with BatchServer(answer=answered) as server:
        folder = StepsFolder(tmp_path, server.url, DOCUMENTS, preflight=False)
        for name in STEPS:
            path = tmp_path / f"{name}.toml"
            path.write_text(
                path.read_text().replace("[provider.house]\n", '[provider.house]\nbatch = "files"\n') + "\n[batch]\npoll_s = 0.02\n"
            )
        process = folder.start("run", "last.toml", "--engine", "batch-api", measured=False)
        wait_for(lambda: len(server.batches) >= killed_after, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        ended = folder.run("run", "last.toml", "--engine", "batch-api")
        assert ended.returncode == 0, ended.stderr
        sent = Counter(line["body"]["messages"][-1]["content"] for batch in server.batches.values() for line in batch.lines)
        assert server.live == []
    check_done(folder)
    assert set(sent.values()) == {1}
