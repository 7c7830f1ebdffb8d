"""Explains a text that is not TOML: duplicate keys, quotes inside quotes, and habits of YAML, JSON and Python."""

from __future__ import annotations

import re

from batch.errors import Problem
from batch.job.paths import looks_secret

_PLACE = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)
_HEAD = re.compile(r"(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = r"""(?:[\w.-]+|"[^"]*"|'[^']*')"""
_YAML = re.compile(rf"({_KEY})\s*:(?:\s+(?P<value>.*)|$)")
_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false", "true": "true", "false": "false"}
_NOTHING = {"none", "null", "nil", "~", ""}
_TWICE = ("cannot overwrite a value", "cannot declare", "duplicate inline table key", "cannot redefine", "cannot mutate")
_ESCAPES = ("unescaped '\\' in a string", "invalid hex value", "escaped character is not")
Said = tuple[str | None, str | None]


def syntax_problem(label: str, text: str, message: str) -> Problem:
    """Explain a TOMLDecodeError. Its text alone has the place: "… (at line 3, column 5)" or "(at end of document)"."""
    found = _PLACE.fullmatch(message)
    what = found["what"] if found else message
    line = int(found["line"]) if found and found["line"] else text.count("\n") + 1
    lines = text.splitlines()
    source = lines[line - 1].strip() if line <= len(lines) else ""
    # A key that was written without quotes is a syntax error, and must not be shown.
    secret = looks_secret(source.partition("=")[0])
    own, hint = _explained(what.lower(), _without_value(source) if secret else source, lines, line)
    said = f"not valid TOML: {own or what[:1].lower() + what[1:]}"
    return Problem(f"{label}:{line}", "", said if secret or not source else f"{said} in: {source}", hint)


def _without_value(source: str) -> str:
    found = re.match(rf"(?:-\s+)?{_KEY}\s*[:=]", source)
    return f"{found[0]} …" if found else ""


def _explained(what: str, source: str, lines: list[str], line: int) -> Said:
    if what.startswith(_TWICE):
        return _twice(lines, line)
    key, equals, value = (part.strip() for part in source.partition("="))
    return _of_another_language(source, lines) or (_of_value(what, key, value) if equals else _of_line(what, source))


def _twice(lines: list[str], line: int) -> Said:
    """Name the key or table that is set twice, and the line of the first."""
    place = _places(lines[:line])
    *earlier, (kind, path, _) = place or [("", "", line)]
    first = [(other, number) for other, known, number in earlier if known == path]
    if not path or not first:
        return "a key or table is set twice", "keep one of the two"
    other, number = first[0]
    if other != kind and kind != "=":
        return f"[{path}] and [[{path}]] are both written, first in line {number}", f"write [[{path}]] in both places"
    if kind == "[":
        return f"the table [{path}] is written twice, first in line {number}", "put its keys under one heading"
    return f"{path} is set twice, first in line {number}", "keep one of the two"


def _places(lines: list[str]) -> list[tuple[str, str, int]]:
    """List the tables and keys of some lines: "[", "[[" or "=", the dotted path, and the line from 1. `[[…]]` begins its keys again."""
    found: list[tuple[str, str, int]] = []
    table = ""
    for number, text in enumerate(map(str.strip, lines), 1):
        if head := _HEAD.fullmatch(text):
            table = head[2]
            if head[1] == "[[":
                found = [each for each in found if not each[1].startswith(f"{table}.")]
            found.append((head[1], table, number))
        elif key := re.match(rf"({_KEY}(?:\s*\.\s*{_KEY})*)\s*=", text):
            found.append(("=", f"{table}.{key[1]}" if table else key[1], number))
    return found


def _of_another_language(source: str, lines: list[str]) -> Said | None:
    """Explain what is YAML, JSON or a comment of another language."""
    if re.match(r"-(\s|$)|---", source):
        return "a line that begins with '-' is YAML", 'a list is written key = ["a", "b"]; each model is a table [[model]] of its own'
    if found := _YAML.match(source):
        key, value = found[1], (found["value"] or "").strip()
        # In an inline table or an object the line has a comma or a quoted key.
        if not value:
            return f"'{key}:' is YAML", f"a table is written [{key.strip(chr(34))}], and its keys below it"
        return f"'{key}: …' is YAML or JSON", f"a setting is written {key.strip(chr(34))} = {_quoted(value.rstrip(','))}"
    begin = next((text.strip() for text in lines if text.strip()), "")
    if begin.startswith("{"):
        return "this is JSON, a job file is TOML", 'a table is written [input], and a setting below it key = "value"'
    if source.startswith(("//", "/*", "--", ";")):
        return None, "a comment begins with #"
    if re.search("[“”„‘’«»]", source):
        return "the quotes are typographic ones", "write straight quotes, as in key = \"text\" or 'text'"
    return None


def _of_value(what: str, key: str, value: str) -> Said:
    word = value.partition("#")[0].strip()
    if word not in ("true", "false") and word.lower() in _WORDS:
        return f"'{word}' is no value", f"write {key} = {_WORDS[word.lower()]}, or in quotes if it is a text"
    if word.lower() in _NOTHING:
        return f"{key} has no value" if not word else f"there is no '{word}' in TOML", f"remove {key}, or give it a value"
    if re.match(r"[A-Za-z./~$]", value) and not re.match(r"(true|false|inf|nan)\b", value):
        return None, f"put text in quotes: {key} = {_quoted(value)}"
    if what.startswith(_ESCAPES):
        return "a backslash in double quotes begins an escape", f"write single quotes, in which it has no meaning: {key} = '…'"
    if re.search(r"""["'\d\]]\s*//""", value):
        return None, "a comment begins with #"
    if "unclosed array" in what:
        return None, f'items are divided by commas, and the list ends with ]: {key} = ["a", "b"]'
    if value[:1] in ('"', "'") and not value.startswith(('"""', "'''")):
        return _of_quotes(what, key, value)
    return None, None


def _of_quotes(what: str, key: str, value: str) -> Said:
    quote = value[0]
    if value.endswith(f"{quote},") and value.count(quote) == 2:
        return "a setting ends without a comma", f"write {key} = {value[:-1]}"
    if "illegal character '\\n'" in what or (value.count(quote) == 1 and "expected newline" not in what):
        return "the text does not end on its line", f'close the quote, or write several lines as {key} = """…"""'
    if value.count(quote) > 2:
        other = "'" if quote == '"' else '"'
        around = other if other not in value else '"""'
        return f"the text has a {quote} inside, which ends it", f"quote the whole with others: {key} = {around}…{around}"
    return None, None


def _of_line(what: str, source: str) -> Said:
    if source.startswith("["):
        return None, "a table is written [name], a list of tables [[name]], alone in its line" if "expected" in what else None
    return None, "a setting is written key = value" if source else None


def _quoted(value: str) -> str:
    """The value as TOML has it, as far as it is plain."""
    word = value.partition(" #")[0].strip()
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if word[:1] in ('"', "'", "[", "{") or re.fullmatch(r"[+-]?\d[\d_.]*", word):
        return word
    return f"'{word}'" if '"' in word or "\\" in word else f'"{word}"'
