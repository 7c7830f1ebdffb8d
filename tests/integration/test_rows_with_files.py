"""Rows that name or hold pictures: sent whole, resumed, verified, counted, and never kept."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from tests.support.hash_server import hash_server
from tests.support.jobs import JobFolder, ids, lines_of, run_here
from tests.support.pictures import PDF, files_of, hashing, picture, sha, sound
from tests.support.scripted import ScriptedEndpoint, Sleep, chat_reply
from tests.support.scripts import wait_for
from tests.support.stores import S3Server

# What is beside the requests in flight and those that wait for them: the interpreter, its libraries, a portion of read files, and pieces
# of memory that malloc keeps.
BESIDE_MIB = 260
READY_MIB = 64
PRICE = "price = {input = 1.0, output = 2.0}"


class PictureFolder(JobFolder):
    """A job whose rows have a picture each, as `photo` says; `pictures` are their bytes by number."""

    def __init__(self, path: Path, url: str, pictures: list[bytes], *, prompt: str = 'images = "photo"', **settings: Any) -> None:
        self.pictures = pictures
        self.prompt = prompt
        (path / "img").mkdir()
        for number, raw in enumerate(pictures):
            (path / "img" / f"{number}.png").write_bytes(raw)
        rows = settings.pop("rows", [self.row(number) for number in range(len(pictures))])
        super().__init__(path, url, rows=rows, **settings)

    @staticmethod
    def row(number: int, **columns: Any) -> dict[str, Any]:
        """A row with the picture of its number."""
        return {"id": f"r{number}", "text": f"question {number}", "photo": f"img/{number}.png", **columns}

    def write(self, **settings: Any) -> None:
        """Write the job file with the prompt's lines about files."""
        super().write(**{"preflight": False, **settings})
        self.job.write_text(self.job.read_text().replace("[prompt]\n", f"[prompt]\n{self.prompt}\n"))


def test_pictures_arrive_as_they_are_and_are_not_kept(tmp_path: Path) -> None:
    """Every picture's hash is right, errors name the file, and neither journal nor outputs hold a picture; verify finds it sound."""
    pictures = [picture(seed) for seed in range(12)]
    with ScriptedEndpoint(hashing) as endpoint:
        folder = PictureFolder(tmp_path, endpoint.url, pictures, concurrency=4, durability="os")
        with (tmp_path / "rows.jsonl").open("a") as rows:
            for number, photo in ((12, "img/none.png"), (13, "../secret.png")):
                rows.write(json.dumps(folder.row(number, photo=photo)) + "\n")
        ended = folder.call()
    assert ended.returncode == 1, ended.stderr
    assert [line["completion"] for line in folder.completions()] == [sha(raw) for raw in pictures]
    assert [(line["id"], line["error"]["code"]) for line in folder.errors()] == [("r12", "missing_file"), ("r13", "refused_path")]
    assert "rows.jsonl:13 (id r12): the column 'photo': img/none.png" in folder.errors()[0]["error"]["message"]
    kept = b"".join(path.read_bytes() for path in folder.directory.rglob("*") if path.is_file())
    assert b"iVBORw0KGgo" not in kept
    assert b"\x89PNG" not in kept
    assert folder.call("verify", "runs/test").returncode == 0
    # A file that came later is sent when failed rows are sent again.
    (tmp_path / "img" / "none.png").write_bytes(pictures[0])
    with ScriptedEndpoint(hashing) as endpoint:
        folder.url = endpoint.url
        folder.write(concurrency=4)
        again = folder.call("run", "test.toml", "--retry-failed")
        assert len(endpoint.requests) == 1, again.stderr
    assert folder.completions()[12]["completion"] == sha(pictures[0])


