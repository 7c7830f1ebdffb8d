"""A run directory with an input and journals, made without sending anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batch.readers import Dataset
from batch.records import Outcome
from batch.rundir.local import RunDirectory
from batch.rundir.manifest import Manifest, VariantRecord
from batch.rundir.stored_run import StoredRun
from batch.settings import InputSettings, Job, OutputFormat, OutputSettings, PromptSettings, ProviderSettings, RunSettings, Variant
from tests.support.disks import write_journal

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
