"""Files of environment variables (.env), read only where a command names one. Their values are never stored, nor shown in messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from batch.errors import JobError, Problem
from batch.job.layers import read_small_file

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
_SINGLE = re.compile(r"'(?P<text>[^']*)'\s*(?:#.*)?")
_DOUBLE = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read_env_file(path: Path) -> Mapping[str, str]:
    r"""Return the variables of a file: NAME=value lines, `export` before them, # comments, values in quotes on one line.

    A value without quotes ends before " #"; in double quotes \n, \t, \" and \\ are escapes. Nothing is expanded.

    Raises:
        JobError: with every line that cannot be read, by its number alone.
    """
    try:
        text = read_small_file(path, pipes=True).decode("utf-8-sig")
    except FileNotFoundError:
        raise JobError([Problem(str(path), "", "there is no such file", "--env-file is relative to the working directory")]) from None
    except OSError as error:
        raise JobError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise JobError([Problem(str(path), "", f"is not UTF-8 text (byte {error.start})", "save it as UTF-8")]) from None
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for item in _items(text, str(path)):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            found[item[0]] = item[1]
    if problems:
        raise JobError(problems)
    return found


def _items(text: str, label: str) -> Iterator[tuple[str, str] | Problem]:
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            yield Problem(f"{label}:{number}", "", "is not NAME=value", "a name has letters, digits and _; comments begin with #")
            continue
        value = _value(found["value"])
        if value is None:
            yield Problem(
                f"{label}:{number}", found["name"], "has a quote that does not end on its line, or more behind it", "NAME='value'"
            )
        elif "\0" in value:
            yield Problem(f"{label}:{number}", found["name"], "has a NUL character, which no variable can have")
        else:
            yield found["name"], value


def _value(text: str) -> str | None:
    """The value as written; None where its quotes are wrong."""
    if text.startswith("'"):
        found = _SINGLE.fullmatch(text)
        return found and found["text"]
    if text.startswith('"'):
        found = _DOUBLE.fullmatch(text)
        return found and re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[1]), found["text"])
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].rstrip()