def test_plan_counts_files_and_says_what_it_cannot_price(tmp_path: Path) -> None:
    """`plan` counts pictures, sounds and files, leaves their bytes out of the tokens, and says that their cost is in no figure."""
    pictures = [picture(seed, size=(300, 300)) for seed in range(3)]
    folder = PictureFolder(tmp_path, "http://127.0.0.1:9", pictures, prompt='files = "photo"', parameters=PRICE)
    (tmp_path / "img" / "1.png").write_bytes(PDF)
    (tmp_path / "img" / "2.png").write_bytes(sound())
    shown = folder.call("plan", "test.toml")
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    assert "3 requests have images, sound or files (1 picture, 1 sound, 1 file; their cost is not in the figures)" in text
    found = json.loads(folder.call("plan", "test.toml", "--json").stdout)
    (variant,) = found["variants"]
    assert (variant["pictures"], variant["sounds"], variant["files"]) == (1, 1, 1)
    assert variant["prompt_tokens"]["high"] < 1000


def test_a_changed_picture_is_explained_once_the_input_is_compared(tmp_path: Path) -> None:
    """The key covers the content: with another picture behind the same path the row counts as changed, and is sent again if asked."""
    pictures = [picture(seed) for seed in range(3)]
    with ScriptedEndpoint(hashing) as endpoint:
        folder = PictureFolder(tmp_path, endpoint.url, pictures)
        assert folder.call().returncode == 0
        (tmp_path / "img" / "1.png").write_bytes(picture(9))
        os.utime(tmp_path / "rows.jsonl", (1, 1))
        refused = folder.call()
        assert refused.returncode == 2
        assert "1 finished rows of house/test-model differ: " in refused.stderr
        assert "differ: the input changed" in refused.stderr
        assert folder.call("run", "test.toml", "--changed", "rerun").returncode == 0
        assert len(endpoint.requests) == 4
    assert folder.completions()[1]["completion"] == sha(picture(9))


def test_export_and_try_hold_the_picture(tmp_path: Path) -> None:
    """Batch files hold each picture, and `try` sends it."""
    pictures = [picture(seed) for seed in range(2)]
    with ScriptedEndpoint(hashing) as endpoint:
        folder = PictureFolder(tmp_path, endpoint.url, pictures)
        tried = folder.call("try", "test.toml", "--row", "1")
        assert sha(pictures[1]) in tried.stdout
    written = folder.call("export", "test.toml", "--format", "openai-batch-input", "--output", ".")
    assert written.returncode == 0, written.stderr
    assert [files_of(line["body"]) for line in lines_of(tmp_path / "batch-input.jsonl")] == [[sha(raw)] for raw in pictures]


def test_worker_processes_send_pictures(tmp_path: Path) -> None:
    """Worker processes read the files of their own rows; equal pictures at temperature 0 are sent once in one process."""
    pictures = [picture(seed) for seed in range(8)]
    with ScriptedEndpoint(hashing) as endpoint:
        folder = PictureFolder(tmp_path, endpoint.url, pictures, processes=2, concurrency=4)
        ended = folder.run()
    assert ended.returncode == 0, ended.stderr
    assert [line["completion"] for line in folder.completions()] == [sha(raw) for raw in pictures]


def test_equal_pictures_share_an_answer(tmp_path: Path) -> None:
    """Equal pictures under equal prompts are one request, by whatever name; its answer is given to all rows."""
    rows = [{"id": f"r{number}", "text": "same", "photo": f"img/{number}.png"} for number in range(6)]
    with ScriptedEndpoint(hashing) as endpoint:
        folder = PictureFolder(tmp_path, endpoint.url, [picture(number % 2) for number in range(6)], rows=rows)
        assert folder.call().returncode == 0
        assert len(endpoint.requests) == 2
    assert [line["completion"] for line in folder.completions()] == [sha(picture(number % 2)) for number in range(6)]


