"""promptmill calibrate: label some answers, and see whether a judge agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.cli.console import print_info, styled, table, write_document, write_text
from batch.cli.keys import KeyReader, keyboard
from batch.cli.options import directory_argument, json_option
from batch.policy.terminal import one_line, visible

if TYPE_CHECKING:
    from batch.app.calibrate import Labelling
    from batch.evaluation.grading.calibration import Calibration
    from batch.evaluation.grading.labels import Label, Unlabelled

_OTHERS = ("s", "u", "q")
_PAIR_KEYS: Mapping[str, Label] = {"a": "first", "t": "tie", "b": "second"}


@click.command("calibrate")
@directory_argument
@click.option("--score", metavar="NAME", help="The judged score.  [default: the only one]")
@click.option("--rows", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="How many answers to label.")
@click.option("--job", "job", metavar="JOB.toml", help="Take [[score]] from this file, not from the run's own job.")
@click.option("--write-labels", metavar="FILE.csv", help="Write the sample and its labels as CSV, to be filled in elsewhere; ask nothing.")
@click.option("--read-labels", metavar="FILE.csv", help="Take the labels of such a file; ask nothing.")
@click.option("--rater", metavar="NAME", default="", help="The name of the person who labels, if there are several.")
@json_option
def calibrate_command(
    directory: str, score: str | None, rows: int, job: str | None, as_json: bool, rater: str, **files: str | None
) -> None:
    """Label answers yourself, and see whether the judge agrees with you.

    Shows a random sample of judged answers, without the judge's verdict and without the names of
    the models, and asks for your label: one key each. Stop at any time; the same command continues.
    Then prints Cohen's kappa between you and the judge: 1 is full agreement, 0 is agreement by
    chance. With --json it asks nothing and writes the agreement so far.
    Several people can label, each with their own --rater, or in CSV files. Their agreement is
    Krippendorff's alpha, and the judge is compared with their median label.

    \b
    Examples:
      promptmill calibrate runs/tickets --score helpful --rows 30
      promptmill calibrate runs/tickets --score helpful --json
    """
    from batch.app.calibrate import open_labelling

    labelling = open_labelling(directory, score, rows, Path(job) if job else None)
    if any(files.values()):
        _exchange(labelling, files, rater)
    elif not as_json:
        _label(labelling, rater)
    if as_json:
        write_document(_as_json(labelling.result))
        return
    write_text(_summary(labelling.result))


def _exchange(labelling: Labelling, files: Mapping[str, str | None], rater: str) -> None:
    """Read labels from a CSV file, then write them to one, as far as each is named."""
    from batch.evaluation.grading.label_files import read_labels, write_labels

    if source := files["read_labels"]:
        count = read_labels(Path(source), labelling.settings, labelling.sample, labelling.labels, rater)
        print_info(f"promptmill: {count:,} labels taken from {source}")
    if target := files["write_labels"]:
        count = write_labels(Path(target), labelling.sample, labelling.labels)
        print_info(f"promptmill: {count:,} lines in {target}; fill in the column label, then: --read-labels {target}")


def _label(labelling: Labelling, rater: str) -> None:
    """Ask for the missing labels until all are given, or until the person stops."""
    from batch.evaluation.grading.calibration import as_judged

    meanings = _labels_by_key(labelling)
    sample, labels = labelling.sample, labelling.labels
    todo = [item for item in sample if rater not in labels.by_rater(item.key)]
    if not todo:
        return
    print_info(_instructions(labelling, meanings))
    at = 0
    with keyboard([*meanings, *_OTHERS]) as keys:
        while at < len(todo):
            print_info(_shown(todo[at], at, len(todo)), data=True)
            pressed = _press(keys, [*meanings, *_OTHERS])
            if pressed == "q":
                return
            if pressed == "u":
                at = max(0, at - 1)
                continue
            if pressed != "s":
                labels.add(todo[at], as_judged(todo[at], meanings[pressed]), rater)
            at += 1


def _labels_by_key(labelling: Labelling) -> Mapping[str, Label]:
    from batch.evaluation.grading.calibration import labels_of

    if labelling.settings.kind == "pairwise":
        return _PAIR_KEYS
    return {str(step): step for step in labels_of(labelling.settings)}


def _press(keys: KeyReader, known: Sequence[str]) -> str:
    """Wait for one of the `known` keys; the end of the input means stop."""
    while True:
        pressed = keys.read()
        if pressed is None:
            return "q"
        if pressed in known:
            print_info(f"> {pressed}")
            return pressed
        if pressed:
            print_info(f"> {one_line(pressed)}? one of {', '.join(known)}")


def _instructions(labelling: Labelling, keys: Mapping[str, Label]) -> str:
    judge = labelling.settings.judge
    lines = [f"promptmill: {labelling.settings.name}: label what {judge.model if judge else 'the judge'} judged; its verdicts are hidden"]
    if judge is not None and judge.rubric:
        lines.append(visible(judge.rubric))
    lines += [f"  {key}  {one_line(meaning)}" for key, meaning in _meanings(labelling, keys)]
    return "\n".join([*lines, "  s  skip   u  go back one   q  stop; the same command continues"])


def _meanings(labelling: Labelling, keys: Mapping[str, Label]) -> list[tuple[str, str]]:
    from batch.evaluation.grading.judge_chats import DEFAULT_SCALE

    if labelling.settings.kind == "pairwise":
        return [("a", "A is better"), ("t", "tie"), ("b", "B is better")]
    judge = labelling.settings.judge
    scale = (judge.scale if judge else None) or DEFAULT_SCALE
    return [(key, scale[int(step)]) for key, step in keys.items()]


def _shown(item: Unlabelled, at: int, of: int) -> str:
    parts = [("question", item.question)]
    if item.expected is not None:
        parts.append(("right answer", item.expected))
    names = ("answer",) if len(item.texts) == 1 else ("answer A", "answer B")
    parts += zip(names, item.texts, strict=True)
    texts = "\n".join(f"{styled(name, 'bold')}\n{visible(text)}" for name, text in parts)
    return f"\n{styled(f'{at + 1} of {of} · row {one_line(item.row_id)}', 'dim')}\n{texts}"


def _summary(result: Calibration) -> str:
    """Describe the agreement, with the table of labels."""
    head = f"{result.score}: {result.judge} against {result.labelled:,} labels"
    if result.agreement is None:
        return f"{head}: nothing is labelled yet"
    agreement = result.agreement
    weighted = " (weighted by squares)" if result.weights == "quadratic" else ""
    kappa = (
        "undefined: all labels are the same"
        if agreement.kappa is None
        else f"{agreement.kappa:z.2f} [{agreement.low:z.2f}, {agreement.high:z.2f}]"
    )
    lines = [
        styled(one_line(head), "underline"),
        styled(f"Cohen's kappa{weighted} {kappa}; the same label for {100 * agreement.agreed:z.1f} %", "bold"),
    ]
    if len({its for _, its in result.table}) == 1:
        lines.append("the judge gave all of them one label, so chance alone explains the agreement")
    if result.alpha is not None:
        names = ", ".join(name or "(no name)" for name in result.raters)
        lines.append(one_line(f"the raters {names} among themselves: Krippendorff's alpha {result.alpha:z.2f}"))
    if result.labelled < result.sampled:
        lines.append(f"{result.sampled - result.labelled:,} of the sample of {result.sampled:,} are not labelled")
    return "\n".join([*lines, "", *_counts(result)])


def _counts(result: Calibration) -> Sequence[str]:
    names = [str(label) for label in result.labels]
    rows = [["you \\ judge", *names]]
    rows += [[str(mine), *(f"{result.table.get((mine, its), 0):,}" for its in result.labels)] for mine in result.labels]
    return table(rows).splitlines()


def _as_json(result: Calibration) -> dict[str, Any]:
    counts = [{"person": mine, "judge": its, "count": count} for (mine, its), count in sorted(result.table.items(), key=str)]
    known = {key: value for key, value in asdict(result).items() if key not in {"table", "agreement"}}
    return {**known, "agreement": asdict(result.agreement) if result.agreement else None, "table": counts}
