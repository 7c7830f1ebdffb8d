"""Run directories with journals and scores, of any size, made without sending anything, and the reports of them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batch.evaluation.answers import run_answers, run_state
from batch.evaluation.gates import check_gates
from batch.evaluation.reading import read_evaluation
from batch.evaluation.report.page import Evaluated, write_report
from batch.evaluation.scoring import score_answers
from batch.evaluation.verdict import reach_verdict
from batch.journal.lines import encode
from batch.prompts import RequestBuilder
from batch.readers import Dataset
from batch.records import ErrorInfo, ErrorKind, Outcome, Row
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import Manifest, VariantRecord
from batch.rundir.stored_run import StoredRun
from batch.settings import (
    GateSettings,
    InputSettings,
    Job,
    OutputFormat,
    OutputSettings,
    PromptSettings,
    ProviderSettings,
    RunSettings,
    ScoreSettings,
    Variant,
)
from tests.support.stores import answer, outcome, write_journal

PROVIDER = ProviderSettings(name="house", base_url="http://127.0.0.1:1/v1")


def variant(name: str, **prompt: Any) -> Variant:
    """A variant whose slug is its name."""
    return Variant(
        name=name, slug=name, provider=PROVIDER, model=name, parameters={}, prompt=PromptSettings(**{"user": "{{ text }}", **prompt})
    )


def manifest(name: str = "test", *, rows: int | None = 1, repeats: int = 1, variants: Sequence[Variant] = ()) -> Manifest:
    """A manifest with no more than a test needs."""
    records = {variant.name: VariantRecord.of(variant) for variant in variants}
    return Manifest("0", name, "2026-01-01T00:00:00+00:00", {}, records, None, rows, repeats)


class FinishedRun:
    """A job over `rows` (mappings, or raw lines of text), and `journals`: the outcomes of each variant in the order they came."""

    def __init__(
        self,
        path: Path,
        rows: Sequence[Mapping[str, Any] | str],
        journals: Mapping[str, Sequence[Outcome]],
        *,
        id_column: str | None = None,
        columns: Sequence[str] = (),
        output_format: OutputFormat = "jsonl",
        repeats: int = 1,
        segment_bytes: int = 1500,
        variants: Sequence[Variant] | None = None,
    ) -> None:
        self.input = path / "in.jsonl"
        self.rewrite(rows)
        self.job = Job(
            name="test",
            input=InputSettings(paths=(str(self.input),), id=id_column),
            variants=tuple(variants or map(variant, journals)),
            run=RunSettings(repeats=repeats),
            output=OutputSettings(dir=str(path / "run"), format=output_format, columns=tuple(columns)),
        )
        self.directory = RunDirectory(path / "run")
        for slug, outcomes in journals.items():
            write_journal(self.directory.journal_dir(slug), *outcomes, segment_bytes=segment_bytes)
        self.directory.path.mkdir(exist_ok=True)
        self.directory.write_manifest(manifest(rows=len(rows), repeats=repeats, variants=self.job.variants))

    def rewrite(self, rows: Sequence[Mapping[str, Any] | str]) -> None:
        """Give the input other rows."""
        self.input.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))

    @property
    def dataset(self) -> Dataset:
        """The input as it is now."""
        return Dataset(self.job.input)

    @property
    def stored(self) -> StoredRun:
        """The run as it is opened now."""
        return StoredRun(self.directory, self.directory.manifest, self.job, self.dataset)

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The lines of completions or errors as JSON."""
        return [json.loads(line) for line in (self.directory.path / f"{name}.jsonl").read_text().splitlines()]


NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EXACT = ScoreSettings(name="exact", kind="exact", expected="label", slices=("topic",))


Said = str | ErrorInfo | Outcome | None


