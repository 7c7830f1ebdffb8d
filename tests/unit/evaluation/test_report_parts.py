"""Parts of the report: what was evaluated, histograms, and figures with their confusion matrix."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np

from batch.evaluation.figures.figure import ConfusionCell, Figure, VariantFigures
from batch.evaluation.report.evaluated import evaluated_html
from batch.evaluation.report.figures import figures_html
from batch.evaluation.report.histograms import score_histograms
from batch.evaluation.report.names import VariantLetters
from batch.evaluation.table import ScoreTable, State
from batch.settings import ScoreSettings
from tests.support.runs import ReportedRun


def test_what_was_evaluated_names_no_secret(tmp_path: Path) -> None:
    """Data, endpoints and scores are named; user, password and query of a URL are not."""
    run = ReportedRun(tmp_path, [{"text": "a", "label": "b"}], {"v": ["b"]}).make()
    provider = replace(run.job.variants[0].provider, base_url="https://me:secret@x.test/v1?key=hidden")
    job = replace(
        run.job,
        variants=(replace(run.job.variants[0], provider=provider),),
        input=replace(run.job.input, where="lang == 'de'", sample=10, paths=("s3://bucket/rows.jsonl",)),
    )
    html = evaluated_html(job, [ScoreSettings(name="n", kind="number", expected="label", options={"tolerance": 1})], VariantLetters(("v",)))
    text = unescape(re.sub(r"<[^>]+>", " ", html))
    for word in (
        "s3://bucket/rows.jsonl",
        "where lang == 'de', a sample of 10 (seed 0)",
        "x.test/v1",
        "number against label; tolerance = 1",
    ):
        assert word in text
    assert "secret" not in text
    assert "hidden" not in text


def test_graded_scores_have_histograms_and_right_or_wrong_ones_have_none() -> None:
    """Each variant has its own chart on one scale, which says in words what it shows."""
    values = np.array([[[0.1], [0.12], [0.9], [np.nan]]])
    states = np.where(np.isnan(values), State.UNSCORED, State.SCORED).astype(np.uint8)
    table = ScoreTable("s", False, ("v",), tuple("abcd"), None, values, states)
    html = score_histograms(table, VariantLetters(("v",)))
    assert html.count("<rect") == 2
    assert "0.10 to 0.15: 2 of 3" in html
    assert "3 answers, half of them up to 0.15" in html
    right = ScoreTable("s", True, ("v",), tuple("ab"), None, np.array([[[0.0], [1.0]]]), np.full((1, 2, 1), State.SCORED, dtype=np.uint8))
    assert score_histograms(right, VariantLetters(("v",))) == ""


def test_cells_of_a_confusion_matrix_carry_their_filter() -> None:
    """A label is text whatever it holds, and each count filters by variant, right label and given label."""
    odd = '<b>"x"'
    cells = (ConfusionCell("a", odd, 3, ("r1",)), ConfusionCell("a", None, 1, ("r2",)))
    found = VariantFigures("v", (Figure("accuracy", 0.25, 0.1, 0.4), Figure("mine", None, share=False, note="raised <oops>")), cells)
    html = figures_html([found], VariantLetters(("v",)))
    assert "<b>" not in html
    assert "raised &lt;oops&gt;" in html
    filters = [json.loads(unescape(one)) for one in re.findall(r'data-filter="([^"]*)"', html)]
    assert {"variant": "v", "expected": "a", "given": odd} in filters
    assert {"variant": "v", "expected": "a", "given": ""} in filters
