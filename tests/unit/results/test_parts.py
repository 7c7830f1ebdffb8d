"""Outputs in parts: together they are what one file would be, and a row that is run again rewrites its part alone."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import InputChangedError
from batch.results import part_processes
from batch.results.outputs import export, write_outputs
from batch.results.part_writer import PartWriter
from batch.results.parts import PartPlan, plan_parts
from batch.results.verify import verify
from batch.rundir.manifest import InputRecord
from batch.settings import OutputFormat
from tests.support.runs import FinishedRun, variant
from tests.support.stores import outcome, write_journal

ROWS = 11


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own are for many rows."""
    monkeypatch.setattr(part_processes, "usable_cores", lambda: 1)


def parted(path: Path, done: list[tuple[int, bool]], *, per_part: int | None = 3, holds: bool = True, **options: Any) -> FinishedRun:
    """A run whose rows have ids, with an outcome for each of `done`, in this order."""
    rows = options.pop("rows", [{"id": f"r{n}", "label": n} for n in range(ROWS)])
    outcomes = [outcome(row, error=None if ok else "no", id_=f"r{row}") for row, ok in done]
    run = FinishedRun(path, rows, {"v": outcomes}, id_column="id", **options)
    divide(run, per_part)
    return recorded(run) if holds else run


def divide(run: FinishedRun, per_part: int | None) -> None:
    run.job = replace(run.job, output=replace(run.job.output, rows_per_part=per_part))


def recorded(run: FinishedRun) -> FinishedRun:
    """Let run.json say that all records were made of the input as it is now."""
    manifest = run.directory.manifest
    found = InputRecord(run.dataset.identity(), run.dataset.selection)
    run.directory.write_manifest(replace(manifest, input=found, ordinals_hold=True))
    return run


def files(run: FinishedRun, form: str = "jsonl") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(run.directory.path.glob(f"*-of-*.{form}"))}


def joined(run: FinishedRun, kind: str) -> list[dict[str, Any]]:
    lines = b"".join(content for name, content in files(run).items() if name.startswith(kind))
    return [json.loads(line) for line in lines.splitlines()]


