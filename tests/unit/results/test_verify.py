"""Verify: input, journals and outputs held against each other; and the way on from damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.results.outputs import export, write_outputs
from batch.results.verification import VariantCheck, Verification
from batch.results.verify import salvage, verify
from batch.settings import OutputFormat
from tests.support.runs import FinishedRun
from tests.support.stores import outcome


def rows(count: int) -> list[dict[str, object]]:
    return [{"key": f"k{number}", "text": "x"} for number in range(count)]


def check(run: FinishedRun) -> Verification:
    return verify(run.stored)


def test_accounting(tmp_path: Path) -> None:
    """Rows in = ok + failed + missing; replaced records and rows that left the input are counted apart (promise 1)."""
    outcomes = [outcome(n, id_=f"k{n}") for n in range(4)]
    run = FinishedRun(
        tmp_path, rows(6), {"v": [outcome(0, error="quota", id_="k0"), *outcomes, outcome(4, error="quota", id_="k4")]}, id_column="key"
    )
    run.rewrite(rows(6)[1:])

    found = check(run)

    assert found.variants == (VariantCheck("v", tasks=5, ok=3, failed=1, missing=1, doubled=0, superseded=1, orphaned=1),)
    assert found.sound
    assert not found.complete


def test_all_there(tmp_path: Path) -> None:
    """A finished run with its outputs in every format is sound and complete."""
    run = FinishedRun(
        tmp_path, rows(5), {"a": [outcome(n) for n in range(5)], "b": [outcome(n, error="quota") for n in range(5)]}, columns=["key"]
    )
    for form in ("jsonl", "csv", "parquet"):
        export(run.stored, form)
    before = sorted(path.name for path in run.directory.path.iterdir())

    found = check(run)

    assert (found.sound, found.complete, found.outputs, found.damage) == (True, True, (), ())
    assert [(v.name, v.ok, v.failed, v.missing) for v in found.variants] == [("a", 5, 0, 0), ("b", 0, 5, 0)]
    assert sorted(path.name for path in run.directory.path.iterdir()) == before


def test_doubled_rows(tmp_path: Path) -> None:
    """An id that stands twice makes two rows share one task: said, and not sound (fault 49)."""
    run = FinishedRun(tmp_path, rows(3), {"v": [outcome(n, id_=f"k{n}") for n in range(3)]}, id_column="key")
    run.rewrite([*rows(3), rows(3)[0]])

    found = check(run)

    assert found.variants[0].doubled == 1
    assert not found.sound


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_outputs_that_disagree(tmp_path: Path, form: OutputFormat) -> None:
    """A file that is not what the journal says, is missing beside the other, or cannot be read, is named (promise 11)."""
    run = FinishedRun(tmp_path, rows(3), {"v": [outcome(n) for n in range(2)]}, output_format=form)
    completions, errors = write_outputs(run.stored)
    assert check(run).outputs == ()
    run = FinishedRun(tmp_path, rows(3), {"v": [outcome(2)]}, output_format=form)
    assert "completions" in check(run).outputs[0]

    write_outputs(run.stored)
    errors.unlink()
    completions.write_bytes(b"PAR1")
    first, second = check(run).outputs
    assert str(completions) in first
    assert f"{errors}: is missing" in second
    assert not check(run).sound


def test_no_outputs_yet(tmp_path: Path) -> None:
    """Outputs can be derived at any time, so their absence is no fault."""
    run = FinishedRun(tmp_path, rows(1), {"v": []})

    found = check(run)

    assert found.sound
    assert found.variants[0].missing == 1


def test_damage_and_salvage(tmp_path: Path) -> None:
    """Every damaged place is named with file and offset; salvage keeps the rest and says what was lost; then all is sound (fault 40)."""
    run = FinishedRun(tmp_path, rows(6), {"v": [outcome(n) for n in range(6)]})
    paths = sorted(run.directory.journal_dir("v").iterdir())
    for path in paths:
        data = bytearray(path.read_bytes())
        data[60] ^= 1
        path.write_bytes(data)

    found = check(run)
    assert found.damage == tuple(f"{path}: damaged at byte 0: the checksum does not match" for path in paths)
    assert found.variants[0].missing == len(paths)
    assert not found.sound

    with run.directory.lock():
        said = salvage(run.directory)
    assert [sentence.split(":")[0] for sentence in said] == [str(path) for path in paths]
    found = check(run)
    assert found.sound
    assert found.variants[0].missing == len(paths)


def test_a_missing_segment(tmp_path: Path) -> None:
    """A lost file of the journal is damage that salvage can go on from (fault 40)."""
    run = FinishedRun(tmp_path, rows(6), {"v": [outcome(n) for n in range(6)]})
    first = run.directory.journal_dir("v") / "000001.jsonl"
    first.unlink()

    (damage,) = check(run).damage
    assert str(first) in damage
    salvage(run.directory)
    assert check(run).sound
