"""Figures of all answers as text for the terminal: averages, figures by label, and the confusion matrix. Nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from batch.cli.columns import Column, table, total_width
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.evaluation.figures.figure import Figure, VariantFigures
    from batch.evaluation.reading import ScoreResult

MOST_LABEL_ROWS = 40
MOST_MATRICES, MOST_LABELS = 4, 12
_LONGEST_LABEL = 28
_DASH = "-"


def figure_lines(judged: ScoreResult, width: int, letters: Mapping[str, str], *, whole: bool) -> list[str]:
    """Format the figures of a score: the averages and, where the `whole` is asked for, those of labels and the confusion matrices."""
    found = judged.figures
    if not found:
        return []
    lines = ["", *_averages(found, width, letters)]
    if whole:
        lines += [*_of_labels(found, width, letters), *_matrices(found, width, letters)]
    return lines


def _averages(found: Sequence[VariantFigures], width: int, letters: Mapping[str, str]) -> Iterator[str]:
    names = list(dict.fromkeys((figure.name, figure.of) for each in found for figure in each.figures if not figure.is_of_label))
    by_variant = [{(figure.name, figure.of): figure for figure in each.figures} for each in found]
    columns = [
        Column(letters.get(each.variant, "value"), tuple(_shown(figures.get(name)) for name in names))
        for each, figures in zip(found, by_variant, strict=True)
    ]
    yield from _in_parts("95 % by bootstrap", [f"{name} over {of}" if of else name for name, of in names], columns, width)
    for each in found:
        for figure in each.figures:
            if figure.note is not None:
                yield one_line(f"{each.variant}: {figure.name}: {figure.note}")


def _of_labels(found: Sequence[VariantFigures], width: int, letters: Mapping[str, str]) -> Iterator[str]:
    from batch.evaluation.figures.figure import PER_LABEL

    labels = list(dict.fromkeys(figure.of for each in found for figure in each.figures if figure.is_of_label and figure.of))
    if not labels:
        return
    if len(labels) * len(found) > MOST_LABEL_ROWS:
        yield f"figures of {len(labels):,} labels: --json and the report have them"
        return
    for each in found:
        figures = {(figure.of, figure.name): figure for figure in each.figures}
        columns = [Column("rows", tuple(f"{figures[label, 'recall'].rows:,}" for label in labels))]
        columns += [Column(name, tuple(_shown(figures.get((label, name))) for label in labels)) for name in PER_LABEL]
        yield ""
        yield from _in_parts(_titled("label", each, letters), labels, columns, width)


def _matrices(found: Sequence[VariantFigures], width: int, letters: Mapping[str, str]) -> Iterator[str]:
    with_labels = [each for each in found if each.confusion]
    for each in with_labels[:MOST_MATRICES]:
        cells = {(cell.expected, cell.given): cell.count for cell in each.confusion}
        labels = sorted({expected for expected, _ in cells})
        given = [*labels, *sorted({given for _, given in cells if given is not None} - set(labels)), None]
        if len(given) > MOST_LABELS:
            yield f"a confusion matrix of {len(given) - 1:,} labels: --json and the report have it"
            return
        shown = [one for one in given if one is not None or any((label, None) in cells for label in labels)]
        columns = [Column(_short(one or "(none)"), tuple(str(cells.get((label, one)) or ".") for label in labels)) for one in shown]
        yield ""
        yield from _in_parts(_titled("right \\ given", each, letters), labels, columns, width)
    if len(with_labels) > MOST_MATRICES:
        yield f"confusion matrices of {len(with_labels) - MOST_MATRICES:,} more models: --json and the report have them"


def _in_parts(label: str, names: Sequence[str], columns: Sequence[Column], width: int) -> Iterator[str]:
    """One table, or several below each other where one would be too wide."""
    heads = [_short(name) for name in names]
    indent = max(map(len, [label, *heads]))
    part: list[Column] = []
    for column in columns:
        if part and indent + total_width([*part, column]) > width:
            yield from table(label, heads, part, width)
            part = []
        part.append(column)
    if part:
        yield from table(label, heads, part, width)


def _titled(what: str, each: VariantFigures, letters: Mapping[str, str]) -> str:
    return f"{letters[each.variant]}: {what}" if each.variant in letters else what


def _short(label: str) -> str:
    return one_line(label) if len(label) <= _LONGEST_LABEL else f"{one_line(label)[: _LONGEST_LABEL - 3]}..."


def _shown(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return _DASH
    return f"{figure.value_text} {figure.limits_text}".rstrip()