@settings(deadline=None, max_examples=40)
@given(
    done=st.lists(st.tuples(st.integers(0, ROWS - 1), st.booleans()), max_size=25),
    per_part=st.integers(1, ROWS + 2),
    holds=st.booleans(),
    columns=st.sampled_from([[], ["label"]]),
    segment_bytes=st.sampled_from([1, 700, 100_000]),
)
def test_parts_are_the_one_file(
    tmp_path_factory: pytest.TempPathFactory, done: list, per_part: int, holds: bool, columns: list[str], segment_bytes: int
) -> None:
    """Each line stands in the part of its row, once, in input order; by ordinal and by an index of all rows alike (promise 11)."""
    made: dict[str, Any] = {"columns": columns, "segment_bytes": segment_bytes}
    one = parted(tmp_path_factory.mktemp("one"), done, per_part=None, holds=holds, **made)
    write_outputs(one.stored)
    run = parted(tmp_path_factory.mktemp("parts"), done, per_part=per_part, holds=holds, **made)
    paths = write_outputs(run.stored)
    assert [Path(path).name for path in paths] == list(files(run))
    assert len(paths) == 2 * -(-ROWS // per_part)
    for kind in ("completions", "errors"):
        assert joined(run, kind) == one.lines(kind)
        for name, content in files(run).items():
            if name.startswith(kind):
                number = int(name.split("-")[1])
                assert {json.loads(line)["row"] // per_part for line in content.splitlines()} <= {number}
    assert verify(run.stored).sound


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_row_that_is_run_again_rewrites_its_part_alone(tmp_path: Path, form: OutputFormat) -> None:
    """Parts whose records are as they were keep their files; the changed one is what the journal says now."""
    run = parted(tmp_path, [(row, row != 4) for row in range(ROWS)], columns=["label"], output_format=form)
    write_outputs(run.stored)
    before = {path.name: path.stat().st_ino for path in run.directory.path.glob("*-of-*")}
    folder = run.directory.journal_dir("v")
    number = len(list(folder.glob("*.jsonl"))) + 1
    write_journal(tmp_path / "more", outcome(4, id_="r4"))
    (folder / f"{number:06d}.jsonl").write_bytes((tmp_path / "more" / "000001.jsonl").read_bytes())
    write_outputs(run.stored)
    after = {path.name: path.stat().st_ino for path in run.directory.path.glob("*-of-*")}
    assert {name for name in after if after[name] != before[name]} == {
        f"{kind}-00001-of-00004.{form}" for kind in ("completions", "errors")
    }
    found = verify(run.stored)
    assert (found.sound, found.complete, found.variants[0].ok) == (True, True, ROWS)


def test_a_part_that_was_touched_is_written_again(tmp_path: Path) -> None:
    """A part that is cut, removed or edited is not believed, and neither is one without its state."""
    run = parted(tmp_path, [(row, True) for row in range(ROWS)])
    write_outputs(run.stored)
    right = files(run)
    first = run.directory.path / "completions-00000-of-00004.jsonl"
    first.write_bytes(first.read_bytes()[:-9])
    (run.directory.path / "completions-00001-of-00004.jsonl").unlink()
    (run.directory.path / ".parts" / "completions-00002-of-00004.jsonl.json").write_bytes(b"{}")
    assert not verify(run.stored).sound
    write_outputs(run.stored)
    assert files(run) == right
    assert verify(run.stored).sound


def test_other_numbers_of_parts_leave_nothing_stale(tmp_path: Path) -> None:
    """One file, parts, other parts, one file: what is there is always one set, and never an old part beside new ones."""
    run = parted(tmp_path, [(row, True) for row in range(ROWS)])
    for per_part, names in ((4, 3), (2, 6), (None, 0), (5, 3)):
        divide(run, per_part)
        write_outputs(run.stored)
        assert len(files(run)) == 2 * names
        assert (run.directory.path / "completions.jsonl").exists() == (not names)
        assert len(list((run.directory.path / ".parts").glob("*"))) == names
        assert verify(run.stored).sound


def test_a_changed_input_writes_no_part(tmp_path: Path) -> None:
    """No answer stands beside another row's columns: where the input is another one now, nothing is put in place."""
    run = parted(tmp_path, [(row, True) for row in range(ROWS)], columns=["label"])
    run.rewrite([{"id": f"r{n}", "label": -n} for n in reversed(range(ROWS - 1))])
    with pytest.raises(InputChangedError):
        write_outputs(run.stored)
    assert not files(run)


def test_a_part_is_put_in_place_after_its_records_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 2: the files of the journal that a part is made of are synced before it is read from them, and it is renamed after that."""
    run = parted(tmp_path, [(row, True) for row in range(ROWS)], segment_bytes=100_000)
    calls: list[str] = []
    sync, rename = os.fdatasync, Path.replace
    monkeypatch.setattr(os, "fdatasync", lambda fd: (calls.append(Path(f"/proc/self/fd/{fd}").readlink().name), sync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda path, target: (calls.append(Path(target).name), rename(path, target))[1])
    write_outputs(run.stored)
    parts = [place for place, name in enumerate(calls) if name.startswith("completions-") and name.endswith(".jsonl")]
    assert len(parts) == 4
    for before, place in zip([-1, *parts], parts, strict=False):
        assert "000001.jsonl" in calls[before + 1 : place]


def test_types_agree_over_all_parts(tmp_path: Path) -> None:
    """A column of JSONL has one type in all parts: that of the values, wherever they stand; JSON text where they differ."""
    rows = [
        {"id": f"r{n}", "number": n if n > 4 else None, "odd": n if n < 3 else f"t{n}", "text": "x", "late": 1.5 if n == 10 else None}
        for n in range(ROWS)
    ]
    run = parted(
        tmp_path,
        [(row, row != 7) for row in range(ROWS)],
        rows=rows,
        columns=["number", "odd", "text", "late"],
        output_format="parquet",
    )
    write_outputs(run.stored)
    paths = sorted(run.directory.path.glob("*-of-*.parquet"))
    found = {
        tuple((field.name, str(field.type)) for field in pq.read_schema(path) if field.name in rows[0] and field.name != "id")
        for path in paths
    }
    assert found == {(("number", "int64"), ("odd", "string"), ("text", "string"), ("late", "double"))}
    values = pq.read_table([str(path) for path in paths if path.name.startswith("completions")]).to_pylist()
    assert [(line["number"], json.loads(line["odd"])) for line in values] == [
        (row["number"], row["odd"]) for row in rows if row["id"] != "r7"
    ]
    assert verify(run.stored).sound


def test_export_divides_other_formats_alike(tmp_path: Path) -> None:
    """Another format, or another folder, has the same parts."""
    run = parted(tmp_path, [(row, True) for row in range(ROWS)])
    assert [Path(path).name for path in export(run.stored, "csv", tmp_path / "out")][:2] == [
        "completions-00000-of-00004.csv",
        "completions-00001-of-00004.csv",
    ]


def test_parts_in_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes write the same parts; what one refuses is raised here, and names the file."""
    monkeypatch.setattr(part_processes, "usable_cores", lambda: 2)
    monkeypatch.setattr(part_processes, "_WORTH_TASKS", 1)
    run = parted(tmp_path, [(row, row % 4 > 0) for row in range(ROWS)], columns=["label"])
    write_outputs(run.stored)
    assert [line["label"] for line in joined(run, "completions")] == [row for row in range(ROWS) if row % 4]
    (run.directory.path / ".parts" / "completions-00000-of-00004.jsonl.json").unlink()
    (run.directory.path / ".parts" / "completions-00001-of-00004.jsonl.json").unlink()
    segment = min(run.directory.path.glob("journal/v/*.jsonl"))
    status = segment.stat()
    writer = PartWriter(run.stored, PartPlan(ROWS, 3, 4), "jsonl", run.directory.path)
    assert not writer.is_current(0)
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b'"row":0', b'"row":9', 1))
    os.utime(segment, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(Exception, match="checksum"):
        write_outputs(run.stored)


@pytest.mark.parametrize(
    ("rows", "tasks_per_row", "count", "per_part"),
    [
        (100_000, 1, None, None),
        (100_001, 1, 21, 5_000),
        (200_000, 1, 40, 5_000),
        (10**6, 1, 50, 20_000),
        (10**8, 1, 100, 10**6),
        (60_000, 2, 24, 2500),
    ],
)
def test_auto_chooses_few_parts(tmp_path: Path, rows: int, tasks_per_row: int, count: int | None, per_part: int | None) -> None:
    """One file up to 100,000 answers; beyond that at least ten parts and at most a million answers in each, by round numbers."""
    job = FinishedRun(tmp_path, [], {name: [] for name in "ab"[:tasks_per_row]}, variants=[variant(n) for n in "ab"[:tasks_per_row]]).job
    plan = plan_parts(job, rows, "jsonl")
    assert (plan and plan.count, plan and plan.rows) == (count, per_part)
