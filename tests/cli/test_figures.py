"""Figures of all answers in the terminal and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from batch.cli.figures import figure_lines
from batch.evaluation.figures.figure import ConfusionCell, Figure, VariantFigures
from batch.evaluation.reading import ScoreResult
from batch.evaluation.table import ScoreTable
from batch.settings import ScoreSettings
from tests.support.jobs import JobFolder


def test_labels_of_a_file_have_figures_and_a_users_own(tmp_path: Path) -> None:
    """`score` shows the averages and what one's own function says; --json has the confusion matrix with the ids behind its cells."""
    job = JobFolder(tmp_path, "http://127.0.0.1:9")
    said = [("cat", "cat"), ("cat", "dog"), ("dog", "Label: dog"), ("dog", "who knows")] * 5
    lines = [{"id": f"r{at}", "completion": text, "gold": gold, "n": at} for at, (gold, text) in enumerate(said)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "own.py").write_text("def most(rows):\n    return {'most': max(row['row']['n'] for row in rows)}\n")
    command = ["score", "answers.jsonl", "--kind", "label", "--expected", "gold", "--option", 'labels=["cat","dog"]']
    command += ["--option", "figures=own.py:most"]
    text = job.call(*command)
    assert text.returncode == 0, text.stderr
    shown = {line.split("  ")[0].strip(): line.split()[-3:] for line in text.stdout.splitlines()}
    assert {"accuracy", "macro F1", "MCC", "most"} <= set(shown)
    (score,) = json.loads(job.call(*command, "--json").stdout)["scores"]
    (figures,) = score["figures"]
    values = {figure["name"]: figure["value"] for figure in figures["figures"] if figure["of"] is None}
    assert (values["accuracy"], values["most"]) == (0.5, 19)
    cells = {(cell["expected"], cell["given"]): (cell["count"], cell["ids"][0]) for cell in figures["confusion"]}
    assert cells == {("cat", "cat"): (5, "r0"), ("cat", "dog"): (5, "r1"), ("dog", "dog"): (5, "r2"), ("dog", None): (5, "r3")}


def _result(labels: int, variants: int) -> ScoreResult:
    import numpy as np

    names = [f"label {at}" for at in range(labels)]
    figures = [Figure(name, 0.5, 0.4, 0.6, of=label, rows=7) for label in names for name in ("precision", "recall", "F1")]
    cells = tuple(ConfusionCell(one, other, 3, ("a",)) for one in names for other in names)
    found = tuple(VariantFigures(f"v{at}", (Figure("accuracy", 0.5), *figures), cells) for at in range(variants))
    table = ScoreTable("s", True, ("v0",), (), None, np.zeros((1, 0, 1)), np.zeros((1, 0, 1), dtype=np.uint8))
    return ScoreResult(ScoreSettings(name="s", kind="label"), table, {}, 0, None, None, found)


def test_no_table_of_figures_is_wider_than_the_terminal_or_drops_a_column() -> None:
    """Tables that do not fit stand in parts below each other; what is too much for a terminal is said to be elsewhere."""
    lines = figure_lines(_result(6, 2), 60, {"v0": "A", "v1": "B"}, whole=True)
    assert max(map(len, lines)) <= 60
    text = "\n".join(lines)
    assert all(text.count(word) >= 2 for word in ("precision", "recall", "F1", "label 5"))
    many = "\n".join(figure_lines(_result(30, 6), 80, {f"v{at}": "ABCDEF"[at] for at in range(6)}, whole=True))
    assert "figures of 30 labels: --json and the report have them" in many
    assert "a confusion matrix of 30 labels: --json and the report have it" in many