@dataclass
class ReportedRun:
    """A run over `rows` and its report. `answers` gives each variant a text, an error or None (not done) for each row.

    A text is the answer, an ErrorInfo the failure, an Outcome is taken for all but its key, and a list has one of these for each
    repeat. Costs are one hundredth of a cent.
    """

    path: Path
    rows: Sequence[Mapping[str, Any] | str]
    answers: Mapping[str, Sequence[Said | Sequence[Said]]]
    scores: Sequence[ScoreSettings] = (EXACT,)
    gates: Sequence[GateSettings] = ()
    columns: Sequence[str] = ("topic",)
    cost: float | None = 0.0001
    prompts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def make(self) -> FinishedRun:
        """The run directory with its journals, whose outcomes have the keys of the requests that the job makes."""
        variants = [replace(variant(f"v{at}", **self.prompts.get(name, {})), name=name) for at, name in enumerate(self.answers)]
        repeats = max((len(said) for of_rows in self.answers.values() for said in of_rows if isinstance(said, list)), default=1)
        run = FinishedRun(self.path, self.rows, {}, columns=self.columns, variants=variants, repeats=repeats)
        rows = [row for batch in run.dataset.batches() for row in batch]
        for one in variants:
            builder = RequestBuilder(one, stream=False)
            folder = run.directory.journal_dir(one.slug)
            folder.mkdir(parents=True)
            with (folder / "000001.jsonl").open("wb") as file:
                for row, of_row in zip(rows, self.answers[one.name], strict=True):
                    key = builder.build(row).key if isinstance(row, Row) else bytes(16)
                    for repeat, said in enumerate(of_row if isinstance(of_row, list) else [of_row]):
                        if said is not None:
                            file.write(encode(replace(self._outcome(row.ordinal, said), key=key, repeat=repeat)))
        return run

    def _outcome(self, ordinal: int, said: str | ErrorInfo | Outcome) -> Outcome:
        if isinstance(said, Outcome):
            return said
        if isinstance(said, ErrorInfo):
            return replace(outcome(ordinal, error=said.code), error=said)
        return replace(outcome(ordinal), response=answer(said), cost_usd=self.cost, done=1_700_000_000.5 + ordinal + ordinal % 7 / 10)

    def evaluated(self, run: FinishedRun) -> Evaluated:
        """The run scored."""
        folder = run.directory.path / "scores"
        state = run_state(run.stored)
        score_answers(lambda: run_answers(run.stored), state, self.scores, folder)
        evaluation = read_evaluation(folder, self.scores, list(self.answers))
        costs = {facts.variant: facts.cost_usd for facts in evaluation.variants}
        judged = [(one, reach_verdict(one.table, costs=costs, columns=one.columns)) for one in evaluation.scores]
        return Evaluated(judged, check_gates(evaluation, self.gates), evaluation.variants, folder)

    def report(self, run: FinishedRun | None = None) -> Path:
        """Score the run, which is made unless it is given, and write its report."""
        run = run or self.make()
        return write_report(run.stored, self.evaluated(run), NOW)


def large_run(path: Path, rows: int, *, variants: int = 5, characters: int = 600) -> ReportedRun:
    """A seeded run: each answer has about so many characters of random words and ends in its label or another; 2 % fail, 2 % are empty."""
    draw = random.Random(6)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(4000)]

    def prose(length: int) -> str:
        return " ".join(draw.choices(words, k=length // 6))

    labels = ["billing", "refund", "delivery", "other"]
    inputs = [{"text": f"Row {at}: {prose(characters)}", "label": draw.choice(labels), "topic": f"topic {at % 8}"} for at in range(rows)]
    answers = {
        f"model {name}": [_said(draw, row["label"], labels, 0.9 - 0.05 * name, prose(characters)) for row in inputs]
        for name in range(variants)
    }
    score = replace(EXACT, kind="regex", options={"pattern": r"Label: (\w+)"})
    return ReportedRun(path, inputs, answers, scores=(score,))


def _said(draw: random.Random, label: str, labels: Sequence[str], skill: float, prose: str) -> str | ErrorInfo:
    luck = draw.random()
    if luck < 0.02:
        return ErrorInfo(ErrorKind.API, "rate_limited", "Too many requests", 429)
    if luck < 0.04:
        return prose
    return f"{prose} Label: {label if draw.random() < skill else draw.choice(labels)}"


def unpacked(report: Path, name: str) -> str:
    """The data of the page's element of that name."""
    import base64
    import gzip
    import re

    packed = re.search(rf'id="{name}">([^<]*)</script>', report.read_text())
    assert packed, f"there is no {name}"
    return gzip.decompress(base64.b64decode(packed[1])).decode()


def texts_of(report: Path) -> list[Any]:
    """The lines of all samples in the page."""
    index = json.loads(unpacked(report, "index"))
    return [json.loads(line) for at in range(len(index["starts"])) for line in unpacked(report, f"texts-{at}").split("\n")]
