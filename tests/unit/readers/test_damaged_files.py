"""Files with damaged bytes, and files that are cut while they are read: rows or InputError, never the end of the process."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import InputError
from batch.readers import arrow, formats, parquet
from batch.records import Row
from tests.support.files import dataset, rows_of, write

ROOT = Path(__file__).parents[3]


def _read_damaged(seed: int, count: int) -> None:
    print(f"seed {seed}")
    done = subprocess.run([sys.executable, "-m", "tests.support.files", str(seed), str(count)], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, (done.returncode, done.stdout.decode()[-3000:], done.stderr.decode()[-1500:])


def test_damaged_bytes_are_rows_or_refused() -> None:
    """Each format, with a few hundred files of changed bytes; also where Arrow's own code would follow them (fault 72)."""
    _read_damaged(1, 400)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_damaged_bytes_are_rows_or_refused_long() -> None:
    """As the short one, with thousands of files from a new seed."""
    _read_damaged(random.SystemRandom().randrange(10**6), 30_000)


def _arrow_file(path: Path, batches: int = 1, rows: int = 400) -> Path:
    table = pa.table({"text": [f"text {number:6}" for number in range(rows)]})
    with pa.ipc.new_file(path, table.schema) as writer:
        for _ in range(batches):
            writer.write_table(table)
    return path


@pytest.mark.parametrize("offset", [2**31 - 1, -1])
def test_a_damaged_offset_in_an_arrow_file_is_refused(tmp_path: Path, offset: int) -> None:
    """Arrow would follow it out of the buffer, and the process would end by a signal."""
    path = _arrow_file(tmp_path / "a.arrow")
    data, right = path.read_bytes(), (11 * 7).to_bytes(4, "little")
    place = data.index((11 * 6).to_bytes(4, "little") + right) + 4
    write(path, data[:place] + offset.to_bytes(4, "little", signed=True) + data[place + 4 :])
    with pytest.raises(InputError, match=r"a\.arrow: is damaged: the column 'text'"):
        rows_of(dataset(path))


def test_values_that_their_type_does_not_allow_are_no_damage(tmp_path: Path) -> None:
    """Text that is not UTF-8 fails where it is used, not the file (fault 73)."""
    texts = pa.array([b"\xff", b"ok"], pa.binary()).view(pa.string())
    table = pa.table({"text": texts, "coded": texts.dictionary_encode(), "day": pa.array([1, 2], pa.int64()).view(pa.date64())})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    rows = rows_of(dataset(tmp_path / "a.arrow"))
    assert [row.columns["text"] for row in rows if isinstance(row, Row)] == [b"\xff", "ok"]


@pytest.mark.parametrize("most_read", [0, arrow.MOST_READ_BYTES])
def test_an_arrow_file_that_is_cut_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_read: int) -> None:
    """Mapped or not, the process goes on to say so: a page that is gone would end it by SIGBUS."""
    monkeypatch.setattr(arrow, "MOST_READ_BYTES", most_read)
    path = _arrow_file(tmp_path / "a.arrow", batches=3, rows=100_000)
    batches = dataset(path).batches()
    assert next(batches)
    with path.open("r+b") as file:
        file.truncate(4096)
    with pytest.raises(InputError, match=r"a\.arrow: .*(cut while it was read|cannot be read to its end)"):
        list(batches)


def test_a_row_group_of_very_uneven_rows_is_decoded_few_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean says nothing of the widest rows: hundreds of them at once would need all of the group's bytes."""
    texts = ["x" * 50_000] * 40 + ["y"] * 100_000
    pq.write_table(pa.table({"text": texts}), tmp_path / "rows.parquet", use_dictionary=False, compression="none")
    with pq.ParquetFile(tmp_path / "rows.parquet") as file:
        assert parquet.batch_rows(file, ["text"], parquet.BATCH_BYTES) == parquet.MAX_BATCH_ROWS
        monkeypatch.setattr(parquet, "SKEWED", ((10 << 20, 16), (1 << 20, 64)))
        assert parquet.batch_rows(file, ["text"], parquet.BATCH_BYTES) == 64
        monkeypatch.setattr(parquet, "SKEWED", ((1 << 20, 16), (1 << 19, 64)))
        assert parquet.batch_rows(file, ["text"], parquet.BATCH_BYTES) == 16
    assert len(rows_of(dataset(tmp_path / "rows.parquet"))) == len(texts)


def test_an_unexpected_exception_in_a_reader_is_the_files_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library raises over a file's bytes, the message names the file and the exception's class (issue 13, part 1)."""

    def fails(*_: object) -> None:
        raise RecursionError("too deep")

    path = write(tmp_path / "rows.jsonl", b'{"id": 1}\n')
    monkeypatch.setattr(formats.FORMATS["jsonl"].load()._module, "read", fails)
    monkeypatch.setattr(formats.FORMATS["jsonl"].load()._module, "count", fails)
    for use in (lambda: rows_of(dataset(path)), lambda: dataset(path).count()):
        with pytest.raises(InputError, match=r"rows\.jsonl: cannot be read: RecursionError: too deep"):
            use()
