"""Two files of one model's answers, the newer one with some rows worse and some better."""

from __future__ import annotations

import json
from pathlib import Path

SCORING = ("--kind", "number", "--expected", "gold")


def write_answers(path: Path, wrong: set[int], *, rows: int = 2000, model: str = "m") -> Path:
    """Write an answer to each of `rows` questions, right but for those in `wrong`."""
    lines = [{"id": f"q{at}", "model": model, "output": "-1" if at in wrong else str(at), "gold": at} for at in range(rows)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def old_and_new(folder: Path) -> tuple[Path, Path]:
    """2,000 rows of which the newer file has q0 to q29 wrong that were right, and q100 to q109 right that were wrong."""
    always = set(range(1000, 1300))
    return write_answers(folder / "old.jsonl", always | set(range(100, 110))), write_answers(folder / "new.jsonl", always | set(range(30)))
