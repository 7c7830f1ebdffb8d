"""Finds input files by path, address or pattern, and identifies them, on disk and on object stores."""

from __future__ import annotations

import difflib
import glob
import re
import stat
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from batch.errors import InputError
from batch.storage import stores
from batch.storage.folders import KindOf, check_no_log, chosen_of_folder, is_hidden
from batch.storage.store_errors import StoreError
from batch.storage.urls import StoreUrl, is_url, parse

_PROBE_BYTES = 4096
_RUN_FILE = "run.json"
_JOURNAL_FOLDER = "journal"
_MAGIC = re.compile(r"[*?[]")


MOVED = "; if it was moved, give its new place: --set input.path=… (of run, resume, plan, try and export)"


def expand(paths: Sequence[str], kind_of: KindOf = lambda _: "") -> list[str]:
    """The files that `paths` name: each is a file, a folder, or a glob (`**` goes into subfolders) whose files come sorted by name.

    A path that exists is taken as it is, whatever brackets are in its name. Addresses on object stores are expanded alike.
    `kind_of` gives the format of a file in a folder (folders.py).

    Raises:
        InputError: nothing matches, a path is no regular file (input is read more than once), or a file would be read twice.
    """
    files: list[str] = []
    for path in paths:
        files += _in_store(path, kind_of) if is_url(path) else _on_disk(path, kind_of)
    _check_names(files)
    _check_same_file(files)
    twice = next((file for i, file in enumerate(files) if file in files[:i]), None) if len(set(files)) < len(files) else None
    if twice:
        raise InputError(f"{twice}: named twice by the input paths; its rows would be sent twice")
    return files


def identity(files: Sequence[str]) -> list[dict[str, Any]]:
    """Return {path, size in bytes, mtime_ns} of each file, and {probe} of local ones: enough to detect a changed input.

    `probe` is a hash of five blocks of the content, for an edit in place that keeps size and time.

    Raises:
        InputError: a file is gone.
    """
    remote = [file for file in files if is_url(file)]
    try:
        found = dict(zip(remote, stores.infos([parse(file, inputs=True) for file in remote]), strict=True))
    except StoreError as error:
        raise InputError(str(error)) from error
    identities = []
    for file in files:
        if file in found:
            stored = found[file]
            if stored is None:
                raise InputError(f"{file}: cannot be read: there is no such object any more")
            identities.append({"path": file, "size": stored.size, "mtime_ns": stored.mtime_ns})
            continue
        try:
            status = Path(file).stat()
            probe = _probe(file, status.st_size) if stat.S_ISREG(status.st_mode) else None
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
        identities.append({"path": file, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "probe": probe})
    return identities


