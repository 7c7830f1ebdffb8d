"""Write labels as CSV for people to fill in with a spreadsheet, and read them back, of one rater or several."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from batch.errors import InputError
from batch.evaluation.grading.calibration import as_judged, labels_of
from batch.evaluation.grading.labels import Label, Labels, Unlabelled
from batch.settings import ScoreSettings
from batch.storage import replace_atomically

COLUMNS = ("key", "id", "question", "right answer", "answer", "answer B", "label", "rater")
_IN_PAIRS: Mapping[str, Label] = {"a": "first", "b": "second", "tie": "tie"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_labels(path: Path, sample: Sequence[Unlabelled], labels: Labels) -> int:
    """Write the sample: a line for each rater's label, and one with an empty label for an unlabelled item. Return the number of lines.

    The answers are as shown to a person, without the names of models. Raises StorageError.
    """
    lines = [line for item in sample for line in _lines(item, labels)]
    with replace_atomically(path) as file:
        for line in [dict(zip(COLUMNS, COLUMNS, strict=True)), *lines]:
            file.write(_csv_line([line[name] for name in COLUMNS]))
    return len(lines)


def _lines(item: Unlabelled, labels: Labels) -> Iterator[dict[str, str]]:
    shown = {"key": item.key, "id": item.row_id, "question": item.question, "right answer": item.expected or ""}
    shown |= {"answer": item.texts[0], "answer B": item.texts[1] if len(item.texts) == 2 else ""}
    for rater, label in labels.by_rater(item.key).items() or [("", None)]:
        yield {**shown, "label": _label_text(item, label), "rater": rater}


def _label_text(item: Unlabelled, label: Label | None) -> str:
    if label is None:
        return ""
    names = {"first": "A", "second": "B"}
    return names.get(str(as_judged(item, label)), str(label))


def _csv_line(values: Sequence[str]) -> bytes:
    # An answer is foreign text: a spreadsheet must not run it as a formula. Keys and labels cannot begin so.
    guarded = [f"'{value}" if value.startswith(_FORMULA) and at not in {0, 6} else value for at, value in enumerate(values)]
    return (",".join('"' + value.replace('"', '""') + '"' for value in guarded) + "\r\n").encode("utf-8", "replace")


def read_labels(path: Path, settings: ScoreSettings, sample: Sequence[Unlabelled], labels: Labels, rater: str) -> int:
    """Keep the labels in a CSV file with the columns key and label, and rater where several people labelled; return their number.

    Lines without a label are skipped. `rater` is the rater of lines without one. Nothing is kept when a line is wrong.

    Raises:
        InputError: the file cannot be read or has other columns, a key is not in the sample, or a label is not on the scale.
    """
    items = {item.key: item for item in sample}
    found = [(items.get(key), key, text, name or rater, at) for key, text, name, at in _read(path)]
    kept = []
    for item, key, text, name, at in found:
        if item is None:
            raise InputError(f"{path}:{at}: the key {key[:40]!r} is not in the sample; use the same --rows as when it was written")
        label = _label(text, settings)
        if label is None:
            known = "A, B or tie" if settings.kind == "pairwise" else ", ".join(map(str, labels_of(settings)))
            raise InputError(f"{path}:{at}: {text[:40]!r} is no label; it must be {known}")
        kept.append((item, as_judged(item, label), name))
    for item, label, name in kept:
        if labels.by_rater(item.key).get(name) != label:
            labels.add(item, label, name)
    return len(kept)


def _read(path: Path) -> Iterator[tuple[str, str, str, int]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"key", "label"} <= set(reader.fieldnames or ()):
                raise InputError(f"{path}: has no columns key and label; it has: {', '.join(reader.fieldnames or ()) or 'none'}")
            for line in reader:
                if text := (line["label"] or "").strip():
                    yield (line["key"] or "").strip(), text, (line.get("rater") or "").strip(), reader.line_num
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not CSV in UTF-8: {error}") from error


def _label(text: str, settings: ScoreSettings) -> Label | None:
    if settings.kind == "pairwise":
        return _IN_PAIRS.get(text.lower())
    try:
        # Spreadsheets write whole numbers as 4.0 too.
        step = float(text)
    except ValueError:
        return None
    return int(step) if step in labels_of(settings) else None
