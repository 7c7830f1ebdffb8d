"""Describe the changes between two sides in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batch.evaluation.formatting import about, corrected_chance, listed, percent, points_interval
from batch.evaluation.two_runs.changes import RowChange, RunChanges, ScoreChange, VariantChange

MOST_ROWS = 10
"""The number of changed rows that a sentence names; JSON and the report have all."""


def some_rows(rows: Sequence[RowChange]) -> str:
    """List the first changed rows by id, with the state of those that are not scored."""
    named = [f"{row.id}{'' if row.state == 'scored' else f' ({row.state})'}" for row in rows[:MOST_ROWS]]
    rest = len(rows) - len(named)
    return ", ".join(named) + (f" and {rest:,} more" if rest else "")


def change_sentences(changes: RunChanges) -> Iterator[tuple[str, str]]:
    """Yield (score, sentence) for every score and variant; then, with an empty score, the variants and scores of only one side."""
    for score in changes.scores:
        for change in score.variants:
            for sentence in _of_variant(change, score, changes):
                yield score.score, sentence
    for names, side in ((changes.variants_only_before, changes.before), (changes.variants_only_after, changes.after)):
        if names:
            yield "", f"Only in {side}, and not compared: {listed(names)}; --pair OLD=NEW compares two of different names."
    for names, side in ((changes.scores_only_before, changes.before), (changes.scores_only_after, changes.after)):
        if names:
            yield "", f"Scored in {side} only: {listed(names)}."


def headline(change: VariantChange, comparisons: int) -> str:
    """Whether a variant became better or worse, by how much, and how certain that is."""
    name = change.after if change.after == change.before else f"{change.after} (before: {change.before})"
    difference, pair = change.pair.difference, change.pair
    if change.score_before is None or change.score_after is None:
        return f"{name} cannot be compared: no row is finished on both sides."
    scores = f"{percent(change.score_before.estimate)} → {percent(change.score_after.estimate)}"
    certainty = corrected_chance(pair.p_holm, comparisons)
    figures = f"{scores} on {difference.rows:,} rows, {points_interval(difference.estimate, difference.low, difference.high)}"
    if not pair.separable:
        return f"{name} is not shown to have changed: {figures} ({certainty})."
    return f"{name} became {'better' if difference.estimate > 0 else 'worse'}: {figures} ({certainty})."


def _of_variant(change: VariantChange, score: ScoreChange, changes: RunChanges) -> Iterator[str]:
    yield headline(change, len(score.variants))
    if change.worse:
        fell = "went from right to wrong" if score.binary else "scored lower"
        yield f"{_rows(len(change.worse))} {fell}: {some_rows(change.worse)}."
    if change.better:
        rose = "went from wrong to right" if score.binary else "scored higher"
        yield f"{_rows(len(change.better))} {rose}: {some_rows(change.better)}."
    pair = change.pair
    if not pair.separable and 0 < pair.difference.rows < pair.rows_for_gap:
        yield f"A change of 2 pt would need {about(pair.rows_for_gap)} rows to be seen."
    for ids, side in ((change.only_before, changes.before), (change.only_after, changes.after)):
        if ids:
            shown = ", ".join(ids[:MOST_ROWS]) + (f" and {len(ids) - MOST_ROWS:,} more" if len(ids) > MOST_ROWS else "")
            yield f"{_rows(len(ids))} {'is' if len(ids) == 1 else 'are'} finished in {side} only, and in no figure: {shown}."


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
