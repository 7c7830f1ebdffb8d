"""Files of environment variables: what is read, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.errors import JobError
from batch.job.env_files import read_env_file


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("export A = x y  # why", "x y"),
        ("A=x#y", "x#y"),
        ("A=", ""),
        ("A= # none", ""),
        ("A='x # \"y\"' # z", 'x # "y"'),
        (r'A="a\nb \"c\" \\ $B"', 'a\nb "c" \\ $B'),
        ("A=base64==", "base64=="),
        ("A=1\r", "1"),
    ],
)
def test_lines(tmp_path: Path, line: str, value: str) -> None:
    """Quotes, comments and escapes are read as shells and other programs read them; nothing is expanded."""
    path = tmp_path / ".env"
    path.write_bytes(f"\ufeff# comment\n\n{line}\n".encode())
    assert read_env_file(path) == {"A": value}


def test_mistakes_are_named_by_line_and_show_nothing(tmp_path: Path) -> None:
    """Each line that cannot be read is named, and no text of it but the variable's name is shown."""
    path = tmp_path / ".env"
    path.write_text('sk-secret\nA=\'sk-secret\nB="x" sk-secret\n1C=sk-secret\nD=sk-\0secret\nE=fine\n')
    with pytest.raises(JobError) as caught:
        read_env_file(path)
    assert [problem.place for problem in caught.value.problems] == [f"{path}:{number}" for number in (1, 2, 3, 4, 5)]
    assert "secret" not in str(caught.value)
    path.write_bytes(b"A=\xff")
    for wrong, says in ((path, "is not UTF-8"), (tmp_path, "cannot be read"), (tmp_path / "none", "no such file")):
        with pytest.raises(JobError, match=says):
            read_env_file(wrong)