def test_columns_of_hugging_face(tmp_path: Path) -> None:
    """Image and Audio features as `datasets` writes them to Parquet, {bytes, path}, are sent as pictures and sounds."""
    datasets = pytest.importorskip("datasets")
    pictures, sounds = [picture(seed) for seed in range(3)], [sound(seed) for seed in range(3)]
    columns = {
        "id": [f"r{number}" for number in range(3)],
        "text": ["look and listen"] * 3,
        "photo": [{"bytes": raw, "path": "x.png"} for raw in pictures],
        "voice": [{"bytes": raw, "path": None} for raw in sounds],
        "album": [[{"bytes": pictures[0], "path": None}], [], [{"bytes": raw, "path": None} for raw in pictures[1:]]],
    }
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "text": datasets.Value("string"),
            "photo": datasets.Image(),
            "voice": datasets.Audio(),
            "album": datasets.List(datasets.Image()),
        }
    )
    table = pa.table({name: pa.array(values, type=features.arrow_schema.field(name).type) for name, values in columns.items()})
    datasets.Dataset(table, info=datasets.DatasetInfo(features=features)).to_parquet(tmp_path / "rows.parquet")
    with ScriptedEndpoint(hashing) as endpoint:
        folder = PictureFolder(tmp_path, endpoint.url, [], prompt='images = ["photo", "album"]\naudio = "voice"')
        folder.job.write_text(folder.job.read_text().replace("rows.jsonl", "rows.parquet"))
        ended = folder.call()
        sent = {tuple(files_of(received.json())) for received in endpoint.requests}
    assert ended.returncode == 0, ended.stderr
    albums = [[pictures[0]], [], pictures[1:]]
    assert sent == {tuple(map(sha, [raw, *album, voice])) for raw, album, voice in zip(pictures, albums, sounds, strict=True)}


def test_pictures_beside_the_input_on_a_store(tmp_path: Path, s3: S3Server) -> None:
    """Paths are relative to an input file on a store too, and stay in its folder there; files_dir names another folder."""
    bucket = s3.bucket()
    pictures = [picture(seed) for seed in range(3)]
    for number, raw in enumerate(pictures):
        s3.put(f"{bucket}/data/img/{number}.png", raw)
    s3.put(f"{bucket}/secret.png", pictures[0])
    rows = [PictureFolder.row(number) for number in range(3)] + [PictureFolder.row(3, photo="../secret.png")]
    s3.put(f"{bucket}/data/rows.jsonl", b"".join(orjson.dumps(row) + b"\n" for row in rows))
    with ScriptedEndpoint(hashing) as endpoint:
        folder = PictureFolder(tmp_path, endpoint.url, [])
        folder.job.write_text(folder.job.read_text().replace("rows.jsonl", f"s3://{bucket}/data/rows.jsonl"))
        assert folder.call(environ=s3.environ).returncode == 1
        assert [line["completion"] for line in folder.completions()] == [sha(raw) for raw in pictures]
        assert folder.errors()[0]["error"]["code"] == "refused_path"
        # Rows here, pictures there.
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:3]))
        folder.prompt += f'\nfiles_dir = "s3://{bucket}/data"'
        folder.write()
        assert folder.call("run", "test.toml", "--set", "output.dir=runs/other", environ=s3.environ).returncode == 0
    assert [line["completion"] for line in lines_of(tmp_path / "runs/other/completions.jsonl")] == [sha(raw) for raw in pictures]


def test_an_unreadable_answer_about_a_picture_is_asked_for_again(tmp_path: Path) -> None:
    """A repair after an answer that does not fit the schema sends the picture again, as it was."""
    answers = iter(["no JSON", '{"a": 1}'])
    with ScriptedEndpoint(lambda received: [chat_reply(next(answers))]) as endpoint:
        schema = 'schema = {type = "object", required = ["a"]}'
        folder = PictureFolder(tmp_path, endpoint.url, [picture(1)], prompt=f'images = "photo"\n{schema}')
        assert folder.call().returncode == 0
        assert [files_of(received.json()) for received in endpoint.requests] == [[sha(picture(1))]] * 2


def test_what_a_job_says_wrongly_about_files_is_told_with_its_line(tmp_path: Path) -> None:
    """Columns that are missing, an API without parts, a column named twice: each is a mistake of the job file, before anything is sent."""
    folder = PictureFolder(tmp_path, "http://127.0.0.1:9", [picture(0)], prompt='images = "foto"')
    assert "the input has no column 'foto'" in folder.call().stderr
    folder.prompt = 'images = ["photo", "photo"]\ndetail = "tiny"'
    folder.write()
    told = folder.call().stderr
    assert "prompt.detail" in told
    folder.prompt = 'images = ["photo", "photo"]'
    folder.write()
    assert "names a column twice" in folder.call().stderr
    folder.prompt = 'images = "photo"\napi = "completions"\ntext = "x"'
    folder.write()
    assert "cannot be used with api = 'completions'" in folder.call().stderr


