"""Files that rows name are read in one folder, and nowhere else."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from batch.errors import FileError
from batch.storage import within
from batch.storage.within import read_within

LIMIT = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files and links, beside a secret."""
    root = tmp_path / "data"
    (root / "img").mkdir(parents=True)
    (root / "img" / "a.png").write_bytes(b"picture")
    (root / "large").write_bytes(bytes(LIMIT + 1))
    (root / "..img").mkdir()
    (root / "..img" / "b").write_bytes(b"dots")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "data2").mkdir()
    (tmp_path / "data2" / "near").write_bytes(b"secret")
    (root / "inner").symlink_to("img/a.png")
    (root / "outer").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    (root / "gone").symlink_to("img/none")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize(
    ("path", "content"),
    [("img/a.png", b"picture"), ("./img/../img/a.png", b"picture"), ("inner", b"picture"), ("..img/b", b"dots")],
)
def test_what_lies_in_the_folder_is_read(folder: Path, path: str, content: bytes) -> None:
    """Relative paths and whole ones, also through links that stay within, are read; so is a folder that is itself a link."""
    assert read_within(str(folder), path, LIMIT) == content
    assert read_within(str(folder), str(folder / path), LIMIT) == content
    assert read_within(str(folder), f"file://{folder / path}", LIMIT) == content
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert read_within(str(link), path, LIMIT) == content


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../secret", "refused_path"),
        ("img/../../secret", "refused_path"),
        ("/etc/passwd", "refused_path"),
        ("file:///etc/passwd", "refused_path"),
        ("outer", "refused_path"),
        ("up/secret", "refused_path"),
        ("../data2/near", "refused_path"),
        ("s3://bucket/key", "refused_path"),
        ("ftp://host/file", "refused_path"),
        ("img/none.png", "missing_file"),
        ("img/a.png/b", "missing_file"),
        ("gone", "missing_file"),
        ("img", "bad_file"),
        (".", "bad_file"),
        ("pipe", "bad_file"),
        ("loop", "refused_path"),
        ("large", "bad_file"),
        ("a\0b", "bad_file"),
        ("\ud800", "bad_file"),
        ("x" * 5000, "bad_file"),
    ],
)
def test_all_else_is_refused_by_name(folder: Path, path: str, code: str) -> None:
    """A path that leaves the folder, by dots, from the root or through a link, and what is no readable file, raises FileError."""
    with pytest.raises(FileError) as caught:
        read_within(str(folder), path, LIMIT)
    assert caught.value.code == code, caught.value
    assert "secret" not in str(caught.value).replace(path, "")


def test_a_socket_is_no_file(folder: Path) -> None:
    """What cannot be opened for reading is bad_file."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        with pytest.raises(FileError, match="cannot be read") as caught:
            read_within(str(folder), "s", LIMIT)
    assert caught.value.code == "bad_file"


def test_a_link_put_in_place_after_the_check_is_not_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is opened is walked to without links: a folder or file that is swapped for a link after the check is refused."""
    real = os.path.realpath
    for swapped, target in (("img", folder.parent), ("img/a.png", folder.parent / "secret")):

        def resolved(path: str, swapped: str = swapped, target: Path = target) -> str:
            found = real(path)
            if found.endswith("a.png"):
                place = folder / swapped
                place.rename(folder / "moved")
                place.symlink_to(target)
            return found

        with monkeypatch.context() as patched:
            patched.setattr(within.os.path, "realpath", resolved)
            with pytest.raises(FileError) as caught:
                read_within(str(folder), "img/a.png", LIMIT)
        assert caught.value.code in {"refused_path", "missing_file"}
        (folder / swapped).unlink()
        (folder / "moved").rename(folder / swapped)


@pytest.mark.parametrize(
    ("folder", "path", "key"),
    [
        ("s3://b/data", "img/a.png", "data/img/a.png"),
        ("s3://b/data?region=x", "s3://b/data/a", "data/a"),
        ("s3://b/data", "/data/a", "data/a"),
        ("s3://b", "a", "a"),
        ("s3://b/data", "../other/a", None),
        ("s3://b/data", "s3://c/data/a", None),
        ("s3://b/data", "gs://b/data/a", None),
        ("s3://b/data", "s3://b/database/a", None),
        ("s3://b/data", "..", None),
        ("s3://b/data", "s3://b/data/../x", None),
    ],
)
def test_keys_of_a_store_stay_under_the_folder(monkeypatch: pytest.MonkeyPatch, folder: str, path: str, key: str | None) -> None:
    """On a store the key must lie under the folder's, in the same bucket; the folder's options are used."""
    opened: list[str] = []

    def open_object(url: object) -> object:
        opened.append(str(url))
        raise FileNotFoundError

    monkeypatch.setattr(within.stores, "open_object", open_object)
    with pytest.raises(FileError) as caught:
        read_within(folder, path, LIMIT)
    assert caught.value.code == ("refused_path" if key is None else "missing_file")
    assert opened == ([] if key is None else [f"s3://b/{key}" + ("?region=x" if "region" in folder else "")])
