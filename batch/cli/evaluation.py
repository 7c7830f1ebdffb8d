"""The report of score and compare as JSON, and the exit code of gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.cli.console import print_error
from batch.cli.exits import ExitCode

if TYPE_CHECKING:
    from batch.app.evaluate import EvaluationReport
    from batch.evaluation.reading import ScoreResult
    from batch.settings import ScoreSettings, Variant


def end_by_gates(ctx: click.Context, report: EvaluationReport) -> None:
    """End with exit code 3 when a gate failed."""
    failed = report.failed_gate
    if failed is not None:
        print_error(f"gate failed: {failed.text}")
        ctx.exit(ExitCode.GATE)


def write_ci_files(report: EvaluationReport, options: Mapping[str, Any]) -> None:
    """Write the files of --junit and --markdown, as far as they are asked for. Raises StorageError."""
    from batch.cli.ci_files import write_junit, write_markdown

    if options["junit"]:
        write_junit(report, Path(options["junit"]))
    if options["markdown"]:
        write_markdown(report, Path(options["markdown"]))


def evaluation_json(report: EvaluationReport) -> dict[str, Any]:
    """Return the report as JSON objects."""
    return {
        "name": report.name,
        "scores": [
            {
                "name": comparison.judged.settings.name,
                "settings": _settings(comparison.judged.settings),
                **_asked(comparison.judged),
                "left_out": comparison.judged.left_out,
                "left_out_example": comparison.judged.left_out_example,
                "winner": comparison.verdict.winner,
                "verdict": [sentence.text for sentence in comparison.verdict.sentences],
                "findings": asdict(comparison.verdict.findings),
                "figures": [figures.document() for figures in comparison.judged.figures],
                "effects": [asdict(effect) for effect in comparison.verdict.effects],
            }
            for comparison in report.comparisons
        ],
        "variants": [asdict(stats) for stats in report.variants],
        "gates": [asdict(gate) for gate in report.gates],
        "scored_anew": report.fresh,
    }


def _asked(judged: ScoreResult) -> dict[str, Any]:
    """Return the statistics of the model that graded, under the key of its kind."""
    from batch.evaluation.grading.judge_stats import JudgeStats

    stats = judged.asked
    more = {"strengths": [asdict(one) for one in stats.strengths]} if isinstance(stats, JudgeStats) and stats.pairs else {}
    return more | {kind: stats.document() if stats is not None and stats.kind == kind else None for kind in ("judge", "embedder", "panel")}


def _settings(score: ScoreSettings) -> dict[str, Any]:
    """Return the settings of a score; of a provider only its name, since headers and query may be confidential."""
    known = asdict(replace(score, judge=None, embedder=None))
    if score.judge is not None:
        known["judge"] = {**asdict(score.judge), "variant": _model(score.judge.variant)}
    if score.embedder is not None:
        known["embedder"] = _model(score.embedder)
    return known


def _model(variant: Variant) -> dict[str, Any]:
    return {"model": variant.full_name, "parameters": dict(variant.parameters)}