def peak_mib(pid: int) -> int:
    """The most memory that a process has had, in MiB; 0 of one that has ended and was not waited for."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0").split()[1]) >> 10


def _killed_twice(tmp_path: Path, rows: int, different: int, size: int, concurrency: int) -> list[int]:
    """Send pictures of about `size`² × 3 bytes, killed twice and resumed; returns the peaks in MiB of the three processes."""
    raws = [picture(seed, size=(size, size)) for seed in range(different)]
    hashes = [sha(raw) for raw in raws]
    peaks = []
    with hash_server() as server:
        listed = [PictureFolder.row(number, photo=f"img/{number % different}.png") for number in range(rows)]
        folder = PictureFolder(tmp_path, server.url, raws, rows=listed, concurrency=concurrency)
        del raws
        for part in (1, 2, 3):
            process = folder.start(measured=False)
            if part < 3:
                # In steps: a machine that is busy elsewhere takes long for all of them.
                for step in range(1, 21):
                    wait_for(lambda share=(part - 1 + step / 20) / 3: server.total() > share * rows, process)
                peaks.append(peak_mib(process.pid))
                process.send_signal(signal.SIGKILL)
            else:
                peak = 0
                for step in range(1, 21):
                    wait_for(lambda share=(2 + step / 20) / 3: server.total() > share * (rows - rows // 50), process)
                    # The last of few rows may be sent, and the run ended, before it is looked at.
                    peak = peak_mib(process.pid) or peak
                assert peak
                peaks.append(peak)
            process.communicate()
        assert process.returncode == 0
        counts = server.counts()
    assert ids(folder.completions()) == [row["id"] for row in listed]
    wrong = [line["id"] for number, line in enumerate(folder.completions()) if line["completion"] != hashes[number % different]]
    assert wrong == []
    assert len(counts) == rows
    assert sum(counts.values()) - rows <= 2 * concurrency
    return peaks


def test_large_requests_are_few_at_a_time(tmp_path: Path) -> None:
    """Promise 8: requests in flight keep within run.max_bytes_in_flight; it is said, and all are answered."""
    raws = [picture(seed, size=(200, 200)) for seed in range(4)]
    most = 5 * 165_000
    with ScriptedEndpoint(lambda received: [Sleep(0.05), *hashing(received)]) as endpoint:
        rows = [PictureFolder.row(number, photo=f"img/{number % 4}.png") for number in range(40)]
        folder = PictureFolder(tmp_path, endpoint.url, raws, rows=rows, concurrency=30, dedupe=False, max_bytes_in_flight=most)
        session = run_here(folder)
        assert endpoint.max_concurrent <= 5
    assert (session.exit_code, session.tally.ok) == (0, 40)
    assert [text for text in session.notices if "run.max_bytes_in_flight" in text] != []
    # A request that is larger than the limit goes alone.
    with ScriptedEndpoint(hashing) as endpoint:
        folder.url = endpoint.url
        folder.write(concurrency=30, dedupe=False, max_bytes_in_flight=2000)
        assert folder.call("run", "test.toml", "--fresh").returncode == 0
        assert endpoint.max_concurrent == 1


def test_pictures_killed_twice_in_bounded_memory(tmp_path: Path) -> None:
    """Promises 1, 4, 8: large pictures over many connections, killed twice: every hash right, and memory as it is stated."""
    peaks = _killed_twice(tmp_path, rows=240, different=6, size=300, concurrency=40)
    assert max(peaks) < BESIDE_MIB + READY_MIB + 40 * 300 * 300 * 4 // (1 << 20), peaks


@pytest.mark.long
def test_20_000_pictures_of_1_mb_at_100_connections(tmp_path: Path) -> None:
    """Promises 1, 4, 8: 20,000 rows of 1 MB pictures at 100 connections, killed twice: every hash right, memory flat and as stated."""
    peaks = _killed_twice(tmp_path, rows=20_000, different=100, size=592, concurrency=100)
    print(f"\n20,000 pictures of 1.05 MB at 100 connections: peaks {peaks} MiB")
    assert max(peaks) < BESIDE_MIB + READY_MIB + 100 * 592 * 592 * 4 // (1 << 20), peaks
