"""The rows of a query: `sql` of [input], by DuckDB (the extra sql), over a .duckdb file or over the view `rows` of other files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from batch.errors import InputError, SetupError
from batch.storage import expand, is_url

if TYPE_CHECKING:
    import duckdb

DATABASES = (".duckdb", ".ddb", ".db")
_BATCH_ROWS = 4096


def write_query(sql: str, paths: Sequence[str], format_: str, folder: Path) -> Path:
    """Write the rows of a query over the files `paths` into a new file in `folder`; returns its path.

    Raises:
        SetupError: DuckDB is not installed.
        InputError: a file cannot be read, or the query is refused.
    """
    try:
        import duckdb
    except ImportError:
        raise SetupError("[input] sql needs DuckDB: pip install 'promptmill[sql]'") from None
    from batch.readers.arrow_writing import write_stream

    files = expand(paths)
    if url := next((file for file in files if is_url(file)), None):
        raise InputError(f"{url}: [input] sql reads files on this machine: copy it here first")
    try:
        with _connected(files, format_) as connection:
            found = connection.sql(sql)
            if found is None:
                raise InputError("[input] sql: gives no rows; end it with a SELECT")
            return write_stream(_reader(found), folder / "rows.arrow")
    except duckdb.Error as error:
        raise InputError(f"[input] sql: {str(error).strip()}") from error


def _reader(found: Any) -> Any:
    # Version 1.4 gave the method another name.
    read = getattr(found, "to_arrow_reader", None) or found.fetch_arrow_reader
    return read(_BATCH_ROWS)


def _connected(files: Sequence[str], format_: str) -> duckdb.DuckDBPyConnection:
    import duckdb

    if PurePath(files[0]).suffix.lower() in DATABASES and format_ == "auto":
        if len(files) > 1:
            raise InputError(f"{files[1]}: [input] sql reads one database at a time; ATTACH others in the query")
        return duckdb.connect(files[0], read_only=True)
    connection = duckdb.connect()
    try:
        _view(connection, list(files), format_)
    except BaseException:
        connection.close()
        raise
    return connection


def _view(connection: duckdb.DuckDBPyConnection, files: list[str], format_: str) -> None:
    from batch.readers.formats import format_of

    kinds = {format_of(file, format_).module for file in files}
    if len(kinds) > 1:
        raise InputError(f"[input] sql: the files are of several formats ({', '.join(sorted(kinds))}): name those of one")
    match kinds.pop():
        case "parquet":
            found = connection.read_parquet(files)
        case "csv":
            found = connection.read_csv(files)
        case "jsonl":
            found = connection.read_json(files)
        case _:
            raise InputError("[input] sql: reads .duckdb, Parquet, CSV and JSON files, not Arrow: convert them")
    found.create_view("rows")
