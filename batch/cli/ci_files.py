"""Scores and gates for CI systems: JUnit XML, and a summary in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from batch.storage import replace_atomically

if TYPE_CHECKING:
    from batch.app.compare_runs import TwoRuns
    from batch.app.evaluate import EvaluationReport
    from batch.evaluation.findings import Standing

# What XML 1.0 cannot hold, whichever way it is written (https://www.w3.org/TR/xml/#charsets).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Names of models and rows are foreign text: what begins markup in Markdown, or HTML within it, is taken literally.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&])")


def write_junit(report: EvaluationReport, path: Path) -> None:
    """Write a test case for each gate or, if the job has no gates, for each score and variant. Raises StorageError."""
    _write(path, "\n".join(_junit(report)) + "\n")


def write_markdown(report: EvaluationReport, path: Path) -> None:
    """Write gates, verdicts and leaderboards as Markdown, such as for a job summary. Raises StorageError."""
    _write(path, "\n".join(_markdown(report)) + "\n")


def write_changes_markdown(found: TwoRuns, path: Path) -> None:
    """Write the changes between two runs as Markdown. Raises StorageError."""
    _write(path, "\n".join(_changes(found)) + "\n")


def _write(path: Path, text: str) -> None:
    with replace_atomically(path) as file:
        file.write(text.encode("utf-8", "replace"))


def _junit(report: EvaluationReport) -> Iterator[str]:
    failed = sum(not gate.passed for gate in report.gates)
    cases = list(_cases(report))
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<testsuites name={_attribute(report.name)} tests={_attribute(len(cases))} failures={_attribute(failed)}>"
    yield f"<testsuite name={_attribute(report.name)} tests={_attribute(len(cases))} failures={_attribute(failed)} errors={_attribute(0)}>"
    yield from cases
    yield "</testsuite>"
    yield "</testsuites>"


def _cases(report: EvaluationReport) -> Iterator[str]:
    for gate in report.gates:
        settings = gate.settings
        bounds = {"min": settings.minimum, "max": settings.maximum, "worse rows": settings.worse_rows, "baseline": settings.baseline}
        shown = ", ".join(f"{key} {value}" for key, value in bounds.items() if value is not None)
        name = f"{gate.variant}: {settings.metric} ({shown})"
        opened = f"<testcase classname={_attribute(settings.score)} name={_attribute(name)}"
        if gate.passed:
            yield f"{opened}><system-out>{_text(gate.text)}</system-out></testcase>"
        else:
            yield f"{opened}><failure message={_attribute(gate.text)}/></testcase>"
    if report.gates:
        return
    for comparison in report.comparisons:
        for standing in comparison.verdict.findings.standings:
            said = f"score {_score(standing)}"
            opened = f"<testcase classname={_attribute(comparison.judged.settings.name)} name={_attribute(standing.variant)}"
            yield f"{opened}><system-out>{_text(said)}</system-out></testcase>"


def _attribute(value: object) -> str:
    return quoteattr(_NOT_XML.sub("�", str(value)))


def _text(value: str) -> str:
    return escape(_NOT_XML.sub("�", value))


def _markdown(report: EvaluationReport) -> Iterator[str]:
    yield f"## {_plain(report.name)}"
    if report.gates:
        yield ""
        yield from (f"- {'✅' if gate.passed else '❌'} {_plain(gate.text)}" for gate in report.gates)
    for comparison in report.comparisons:
        yield ""
        yield f"### {_plain(comparison.judged.settings.name)}"
        yield ""
        yield f"**{_plain(comparison.verdict.headline)}**"
        yield ""
        yield from _table(["model", "score", "scored", "failed", "unscored"], [_row(s) for s in comparison.verdict.findings.standings])
        others = comparison.verdict.sentences[1:]
        if others:
            yield ""
            yield from (f"- {_plain(sentence.text)}" for sentence in others)


def _changes(found: TwoRuns) -> Iterator[str]:
    from batch.evaluation.two_runs.formatting import change_sentences, headline

    changes = found.changes
    yield f"## {_plain(changes.before)} → {_plain(changes.after)}"
    yield ""
    rows = [
        [score.score, _plain_headline(headline(change, len(score.variants))), f"{len(change.better):,}", f"{len(change.worse):,}"]
        for score in changes.scores
        for change in score.variants
    ]
    yield from _table(["score", "change", "better rows", "worse rows"], rows)
    if found.job:
        yield ""
        yield "Changed in the job:"
        yield ""
        yield from (f"- {_plain(change.text)}" for change in found.job)
    yield ""
    yield from (f"- {_plain(text)}" for _, text in change_sentences(changes))
    yield from (f"- {_plain(note)}" for note in found.notes)


def _plain_headline(text: str) -> str:
    return text.rstrip(".")


def _row(standing: Standing) -> list[str]:
    counts = standing.summary.counts
    return [standing.variant, _score(standing), f"{counts.scored:,}", f"{counts.failed:,}", f"{counts.unscored:,}"]


def _score(standing: Standing) -> str:
    from batch.evaluation.formatting import percent_interval

    interval = standing.summary.strict
    return "none" if interval is None else percent_interval(interval)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(map(_plain, row))} |" for row in rows)


def _plain(text: str) -> str:
    from batch.policy.terminal import one_line

    return _MARKUP.sub(r"\\\1", one_line(text))
