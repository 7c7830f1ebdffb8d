"""Makes a first job file for a file of rows: its id, its prompt and its carried columns are guessed from the columns that it has."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from batch.errors import InputError, JobError, Problem, StorageError
from batch.job import load
from batch.journal.disk import refusal
from batch.readers import Dataset
from batch.records import BadRow, Row
from batch.settings import InputSettings
from batch.storage import MOVED, is_url
from batch.writers.columns import OWN_COLUMNS

ROWS_READ = 200
_IDS = re.compile(r"(.*[_\- ])?(id|uuid|key)", re.IGNORECASE)
_CHATS = ("messages", "conversation", "conversations")
_TEXTS = ("prompt", "question", "instruction", "text", "body", "content", "input", "query", "document", "message", "description", "title")
# Names that Jinja has for itself.
_CONSTANTS = frozenset({"true", "false", "none", "loop", "self", "range", "dict", "namespace", "cycler", "joiner", "lipsum"})
_LONGEST_CARRIED = 100
_MOST_CARRIED = 6
_MOST_LISTED = 30


def make_first_job(source: str, output: str | None, model: str) -> Path:
    """Write a job file for the rows of `source`, beside the working directory's other jobs; returns its path.

    Raises:
        InputError: the rows cannot be read, or there are none.
        StorageError: the job file cannot be written.
        JobError: it is there already, its folder is not, or the model cannot be used.
    """
    path = Path(output or f"{_stem(source)}.toml")
    place = source if is_url(source) else os.path.abspath(source)  # noqa: PTH100 - links stay as they are
    try:
        read = [row for row, _ in islice(Dataset(InputSettings(paths=(place,))).rows(), ROWS_READ)]
    except InputError as error:
        # There is no job yet that could name another place.
        raise InputError(str(error).removesuffix(MOVED)) from error
    rows = [row for row in read if isinstance(row, Row)]
    if not rows:
        reason = f"; the first: {read[0].message}" if read and isinstance(read[0], BadRow) else ""
        raise InputError(f"{source}: has no row that can be read{reason}")
    written = source if is_url(source) else os.path.relpath(place, path.absolute().parent)
    text = _text(written, place, [row.columns for row in rows], model)
    try:
        # An own job is never written over.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise JobError([Problem(str(path), "", "is there already", "give another name: --output NAME.toml")]) from None
    except (FileNotFoundError, NotADirectoryError):
        raise JobError([Problem(str(path), "", "cannot be written", f"there is no folder {path.parent}")]) from None
    except OSError as error:
        raise StorageError(refusal(error, path)) from error
    try:
        load(path)
    except Exception:
        path.unlink()
        raise
    return path


def _stem(source: str) -> str:
    name = source.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name.partition(".")[0]).strip("-") or "job"


def _text(source: str, place: str, rows: Sequence[Mapping[str, Any]], model: str) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    everywhere = [name for name in columns if all(row.get(name) is not None for row in rows)]
    found = _id_of(place, everywhere, rows)
    prompt, used = _prompt(everywhere or columns, rows)
    carried = [name for name in columns if name not in {found, used} and _is_short(name, rows)][:_MOST_CARRIED]
    listed = ", ".join(columns[:_MOST_LISTED]) + (f" and {len(columns) - _MOST_LISTED} more" if len(columns) > _MOST_LISTED else "")
    no_id = '# id = "…"  a column that names each row, unique, so that a run finds it again'
    lines = [
        f"# Columns of the input: {' '.join(listed.split())}",
        "# Look at one answer first with `promptmill try`, at the cost with `promptmill plan`; then `promptmill run`.",
        "",
        "[input]",
        f"path = {_quoted(source)}",
        f"id = {_quoted(found)}" if found is not None else no_id,
        "",
        "[prompt]",
        *prompt,
        "",
        "[[model]]",
        f"id = {_quoted(model)}  # PROVIDER/MODEL; promptmill providers lists them",
        "temperature = 0",
        "max_tokens = 200",
        "",
        "[output]",
        f"columns = [{', '.join(map(_quoted, carried))}]  # carried over from the input to each answer",
    ]
    return "\n".join(lines) + "\n"


def _id_of(place: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the column of ids: one so named, with a value of its own in every row of the input."""
    for name in columns:
        if _IDS.fullmatch(name) and isinstance(rows[0][name], str | int):
            try:
                Dataset(InputSettings(paths=(place,), id=name)).check_ids()
            except InputError:
                continue
            return name
    return None


def _prompt(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], str | None]:
    """Return the lines of [prompt], and the column that they send."""
    for name in columns:
        if name.lower() in _CHATS and all(isinstance(row.get(name), list) for row in rows):
            return [f"messages = {_quoted(name)}  # the column of stored chats"], name
    texts = [name for name in columns if any(isinstance(row.get(name), str) for row in rows)]
    named = [name for known in _TEXTS for name in texts if name.lower() == known]
    longest = sorted(texts, key=lambda name: -sum(len(str(row.get(name) or "")) for row in rows))
    chosen = (named or longest or list(columns))[0]
    lines = [
        '# system = "…"  what the model is to do with each row',
        f"user = {_quoted(_template(chosen))}  # {{{{ … }}}} takes a column of the row",
    ]
    return lines, chosen


def _template(column: str) -> str:
    """The template that takes a column, whatever its name."""
    plain = column.isidentifier() and column.isascii() and not keyword.iskeyword(column) and column.lower() not in _CONSTANTS
    return f"{{{{ {column} }}}}" if plain else f"{{{{ row[{_quoted(column)}] }}}}"


def _is_short(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [row.get(name) for row in rows]
    plain = all(value is None or isinstance(value, str | int | float | bool) for value in values)
    # " as " renames a carried column.
    return plain and name not in OWN_COLUMNS and " as " not in name and all(len(str(value)) <= _LONGEST_CARRIED for value in values)


def _quoted(text: str) -> str:
    """Text as TOML has it; JSON's escapes are TOML's."""
    return orjson.dumps(text).decode().replace("\x7f", "\\u007f")
