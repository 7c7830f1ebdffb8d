"""What the commands write: data to stdout, everything else to stderr, in any locale. Nothing else of `cli` writes to a stream."""

from __future__ import annotations

import codecs
import dataclasses
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import click

from batch.errors import StorageError
from batch.policy.terminal import one_line, visible, visible_but_styles, without_url_secrets

_ASCII = {"…": "...", "·": "-", "–": "-", "—": "-", "×": "x", "→": "->", "“": '"', "”": '"', "’": "'", "µ": "u", "\u00a0": " "}
# Unicode's noncharacters mark styles until the text is written: escape sequences would be those of foreign text for the filter.
_STYLES = {"bold": "\ufdd0", "dim": "\ufdd1", "underline": "\ufdd2", "red": "\ufdd3", "green": "\ufdd4"}
_STYLE_END = "\ufdd5"
_ANSI = {
    "\ufdd0": "\x1b[1m",
    "\ufdd1": "\x1b[2m",
    "\ufdd2": "\x1b[4m",
    "\ufdd3": "\x1b[31m",
    "\ufdd4": "\x1b[32m",
    _STYLE_END: "\x1b[0m",
}
_ESCAPED_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_NUMBER = re.compile(r"\?|unknown|\$?[\d,.]*")


def prepare_streams() -> None:
    """Make stdout and stderr take any text: what their encoding lacks is written in ASCII or as a question mark."""
    codecs.register_error("promptmill", _replace)
    # Not every replacement of a stream, such as a test's, is a TextIOWrapper.
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


def styled(text: str, *styles: str) -> str:
    """Mark `text` as bold, dim, underline, red or green; only terminals see it."""
    return "".join(_STYLES[style] for style in styles) + text + _STYLE_END


def print_info(text: str, *, end: str = "\n", data: bool = False) -> None:
    """Write `text` to stderr. A stderr that cannot be written, a closed pipe or a full disk, is no reason to end.

    In `data`, a request or an answer, URLs are shown whole.
    """
    if sys.stderr is not None:
        try:
            click.echo(_for_people(text if data else without_url_secrets(text)) + end, nl=False, file=sys.stderr)
        except OSError:
            discard(sys.stderr)


def print_error(text: str) -> None:
    """Write `text` to stderr as one problem. Its further lines are indented: only the program's own begin at the left."""
    first, *rest = text.splitlines() or [""]
    print_info(f"promptmill: {styled('error:', 'red', 'bold')} {visible(first)}")
    for line in rest:
        print_info(f"  {visible(line)}")


def write(text: str, *, end: str = "\n") -> None:
    """Write data to stdout at once: unchanged into a file or pipe, with control characters made visible on a terminal.

    Raises:
        StorageError: when stdout cannot be written.
    """
    stream = sys.stdout
    if stream is not None:
        # In a file or a pipe the bytes of an answer are data; on a terminal they would be obeyed.
        shown = visible(text) if stream.isatty() else text
        _write_out(lambda: stream.write(shown + end))


def write_text(text: str) -> None:
    """Write text for people to stdout, styled on a terminal only. Raises StorageError."""
    if sys.stdout is not None:
        _write_out(lambda: click.echo(_for_people(without_url_secrets(text)), file=sys.stdout))


def write_json(value: Any) -> None:
    """Write `value` (JSON, dataclasses, paths) to stdout, indented; in UTF-8 whatever the locale, as JSON must be. Raises StorageError."""
    if sys.stdout is not None:
        _write_out(lambda: click.echo(json_bytes(value), file=sys.stdout))


def write_document(document: Mapping[str, Any], form: int = 1) -> None:
    """Write a command's `--json` to stdout: `format`, the number of its form, and the document. Raises StorageError.

    The number grows when a key goes or changes its meaning; a new key leaves it.
    """
    write_json({"format": form, **document})


def write_json_line(value: Any) -> None:
    """Write `value` to stdout as one line of JSON, in UTF-8 whatever the locale. Raises StorageError."""
    if sys.stdout is not None:
        _write_out(lambda: click.echo(json_bytes(value, indented=False), file=sys.stdout))


def discard(stream: TextIO) -> None:
    """Drop the buffer of `stream`, so that the interpreter's last flush of it cannot fail."""
    # A flush that fails at the interpreter's end would turn any exit code into 120.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        # The descriptor itself: the interpreter flushes the stream's buffer into it at its end.
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def flush_streams() -> None:
    """Flush stdout and stderr before the process ends; what cannot be written was reported."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            discard(stream)


def _write_out(write_to_stdout: Callable[[], object]) -> None:
    try:
        write_to_stdout()
        sys.stdout.flush()
    # The reader has enough, as `head` has: not an error, and handled where the command ends.
    except BrokenPipeError:
        raise
    except OSError as error:
        discard(sys.stdout)
        raise StorageError(f"the output cannot be written to stdout: {error.strerror}") from None


def _for_people(text: str) -> str:
    """Make `text` safe for a terminal, with its styles as escape sequences; click drops these where there is no terminal."""
    safe = visible_but_styles(text)
    if not any(mark in safe for mark in _ANSI):
        return safe
    for mark, sequence in _ANSI.items():
        safe = safe.replace(mark, sequence)
    return safe


def json_bytes(value: Any, *, indented: bool = True) -> bytes:
    """Return `value` as JSON, on many lines or on one; what could steer a terminal is escaped, which means the same in JSON."""
    import orjson

    try:
        text = orjson.dumps(value, default=_plain, option=(orjson.OPT_INDENT_2 if indented else 0) | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # What a row holds may be more than orjson takes: lone surrogates, integers beyond 64 bits, more than 254 levels.
        # Imported only then: it brings 58 modules that most commands with --json do without.
        from batch.writers import values

        text = values.json_bytes(value)
    # Most JSON is plain ASCII, and then nothing has to be searched.
    if text.isascii() and b"\x7f" not in text:
        return text
    return _ESCAPED_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text.decode()).encode()


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


def terminal_width() -> int:
    """The columns of the terminal, also where what is written goes into a pipe, to `less` for example; 100 where there is none."""
    if (set_ := os.environ.get("COLUMNS", "")).isdecimal() and len(set_) <= 5 and int(set_):
        return int(set_)
    # A pager behind a pipe is on the terminal of stderr or stdin.
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        with suppress(AttributeError, OSError, ValueError):
            if columns := os.get_terminal_size(stream.fileno()).columns:  # type: ignore[union-attr]
                return columns
    return 100


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Align rows of cells in columns, two spaces apart; columns of numbers to the right, whatever their heading.

    When that is wider than `width`, the first cell of each row gets a line of its own.
    """
    rows = [[one_line(cell) if cell else cell for cell in row] for row in rows]
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