def _probe(file: str, size: int) -> str:
    """Return a hash of five blocks, spread from the start to the end."""
    found = blake2b(digest_size=8)
    with Path(file).open("rb", buffering=0) as source:
        for part in range(5):
            source.seek(max(0, size - _PROBE_BYTES) * part // 4)
            found.update(source.read(_PROBE_BYTES))
    return found.hexdigest()


def _on_disk(path: str, kind_of: KindOf) -> list[str]:
    if Path(path).is_dir():
        return _in_folder(Path(path), kind_of)
    found = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - takes absolute patterns
    is_pattern = found != [path]
    found = [file for file in found if not (is_pattern and Path(file).is_dir())]
    if is_pattern:
        # A run's own outputs, under a pattern that reaches over its directory, would be its next input.
        parents = {parent: _is_run_directory(parent) for parent in {Path(file).absolute().parent for file in found}}
        own = [file for file in found if parents[Path(file).absolute().parent]]
        found = [file for file in found if not parents[Path(file).absolute().parent]]
        if own and not found:
            raise InputError(f"{path}: matches only files below run directories, such as {own[0]}: name them without * to read them")
    if not found:
        raise InputError(f"{path}: no such file{_near_names(path)}{MOVED}")
    for file in found:
        _check_regular(file)
    return found


def _in_folder(folder: Path, kind_of: KindOf) -> list[str]:
    if _is_run_directory(folder):
        raise InputError(f'{folder}: is a run directory, whose answers are rows by [input] run = "{folder}"')
    return chosen_of_folder(str(folder), [str(file) for file in _below(folder)], kind_of)


def _below(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
    for entry in entries:
        check_no_log(str(folder), entry.name)
        if entry.is_file():
            yield entry
        # A link to a folder above would never end.
        elif entry.is_dir() and not entry.is_symlink() and not is_hidden(entry.name) and not _is_run_directory(entry):
            yield from _below(entry)


def _is_run_directory(folder: Path) -> bool:
    """Whether `folder` is a run directory, or below one: then its files are a run's own."""
    return any((parent / _RUN_FILE).is_file() and (parent / _JOURNAL_FOLDER).is_dir() for parent in (folder, *folder.parents))


def _check_names(files: Sequence[str]) -> None:
    """Refuse a name that is not UTF-8: run.json could not hold it, nor be read again."""
    for file in files:
        try:
            file.encode()
        except UnicodeEncodeError:
            shown = file.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise InputError(f"{shown}: the file's name is not UTF-8; rename it") from None


def _check_same_file(files: Sequence[str]) -> None:
    """Refuse one file under two names: a link, or a path with .. in it."""
    seen: dict[tuple[int, int], str] = {}
    for file in files:
        if is_url(file):
            continue
        try:
            status = Path(file).stat()
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
        first = seen.setdefault((status.st_dev, status.st_ino), file)
        if first is not file and first != file:
            raise InputError(f"{file}: is the same file as {first}; its rows would be sent twice")


def _check_regular(file: str) -> None:
    path = Path(file)
    if path.is_symlink() and not path.exists():
        raise InputError(f"{file}: is a link to {path.readlink()}, which is not there")
    if not path.is_file():
        raise InputError(f"{file}: is not a regular file; input is read more than once, so write it to a file first")


def _near_names(path: str) -> str:
    folder = Path(path).parent
    if glob.has_magic(str(folder)):
        return ""
    if not folder.is_dir():
        return f"; the folder {folder} does not exist"
    return _near(Path(path).name, [entry.name for entry in folder.iterdir()], str(folder))


def _near(name: str, names: Sequence[str], folder: str) -> str:
    near = difflib.get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f" in {folder}"


def _in_store(path: str, kind_of: KindOf) -> list[str]:
    try:
        url = parse(path, inputs=True)
        if stores.info(url) is not None:
            return [path]
        found = _matching(url)
        if found:
            return [str(each) for each in found]
        if stores.is_folder(url):
            return chosen_of_folder(str(url), [str(each.url) for each in stores.listing(url, recursive=True)], kind_of)
        stores.check_bucket(url)
        folder = url.parent
        if _MAGIC.search(folder.key):
            raise InputError(f"{path}: no such object")
        names = [each.url.name for each in stores.listing(folder)]
        raise InputError(f"{path}: no such object{_near(url.name, names, str(folder))}")
    except (StoreError, ValueError) as error:
        raise InputError(str(error)) from error


def _matching(pattern: StoreUrl) -> list[StoreUrl]:
    """The objects whose keys match; `*` and `?` stop at slashes, `**` does not, and hidden names are for patterns that say the dot."""
    magic = _MAGIC.search(pattern.key)
    if magic is None:
        return []
    base = pattern.at(f"{pattern.bucket}/{pattern.key[: magic.start()].rpartition('/')[0]}")
    wanted = re.compile(_translated(pattern.key))
    recursive = "/" in pattern.key[magic.start() :] or "**" in pattern.key
    return [each.url for each in stores.listing(base, recursive=recursive) if wanted.fullmatch(each.url.key)]


def _translated(pattern: str) -> str:
    """A glob as a regular expression, part by part."""
    parts = PurePosixPath(pattern).parts
    text = ""
    for number, part in enumerate(parts, 1):
        last = number == len(parts)
        if part == "**":
            text += r"(?:[^./][^/]*/)*" + (r"[^./][^/]*" if last else "")
        else:
            text += ("" if part.startswith(".") else r"(?!\.)") + _translated_part(part) + ("" if last else "/")
    return text


def _translated_part(part: str) -> str:
    text = ""
    place = 0
    while place < len(part):
        char = part[place]
        end = part.find("]", place + 2) if char == "[" else -1
        if end > 0:
            inside = part[place + 1 : end].replace("\\", "\\\\")
            text += f"(?!/)[{'^' + inside[1:] if inside.startswith('!') else inside}]"
            place = end
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char)
        place += 1
    return text
