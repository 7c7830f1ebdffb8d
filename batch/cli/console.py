"""What the commands write: data to stdout, everything else to stderr, in any locale."""

from __future__ import annotations

import codecs
import dataclasses
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

_ASCII = {"…": "...", "·": "-", "–": "-", "—": "-", "×": "x", "→": "->", "“": '"', "”": '"', "’": "'", "µ": "u", "\u00a0": " "}
_VISIBLE_CONTROLS = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)] if chr(code) not in "\n\t"}
_NUMBER = re.compile(r"\?|unknown|\$?[\d,.]*")


def prepare_streams() -> None:
    """Make stdout and stderr take any text: what their encoding lacks is written in ASCII or as a question mark."""
    codecs.register_error("promptmill", _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="promptmill")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_ASCII.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def colour_wanted() -> bool | None:
    """False when NO_COLOR is set (https://no-color.org), None to leave it to whether the stream is a terminal."""
    return False if os.environ.get("NO_COLOR") else None


def say(text: str) -> None:
    """Write `text` to stderr. That nobody reads there is no reason to end."""
    if sys.stderr is not None:
        with suppress(BrokenPipeError):
            click.echo(text, file=sys.stderr)


def complain(text: str) -> None:
    """Write each line of `text` to stderr as a problem of its own."""
    for line in text.splitlines() or [""]:
        say(f"promptmill: {click.style('error:', fg='red', bold=True)} {printable(line)}")


def put(text: str, *, end: str = "\n") -> None:
    """Write data to stdout at once, and unchanged: click.echo would take escape sequences out of an answer."""
    if sys.stdout is not None:
        sys.stdout.write(text + end)
        sys.stdout.flush()


def put_styled(text: str) -> None:
    """Write text of our own to stdout; its bold and colour are left out where that is no terminal."""
    if sys.stdout is not None:
        click.echo(text, file=sys.stdout)


def put_json(value: Any) -> None:
    """Write `value` (JSON, dataclasses, paths) to stdout, indented; in UTF-8 whatever the locale, as JSON must be."""
    if sys.stdout is not None:
        click.echo(json_bytes(value), file=sys.stdout)


def json_bytes(value: Any) -> bytes:
    """`value` as indented JSON."""
    import orjson

    return orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def printable(text: str) -> str:
    """`text` with its control characters made visible, so that an endpoint's words cannot steer the terminal."""
    return text.translate(_VISIBLE_CONTROLS)


def terminal_width() -> int:
    """The columns of the terminal, also where what is written goes into a pipe, to `less` for example; 100 where there is none."""
    if (set_ := os.environ.get("COLUMNS", "")).isdecimal() and int(set_):
        return int(set_)
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        with suppress(AttributeError, OSError, ValueError):
            if columns := os.get_terminal_size(stream.fileno()).columns:  # type: ignore[union-attr]
                return columns
    return 100


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Rows of cells as aligned columns, two spaces apart; columns of numbers, below a heading of any kind, stand to the right.

    Where that is wider than `width`, the first cell of each row has a line of its own.
    """
    lines = _aligned(rows)
    if width is None or max(map(len, lines)) <= width:
        return "\n".join(lines)
    head, *rest = _aligned([row[1:] for row in rows])
    return "\n".join([f"  {head}", *(f"{row[0]}\n  {line}" for row, line in zip(rows[1:], rest, strict=True))])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    columns = []
    for cells in zip(*rows, strict=True):
        width = max(map(len, cells))
        numbers = all(map(_NUMBER.fullmatch, cells[1:])) and len(cells) > 1
        columns.append([cell.rjust(width) if numbers else cell.ljust(width) for cell in cells])
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def command_line(*words: str) -> str:
    """A promptmill command that can be pasted into a shell."""
    return shlex.join(["promptmill", *words])
