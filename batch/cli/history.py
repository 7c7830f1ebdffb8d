"""promptmill history: the scores of several runs over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from batch.cli.console import print_info, styled, table, terminal_width, write_json, write_text
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
        write_json([asdict(point) for point in points])
    else:
        write_text("\n\n".join(_shown(score, points, terminal_width()) for score in dict.fromkeys(point.score for point in points)))
    if svg:
        _draw(points, Path(svg))
        print_info(f"promptmill: history drawn in {svg}")


def _shown(score: str, points: Sequence[HistoryPoint], width: int) -> str:
    rows = [["run", "date", "model", "score", "95 % interval", "change", "p", "worse", "better"]]
    rows += [_row(point) for point in points if point.score == score]
    return f"{styled(one_line(score), 'underline')}\n{table(rows, width)}"


def _row(point: HistoryPoint) -> list[str]:
    from batch.evaluation.formatting import percent, percent_limits

    strict, change = point.strict, point.change
    score, limits = ("-", "-") if strict is None else (percent(strict.estimate), percent_limits(strict.low, strict.high))
    head = [point.run, point.created[:10], point.variant, score, limits]
    if change is None or not change.pair.difference.rows:
        return [*head, "-", "-", "-", "-"]
    p = "< 0.001" if change.pair.p < 0.001 else f"{change.pair.p:z.3f}"
    return [*head, f"{100 * change.pair.difference.estimate:+z.1f} pt", p, f"{len(change.worse):,}", f"{len(change.better):,}"]


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
