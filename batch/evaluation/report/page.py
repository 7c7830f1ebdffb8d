"""Put the page together: static files of this package, the report's own markup, and the packed data."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, BinaryIO

from batch._version import __version__
from batch.evaluation.gates import GateResult
from batch.evaluation.parquet import ScoresReader
from batch.evaluation.reading import ScoreResult, VariantStats
from batch.evaluation.report.chunks import ChunkWriter, data_element
from batch.evaluation.report.details import calls_html, charts_html, failures_html, pairs_html, slices_html
from batch.evaluation.report.effects import effects_html
from batch.evaluation.report.evaluated import evaluated_html
from batch.evaluation.report.figures import figures_html
from batch.evaluation.report.formatting import longest_text
from batch.evaluation.report.histograms import latency_histograms, score_histograms
from batch.evaluation.report.markup import Markup, joined, tag
from batch.evaluation.report.names import VariantLetters
from batch.evaluation.report.samples import MOST_TASKS, Samples, write_samples
from batch.evaluation.report.summary import headline_html, leaderboard_html, sentences_html
from batch.evaluation.scoring import scores_path
from batch.evaluation.verdict import ScoreVerdict
from batch.journal.segments import segment_paths
from batch.results.join import Result, results
from batch.results.run_timeline import timeline_of
from batch.rundir.stored_run import StoredRun
from batch.settings import Job
from batch.storage import replace_atomically
from batch.writers.values import json_bytes

SHARED_SCRIPTS = ("element.js", "theme.js", "timeline.js")
SCRIPTS = (*SHARED_SCRIPTS, "chunks.js", "filters.js", "list.js", "views.js", "diff.js", "detail.js", "tables.js", "export.js", "page.js")
_TEXTS = "<!-- texts -->"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The content of a report: the scores with their verdicts, the gates, and the stats of the variants.

    `folder` has the scores' files. `timeline` has the run over time, where there is one run.
    """

    scores: Sequence[tuple[ScoreResult, ScoreVerdict]]
    gates: Sequence[GateResult]
    stats: Sequence[VariantStats]
    folder: Path
    timeline: Mapping[str, Any] | None = None


def write_report(run: StoredRun, evaluated: Evaluated, now: datetime) -> Path:
    """Write the run's `report.html` atomically, and return its path. Texts are buffered in a temporary file of the run directory.

    Raises:
        InputError: the input cannot be read.
        DamagedError: a journal is not as it was written.
        StorageError: the disk refuses.
    """
    path = run.directory.path / "report.html"
    stored = sum(each.stat().st_size for variant in run.job.variants for each in segment_paths(run.directory.journal_dir(variant.slug)))
    write_page(path, run.job, results(run), stored, replace(evaluated, timeline=timeline_of(run)), now)
    return path


def write_page(path: Path, job: Job, found: Iterable[Result], stored: int, evaluated: Evaluated, now: datetime) -> None:
    """Write a report to `path` from the results `found`, whose texts take about `stored` bytes. Raises as `write_report`."""
    # In the report's folder, whose disk has room for it; /tmp may be in memory.
    with tempfile.TemporaryFile(dir=path.parent) as texts:
        samples = _write_texts(job, found, stored, evaluated, texts)
        texts.seek(0)
        with replace_atomically(path) as file:
            before, after = _page(job, evaluated, samples, now)
            file.write(before)
            shutil.copyfileobj(texts, file)
            file.write(after)


