"""A judge of answers about pictures sees the pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.jobs import JobFolder
from tests.support.pictures import files_of, picture, sha
from tests.support.scripted import Action, Received, ScriptedEndpoint, chat_reply

JUDGE = '\n[[score]]\nname = "seen"\nkind = "{kind}"\njudge = "house/judge"\nrubric = "true to the picture"\nimages = "photo"\n'


def answers(received: Received) -> Iterable[Action]:
    """A model, and a judge."""
    if not received.body:
        return [chat_reply("")]
    body = received.json()
    if body["model"] == "judge":
        return [chat_reply('{"reasons": "fine", "rating": 5, "verdict": "A"}')]
    return [chat_reply(f"{body['model']} saw {files_of(body)[0][:8]}")]


def judged(endpoint: ScriptedEndpoint) -> list[list[str]]:
    """The pictures of each of the judge's calls, in the order in which they were made."""
    bodies = [received.json() for received in endpoint.requests if received.body]
    return [files_of(body) for body in bodies if body["model"] == "judge"]


def job(path: Path, url: str, photos: list[object], kind: str = "judge", prompt: str = "") -> JobFolder:
    """A job about pictures with a judge that sees them."""
    rows = [{"id": f"r{number}", "text": f"question {number}", "photo": photo} for number, photo in enumerate(photos)]
    folder = JobFolder(path, url, rows=rows, preflight=False, concurrency=2)
    more = '\n[[model]]\nid = "house/second"\ntemperature = 0\n\n[run]\n' if kind == "pairwise" else "\n[run]\n"
    text = folder.job.read_text().replace("[prompt]\n", f'[prompt]\nimages = "photo"\n{prompt}').replace("\n[run]\n", more)
    folder.job.write_text(text + JUDGE.format(kind=kind))
    return folder


@pytest.mark.parametrize("kind", ["judge", "pairwise"])
def test_a_judge_sees_the_pictures(tmp_path: Path, kind: str) -> None:
    """Each call has its row's picture, whatever names it; equal ones are kept once, and nothing of them is in calls or journals."""
    raws = [picture(seed) for seed in range(3)]
    for number, raw in enumerate(raws):
        (tmp_path / f"{number}.png").write_bytes(raw)
    url = "data:image/png;base64," + base64.b64encode(raws[1]).decode()
    with ScriptedEndpoint(answers) as endpoint:
        folder = job(tmp_path, endpoint.url, ["0.png", "1.png", url, ["2.png", "0.png"], "https://example.com/a.png"], kind)
        assert folder.call().returncode == 0
        ended = folder.call("score", "runs/test")
        assert ended.returncode == 0, ended.stderr
        seen = judged(endpoint)
        again = folder.call("score", "runs/test")
        assert (again.stdout, len(judged(endpoint))) == (ended.stdout, len(seen))
    first, second, third = map(sha, raws)
    wanted = [[first], [second], [second], [third, first], ["https://example.com/a.png"]]
    assert sorted(seen) == sorted(wanted * (2 if kind == "pairwise" else 1))
    own = folder.directory / "scores" / "judge" / "seen"
    assert len(list((own / "files").iterdir())) == 3
    kept = b"".join(path.read_bytes() for path in [own / "calls.jsonl", *own.glob("journal/*/*")])
    assert base64.b64encode(raws[0])[:60] not in kept


def test_pictures_of_bytes_and_the_size_that_the_model_saw(tmp_path: Path) -> None:
    """Hugging Face's {bytes, path} is shown too, shrunk as the prompt says; a row without its picture has no score, and says why."""
    raw = picture(1, size=(64, 64))
    with ScriptedEndpoint(answers) as endpoint:
        folder = job(tmp_path, endpoint.url, ["x"], prompt="max_pixels = 256\n")
        table = pa.table({"id": ["r0", "r1"], "text": ["a", "b"], "photo": [{"bytes": raw, "path": "a.png"}] * 2})
        pq.write_table(table, tmp_path / "rows.parquet")
        folder.job.write_text(folder.job.read_text().replace("rows.jsonl", "rows.parquet"))
        assert folder.call().returncode == 0
        assert folder.call("score", "runs/test").returncode == 0
        models = [files_of(each.json()) for each in endpoint.requests if each.body and each.json()["model"] == "test-model"]
        assert judged(endpoint) == models
        assert models[0] != [sha(raw)]


def test_kept_pictures_can_be_made_again(tmp_path: Path) -> None:
    """Kept pictures that were deleted are derived again, and nothing is sent for it; `plan` counts them."""
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    with ScriptedEndpoint(answers) as endpoint:
        folder = job(tmp_path, endpoint.url, ["0.png", "1.png"])
        planned = json.loads(folder.call("plan", "test.toml", "--json").stdout)
        assert [each["calls"]["pictures"] for each in planned["asked"]] == [2]
        assert folder.call().returncode == 0
        assert folder.call("score", "runs/test").returncode == 0
        kept = folder.directory / "scores" / "judge" / "seen" / "files"
        for path in kept.iterdir():
            path.unlink()
        kept.rmdir()
        assert folder.call("score", "runs/test").returncode == 0
        assert (len(judged(endpoint)), len(list(kept.iterdir()))) == (2, 2)


def test_a_missing_picture_leaves_its_row_unscored(tmp_path: Path) -> None:
    """The picture went away after the run: the row is not judged without it, and the message names row, column and file."""
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    with ScriptedEndpoint(answers) as endpoint:
        folder = job(tmp_path, endpoint.url, ["0.png", "1.png"])
        assert folder.call().returncode == 0
        (tmp_path / "1.png").unlink()
        ended = folder.call("score", "runs/test", "--json")
        assert ended.returncode == 0, ended.stderr
        assert judged(endpoint) == [[sha(picture(0))]]
    assert "1.png" in ended.stdout + ended.stderr
