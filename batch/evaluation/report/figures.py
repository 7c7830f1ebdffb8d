"""Show figures of all answers: averages, figures by label, and confusion matrices whose cells link to their samples."""

from __future__ import annotations

import json
from collections.abc import Sequence

from batch.evaluation.figures.figure import PER_LABEL, ConfusionCell, Figure, VariantFigures
from batch.evaluation.report.formatting import table, typeset
from batch.evaluation.report.markup import Content, Markup, joined, tag
from batch.evaluation.report.names import VariantLetters

MOST_LABELS = 40
NO_LABEL = ""
"""What stands for an answer without a label in the page's filters."""


def figures_html(found: Sequence[VariantFigures], keys: VariantLetters) -> Markup:
    """Show the figures of a score; empty where it has none."""
    if not found:
        return Markup()
    note = "In brackets the 95 % interval, by bootstrap over the rows (whole clusters, where rows belong together)."
    return joined(tag("h3", "Figures of all answers"), tag("p", note, class_="note"), _averages(found, keys), _labels(found, keys))


def _averages(found: Sequence[VariantFigures], keys: VariantLetters) -> Markup:
    names = list(dict.fromkeys((one.name, one.of) for each in found for one in each.figures if not one.is_of_label))
    columns = [{(one.name, one.of): one for one in each.figures} for each in found]
    rows: list[Sequence[Content]] = [
        [f"{name} over {of}" if of else name, *(_cell(figures.get((name, of))) for figures in columns)] for name, of in names
    ]
    return table("Figures of all answers", ["Figure", *(keys.badge(each.variant) for each in found)], rows, class_="figures values")


def _labels(found: Sequence[VariantFigures], keys: VariantLetters) -> Markup:
    parts: list[Markup] = []
    for each in found:
        of_labels = [one for one in each.figures if one.is_of_label]
        if not of_labels and not each.confusion:
            continue
        content = joined(_by_label(of_labels), _matrix(each))
        parts.append(tag("details", tag("summary", keys.named(each.variant)), content, class_="of-variant", open=not parts))
    return joined(tag("h4", "By label"), parts) if parts else Markup()


def _by_label(figures: Sequence[Figure]) -> Markup:
    labels = list(dict.fromkeys(one.of for one in figures if one.of is not None))
    known = {(one.of, one.name): one for one in figures}
    rows: list[Sequence[Content]] = [
        [label, f"{known[label, 'recall'].rows:,}", *(_cell(known.get((label, name))) for name in PER_LABEL)] for label in labels
    ]
    return table("Figures by label", ["Label", "Rows", "Precision", "Recall", "F1"], rows, class_="figures") if rows else Markup()


def _matrix(each: VariantFigures) -> Markup:
    cells = {(cell.expected, cell.given): cell for cell in each.confusion}
    labels = sorted({expected for expected, _ in cells})
    given = [*labels, *sorted({name for _, name in cells if name is not None} - set(labels))]
    if not cells or len(given) > MOST_LABELS:
        return tag("p", f"{len(given):,} labels: the matrix is in promptmill compare --json.", class_="note") if cells else Markup()
    columns = [*given, *([None] if any(name is None for _, name in cells) else [])]
    most = max(cell.count for cell in cells.values())
    rows: list[Sequence[Content]] = [
        [label, *(_count(cells.get((label, name)), each.variant, most) for name in columns)] for label in labels
    ]
    head: list[Content] = ["Right \\ given", *(tag("span", name) if name is not None else tag("em", "no label") for name in columns)]
    note = tag("p", "Rows by their right label and the label that was given. Counts lead to their samples.", class_="note")
    return joined(note, table("Confusion matrix", head, rows, class_="figures confusion"))


def _count(cell: ConfusionCell | None, variant: str, most: int) -> Content:
    if cell is None:
        return tag("span", "·", class_="quiet")
    share = "strong" if cell.count * 4 >= most else "weak"
    class_ = f"show {share} {'ahead' if cell.expected == cell.given else 'behind'}"
    filters = {"variant": variant, "expected": cell.expected, "given": NO_LABEL if cell.given is None else cell.given}
    title = f"show the {cell.count:,} rows of {cell.expected} that were given {cell.given or 'no label'}"
    return tag("button", f"{cell.count:,}", type="button", class_=class_, title=title, data_filter=json.dumps(filters))


def _cell(figure: Figure | None) -> Content:
    if figure is None:
        return "–"
    if figure.value is None:
        return tag("span", figure.note or "–", class_="quiet")
    value, limits = typeset(figure.value_text), typeset(figure.limits_text)
    return joined(value, " ", tag("span", limits, class_="quiet")) if limits else value
