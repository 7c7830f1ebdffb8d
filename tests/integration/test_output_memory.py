"""Outputs of wide rows are derived in bounded memory (promise 8)."""

from __future__ import annotations

import base64
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# Beside the interpreter with pyarrow: a batch of the input, the records, a row group and its encoding.
BOUND_MIB = 450

DERIVE = """
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet

import batch.results.carried
from batch.process import tune_malloc
from batch.readers import Dataset
from batch.app.stored import stored_run
from batch.results.outputs import export
from batch.results.verify import verify
from batch.settings import InputSettings
from tests.support.stores import outcome
from tests.support.runs import FinishedRun

def peak():
    # Not ru_maxrss: it begins with the parent's.
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]) >> 10

tune_malloc()
source, format_, rows, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
run = FinishedRun(folder, [], {"v": [outcome(n) for n in range(rows)]}, columns=("wide",), output_format=format_)
job = replace(run.job, input=InputSettings(paths=(source,)))
before = peak()
export(stored_run(run.directory, job), format_)
assert verify(stored_run(run.directory, job)).sound
print(peak() - before)
"""


def wide_rows(rows: int, size: int, *, compressible: bool) -> Iterator[dict[str, str]]:
    """Rows with a text of `size` bytes, as images in base64 are."""
    chance = random.Random(5)
    block = base64.b64encode(chance.randbytes(3 << 18)).decode()
    for number in range(rows):
        text = block if compressible else base64.b64encode(chance.randbytes(size * 3 // 4)).decode()
        yield {"text": f"question {number}", "wide": f"{number:08}" + (text * (size // len(text) + 1))[: size - 8]}


def write_input(path: Path, rows: int, size: int, *, compressible: bool) -> Path:
    """The rows as JSON lines or Parquet, a row group for each row."""
    if path.suffix == ".jsonl":
        with path.open("wb") as file:
            file.writelines(orjson.dumps(row) + b"\n" for row in wide_rows(rows, size, compressible=compressible))
        return path
    schema = pa.schema([("text", pa.string()), ("wide", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for row in wide_rows(rows, size, compressible=compressible):
            writer.write_table(pa.Table.from_pylist([row], schema))
    return path


def peak_mib(source: Path, format_: str, rows: int, folder: Path) -> int:
    """How much memory deriving and verifying the outputs takes at most, in MiB, in a process of its own."""
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", DERIVE, str(source), format_, str(rows), str(folder)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


@pytest.mark.parametrize(("suffix", "format_"), [(".jsonl", "parquet"), pytest.param(".parquet", "parquet", marks=pytest.mark.long)])
def test_wide_rows_are_written_in_bounded_memory(tmp_path: Path, suffix: str, format_: str) -> None:
    """360 MB of rows of 3 MB take no more memory than the bound, in each format and on each way (promise 8, fault 71)."""
    source = write_input(tmp_path / f"in{suffix}", 120, 3_000_000, compressible=True)

    assert peak_mib(source, format_, 120, tmp_path / "out") < BOUND_MIB


@pytest.mark.long
@pytest.mark.parametrize("format_", ["jsonl", "parquet", "csv"])
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_300_rows_of_5_mb_are_written_in_bounded_memory(tmp_path: Path, suffix: str, format_: str) -> None:
    """1.5 GB of rows that do not compress take no more (promise 8, fault 71); prints the figure."""
    source = write_input(tmp_path / f"in{suffix}", 300, 5_000_000, compressible=False)

    peak = peak_mib(source, format_, 300, tmp_path / "out")

    print(f"\n300 rows of 5 MB, {suffix} to {format_}: {peak} MiB beside the interpreter")
    assert peak < BOUND_MIB