def _write_texts(job: Job, found: Iterable[Result], stored: int, evaluated: Evaluated, texts: BinaryIO) -> Samples:
    scores = [judged.settings for judged, _ in evaluated.scores]
    tasks = sum(stats.tasks for stats in evaluated.stats)
    return write_samples(
        found,
        job,
        scores,
        [ScoresReader(scores_path(evaluated.folder, score)) for score in scores],
        ChunkWriter(texts),
        longest=longest_text(stored, tasks),
        every=-(-tasks // MOST_TASKS) or 1,
    )


def _page(job: Job, evaluated: Evaluated, samples: Samples, now: datetime) -> tuple[bytes, bytes]:
    """Return the page before and after the texts."""
    style, script = static("page.css"), _script()
    before, _, after = static("page.html").partition(_TEXTS)
    filled = Template(before).substitute(
        policy=policy(style, script),
        version=__version__,
        title=joined(job.name),
        subtitle=_subtitle(job, samples, evaluated.gates, now),
        style=style,
        script=script,
        body=_body(job, evaluated, samples),
        samples_note=_samples_note(samples),
        time_link=tag("a", "Over time", href="#time") if _has_times(evaluated.timeline) else Markup(),
        index=(data_element("index", json_bytes(samples.index)) + _over_time_data(evaluated.timeline)).decode(),
    )
    return filled.encode(), after.encode()


def policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy of a page: only this style and script may run, and no text may become markup."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; connect-src 'none'; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _script() -> str:
    """Join all scripts in one function, so that their names stay private."""
    return '"use strict";\n(() => {\n' + "\n".join(map(static, SCRIPTS)) + "\n})();"


def static(name: str) -> str:
    """Read a file of the page."""
    return files("batch.evaluation.report").joinpath("page", name).read_text("utf-8")


def _subtitle(job: Job, samples: Samples, gates: Sequence[GateResult], now: datetime) -> Markup:
    variants = f"{len(job.variants):,} {'variant' if len(job.variants) == 1 else 'variants'}"
    repeats = f", each asked {job.run.repeats} times" if job.run.repeats > 1 else ""
    described = f"{variants} × {samples.rows:,} rows{repeats} · {now:%Y-%m-%d %H:%M} UTC · promptmill {__version__}"
    failed = sum(not gate.passed for gate in gates)
    if not gates:
        return joined(described)
    word = f"{failed} of {len(gates)} gates failed" if failed else "all gates passed"
    return joined(described, " · ", tag("strong", word, class_="refused" if failed else "passed"))


def _samples_note(samples: Samples) -> Markup:
    if samples.shown == samples.rows:
        return Markup()
    every = -(-samples.rows // samples.shown)
    return tag(
        "p", f"Every {every}th row is here: {samples.shown:,} of {samples.rows:,}. All figures above are of all rows.", class_="note"
    )


def _body(job: Job, evaluated: Evaluated, samples: Samples) -> Markup:
    keys = VariantLetters(tuple(variant.name for variant in job.variants))
    stats: Mapping[str, VariantStats] = {one.variant: one for one in evaluated.stats}
    sections = [_score(at, judged, verdict, evaluated.gates, stats, keys) for at, (judged, verdict) in enumerate(evaluated.scores)]
    took = latency_histograms(evaluated.folder, keys) if evaluated.scores else None
    calls = tag("section", calls_html(samples.calls, stats, keys), took, failures_html(samples.failures, keys), id="calls")
    about = evaluated_html(job, [judged.settings for judged, _ in evaluated.scores], keys)
    return joined(about, _tabs(evaluated), tag("div", sections or _unscored(), id="scores"), calls, _over_time(evaluated.timeline))


def _over_time(timeline: Mapping[str, Any] | None) -> Markup:
    """Make room for the charts over time; nothing for answers without times."""
    if not _has_times(timeline):
        return Markup()
    return tag("section", tag("h2", "Over time"), tag("div", "", id="over-time", class_="time-charts"), id="time")


def _over_time_data(timeline: Mapping[str, Any] | None) -> bytes:
    return data_element("over-time-data", json_bytes(timeline)) if _has_times(timeline) else b""


def _has_times(timeline: Mapping[str, Any] | None) -> bool:
    return timeline is not None and bool(timeline["start"])


def _tabs(evaluated: Evaluated) -> Markup:
    """Make the buttons that choose a score, if there are several. Without script, and in print, all scores are visible."""
    if len(evaluated.scores) < 2:
        return Markup()
    names = [
        tag("button", judged.settings.name, type="button", role="tab", id=f"tab-{at}", aria_controls=f"score-{at}", data_score=at)
        for at, (judged, _) in enumerate(evaluated.scores)
    ]
    return tag("div", names, role="tablist", aria_label="Scores", id="tabs")


def _unscored() -> Markup:
    return tag("p", "This run has no scores: its job has no [[score]]. Counts, errors and samples are below.", class_="note")


def _score(
    at: int,
    judged: ScoreResult,
    verdict: ScoreVerdict,
    gates: Sequence[GateResult],
    stats: Mapping[str, VariantStats],
    keys: VariantLetters,
) -> Markup:
    findings = verdict.findings
    clusters = f", in {findings.clusters:,} clusters by {judged.settings.cluster}" if findings.clusters is not None else ""
    by = f" by {judged.asked.model}" if judged.asked is not None else ""
    note = f"; {judged.asked.note}" if judged.asked is not None and judged.asked.note is not None else ""
    described = f"{judged.settings.kind}{by}, {findings.rows:,} rows{clusters}{note}"
    return tag(
        "section",
        tag("h2", judged.settings.name, " ", tag("small", described)),
        headline_html(verdict, [gate for gate in gates if gate.settings.score == judged.settings.name], keys),
        tag("h3", "Leaderboard"),
        leaderboard_html(findings, stats, keys),
        sentences_html(verdict, judged, keys),
        figures_html(judged.figures, keys),
        score_histograms(judged.table, keys),
        effects_html(verdict.effects),
        pairs_html(findings, keys),
        charts_html(findings, stats, keys),
        slices_html(findings, keys),
        class_="score",
        id=f"score-{at}",
        data_score=at,
    )
