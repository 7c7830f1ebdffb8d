"""Outcomes that a store did not take, on this machine until they are put."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from batch.errors import StorageError
from batch.journal.index import ResumeIndex
from batch.journal.lines import encode
from batch.rundir.unsent import Unsent
from tests.support.stores import outcome, write_journal


def test_only_what_the_journal_lacks_is_put(tmp_path: Path) -> None:
    """Promise 4: records exactly once: rows that were sent again meanwhile are not recorded again, but a completion replaces a failure."""
    write_journal(tmp_path / "v", outcome(1), outcome(2, error="server_error"), outcome(3, error="server_error"))
    unsent = Unsent(tmp_path / "unsent")
    unsent.keep("v", "000001-000002", b"".join(map(encode, (outcome(1, text="late"), outcome(2), outcome(3, error="overloaded")))))
    unsent.keep("v", "000001-000003", encode(outcome(4)))
    index = ResumeIndex.load(tmp_path / "v")
    assert unsent.missing("v", index) == encode(outcome(2)) + encode(outcome(4))
    unsent.remove("v")
    assert (unsent.files("v"), unsent.slugs(), unsent.missing("v", index)) == ([], [], b"")


def test_a_file_never_replaces_another(tmp_path: Path) -> None:
    """Promise 2: two sessions that could store nothing have the same number, and both keep their answers."""
    unsent = Unsent(tmp_path)
    first, second = (unsent.keep("v", "000001-000001", encode(outcome(number))) for number in (1, 2))
    assert first != second
    assert unsent.slugs() == ["v"]
    assert len(unsent.missing("v", ResumeIndex.load(tmp_path / "none")).splitlines()) == 2


def test_a_torn_line_is_not_put(tmp_path: Path) -> None:
    """Promise 3: of a file that a power loss has cut, whole records only are put."""
    unsent = Unsent(tmp_path)
    path = unsent.keep("v", "000001-000001", encode(outcome(1)) + encode(outcome(2)))
    path.write_bytes(path.read_bytes()[:-20])
    assert unsent.missing("v", ResumeIndex.load(tmp_path / "none")) == encode(outcome(1))


def test_kept_answers_are_for_their_owner_only(tmp_path: Path) -> None:
    """Answers to prompts can be read by the user who paid for them, and by no other."""
    path = Unsent(tmp_path / "unsent").keep("v", "000001-000001", encode(outcome(1)))
    assert (path.stat().st_mode | path.parent.stat().st_mode) & 0o077 == 0


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 41: the cache may be full too."""

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="the disk is full"):
        Unsent(tmp_path).keep("v", "000001-000001", b"x\n")
