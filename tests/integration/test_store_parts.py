"""Parts of the outputs on an object store while a run is sending."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from batch import app
from batch.storage import stores
from tests.support.scripted import Action, Received, ScriptedEndpoint, answer
from tests.support.scripts import for_rows, row_number, until, wait_for
from tests.support.stores import S3Server, StoreJob

ROWS = 600


@pytest.mark.parametrize("processes", [1, 2])
def test_a_part_is_on_the_store_before_the_rest_is_answered(s3: S3Server, tmp_path: Path, processes: int) -> None:
    """Promise 11: parts of the first rows are put whole while others wait for their answer; the end puts the rest, and these not again."""
    may_pass = threading.Event()

    def handle(received: Received) -> Iterable[Action]:
        if row_number(received) >= ROWS // 2:
            yield from until(may_pass.is_set)
        yield from answer(received)

    with ScriptedEndpoint(for_rows(handle)) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=ROWS, processes=processes)
        folder.job.write_text(folder.job.read_text() + "rows_per_part = 100\n")
        process = folder.start()
        early = [f"completions-0000{part}-of-00006.jsonl" for part in range(2)]
        wait_for(lambda: set(early) <= set(s3.names(folder.at)), process)
        before = [s3.system().get_file_info(f"{folder.at}/{name}").mtime_ns for name in early]
        for part, name in enumerate(early):
            lines = s3.get(f"{folder.at}/{name}").splitlines()
            assert [json.loads(line)["id"] for line in lines] == [f"r{row}" for row in range(100 * part, 100 * part + 100)]
        assert "completions-00005-of-00006.jsonl" not in s3.names(folder.at)
        may_pass.set()
        _, told = process.communicate()
    assert process.returncode == 0, told
    assert [s3.system().get_file_info(f"{folder.at}/{name}").mtime_ns for name in early] == before
    names = [name for name in s3.names(folder.at) if name.startswith("completions-")]
    lines = [json.loads(line) for name in names for line in s3.get(f"{folder.at}/{name}").splitlines()]
    assert [line["id"] for line in lines] == [f"r{row}" for row in range(ROWS)]
    checked = app.verify(folder.address)
    assert (checked.sound, checked.complete) == (True, True)


def test_what_is_on_the_store_as_it_is_is_not_put_again(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export of a run that has not changed puts nothing; a file that was changed in the copy is put."""
    with ScriptedEndpoint(answer) as endpoint:
        folder = StoreJob(tmp_path, endpoint.url, s3, rows=6)
        folder.job.write_text(folder.job.read_text() + "rows_per_part = 2\n")
        assert folder.here().exit_code == 0
        put: list[str] = []
        right = stores.upload
        monkeypatch.setattr(stores, "upload", lambda path, url: put.append(path.name) or right(path, url))
        assert folder.here().exit_code == 0
    assert [name for name in put if "-of-" in name] == []
