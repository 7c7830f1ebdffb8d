"""Format the changes between two runs as text for the terminal and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from batch.cli.columns import wrapped
from batch.cli.console import styled
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.app.compare_runs import TwoRuns

MOST_SETTINGS = 20


def changes_text(found: TwoRuns, width: int) -> str:
    """Format the output of `compare A B`: what changed in the job, then each score's sentences."""
    from batch.evaluation.two_runs.formatting import change_sentences

    changes = found.changes
    blocks = [[styled(one_line(f"{changes.before} → {changes.after}"), "underline")]]
    if found.job:
        shown = [wrapped(change.text, width, "  ") for change in found.job[:MOST_SETTINGS]]
        rest = len(found.job) - len(shown)
        blocks.append(["changed in the job", *shown, *([f"  and {rest:,} more: --json has all of them"] if rest else [])])
    for score, sentences in groupby(change_sentences(changes), key=lambda item: item[0]):
        lines = [wrapped(text, width, "- ") for _, text in sentences]
        blocks.append([styled(one_line(score), "bold"), *lines] if score else lines)
    if found.notes:
        blocks.append([wrapped(note, width, "- ") for note in found.notes])
    return "\n\n".join("\n".join(block) for block in blocks)


def changes_json(found: TwoRuns) -> dict[str, Any]:
    """Convert all changes to JSON values."""
    from batch.evaluation.two_runs.formatting import change_sentences

    return {
        **asdict(found.changes),
        "job": [asdict(change) for change in found.job],
        "sentences": [text for _, text in change_sentences(found.changes)],
        "notes": found.notes,
    }
