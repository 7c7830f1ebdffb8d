"""promptmill history: the scores of several runs over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from batch.cli.console import print_info, styled, terminal_width, write_document, write_text
from batch.cli.options import files, json_option, scores_job_option
from batch.policy.terminal import one_line

if TYPE_CHECKING:
    from batch.app.history import HistoryPoint


@click.command("history")
@click.argument("targets", metavar="DIR...", nargs=-1, required=True, shell_complete=files)
@scores_job_option
@click.option("--svg", metavar="FILE.svg", help="Draw the history, a panel for each score.")
@json_option
def history_command(targets: tuple[str, ...], job: str | None, svg: str | None, as_json: bool) -> None:
    """Show the scores of several runs over time.

    Each DIR is a run directory, or a folder of run directories. All are scored as the newest run
    that has scores, and listed oldest first. Each model is compared row by row with the last
    earlier run that has it. Nothing is sent.

    \b
    Examples:
      promptmill history runs/
      promptmill history runs/monday runs/tuesday --svg history.svg
    """
    from batch.app.history import history

    points = history(targets, Path(job) if job else None)
    if as_json:
        write_document({"points": [asdict(point) for point in points]})
    else:
        write_text("\n\n".join(_shown(score, points, terminal_width()) for score in dict.fromkeys(point.score for point in points)))
    if svg:
        _draw(points, Path(svg))
        print_info(f"promptmill: history drawn in {svg}")


def _shown(score: str, points: Sequence[HistoryPoint], width: int) -> str:
    from batch.cli.columns import Column, table
    from batch.evaluation.formatting import percent, percent_limits

    own = [point for point in points if point.score == score]
    scores = [point.strict for point in own]
    changes = [point.change if point.change is not None and point.change.pair.difference.rows else None for point in own]
    columns = [
        Column("date", tuple(point.created[:10] for point in own), spare=2, left=True),
        Column("score", tuple("-" if one is None else percent(one.estimate) for one in scores)),
        Column("95 % interval", tuple("-" if one is None else percent_limits(one.low, one.high) for one in scores), left=True),
        Column("change", tuple("-" if one is None else f"{100 * one.pair.difference.estimate:+z.1f} pt" for one in changes)),
        Column("p", tuple("-" if one is None else "< 0.001" if one.pair.p < 0.001 else f"{one.pair.p:z.3f}" for one in changes)),
        Column("worse", tuple("-" if one is None else f"{len(one.worse):,}" for one in changes), spare=1),
        Column("better", tuple("-" if one is None else f"{len(one.better):,}" for one in changes), spare=1),
    ]
    several = len({point.variant for point in own}) > 1
    names = [f"{point.run}: {point.variant}" if several else point.run for point in own]
    label = "run: model" if several else f"run of {own[0].variant}"
    return "\n".join([styled(one_line(score), "underline"), *table(one_line(label), names, columns, width)])


def _draw(points: Sequence[HistoryPoint], path: Path) -> None:
    from batch.evaluation.two_runs.picture import Line, Panel, history_svg
    from batch.storage import replace_atomically

    runs = list(dict.fromkeys(point.run for point in points))
    panels = []
    for score in dict.fromkeys(point.score for point in points):
        own = [point for point in points if point.score == score]
        lines = [
            Line(name, tuple((runs.index(each.run), each.strict) for each in own if each.variant == name and each.strict is not None))
            for name in dict.fromkeys(point.variant for point in own)
        ]
        panels.append(Panel(score, tuple(lines)))
    with replace_atomically(path) as file:
        file.write(history_svg([PurePath(run).name for run in runs], panels).encode())
