"""The manifest of a run: the content of run.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from batch.records import BeatenVariant
from batch.settings import PromptSettings, Variant
from batch.settings.files import FileSettings


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """What decides a variant's answers: the difference of two records explains why requests differ. `slug` names its journal's folder."""

    slug: str
    provider: str
    model: str
    parameters: Mapping[str, Any]
    prompt: Mapping[str, Any]

    @classmethod
    def of(cls, variant: Variant) -> VariantRecord:
        """Describe a variant."""
        return cls(variant.slug, variant.provider.name, variant.model, _parameters(variant), _described(variant.prompt))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> VariantRecord:
        """Read a record; what is missing is empty."""
        get = document.get
        return cls(str(document["slug"]), get("provider", ""), get("model", ""), dict(get("parameters", {})), dict(get("prompt", {})))


def _parameters(variant: Variant) -> dict[str, Any]:
    return {**variant.parameters, **{name: {"column": column} for name, column in variant.row_parameters.items()}}


def _described(prompt: PromptSettings) -> dict[str, Any]:
    """A prompt as it reads back from JSON. Without files it has no settings of files, as in the runs of earlier versions."""
    described = _as_lists(asdict(prompt))
    del described["attached"]
    if not prompt.cache:
        del described["cache"]
    if prompt.function is None:
        del described["function"]
    return described if prompt.attached == FileSettings() else {**described, "attached": _as_lists(asdict(prompt.attached))}


def _as_lists(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in table.items()}


@dataclass(frozen=True, slots=True)
class RaceRecord:
    """The variants that a race stopped, and the version of the score that decided."""

    version: str
    stops: Sequence[BeatenVariant]

    @property
    def beaten_by(self) -> dict[str, str]:
        """Map each stopped variant to the variant that beat it."""
        return {stop.variant: stop.beaten_by for stop in self.stops}


@dataclass(frozen=True, slots=True)
class InputRecord:
    """The identity of the input, {path, size, mtime_ns} of each of its `files`, and the `selection` of its rows, of `Dataset.selection`.

    `origin` describes what rows that are kept in the run directory were made of (results/steps/rows.py); it is no part of the identity.
    """

    files: Sequence[Mapping[str, Any]]
    selection: Mapping[str, Any]
    origin: Mapping[str, Any] | None = field(default=None, compare=False)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values: the selection stands beside the files."""
        origin = {} if self.origin is None else {"origin": dict(self.origin)}
        return {"files": [dict(file) for file in self.files], **origin, **self.selection}

    @property
    def kept_name(self) -> str:
        """The name of the file of rows in the run directory, where they are kept there."""
        return str(self.files[0]["path"]).partition("?")[0].rpartition("/")[2] if self.files else ""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> InputRecord:
        """Read what `document` gave."""
        selection = {key: value for key, value in document.items() if key not in ("files", "origin")}
        return cls([dict(file) for file in document["files"]], selection, document.get("origin"))


@dataclass(frozen=True, slots=True)
class Manifest:
    """One run's job and input, and what later sessions must know of earlier ones.

    `promptmill` is the version that wrote it, `job` the resolved job document, `input` None in a directory that no run has made (a test's).
    `kept`: the user keeps answers whose requests have changed since.
    `rows` is None while unknown. `unrecorded_usd` was spent, or may have been, on tasks without an outcome (None: never any), among
    them the `abandoned` requests, which were in flight at a stop.
    `ordinals_hold` says that every record was made of the input as it is now, so that its row is named by its ordinal as well as by its id.
    `settled` says that every recorded task is a task of the input; `orphaned` counts (ok, failed) outcomes of rows that are not in it.
    """

    promptmill: str
    name: str
    created: str
    job: Mapping[str, Any]
    variants: Mapping[str, VariantRecord]
    input: InputRecord | None
    rows: int | None
    repeats: int = 1
    unrecorded_usd: float | None = None
    abandoned: int | None = None
    race: RaceRecord | None = None
    kept: bool = False
    ordinals_hold: bool = False
    settled: bool = True
    orphaned: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def total(self) -> int | None:
        """The number of tasks of each variant; None while unknown."""
        return None if self.rows is None else self.rows * self.repeats

    def document(self) -> dict[str, Any]:
        """Return it as JSON values, without what it does not have."""
        document = {**asdict(self), "input": {} if self.input is None else self.input.document()}
        return {key: value for key, value in document.items() if value is not None or key == "rows"}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Manifest:
        """Read what `document` gave; what is missing is empty. Raises KeyError, TypeError, ValueError, AttributeError for other values."""
        get = document.get
        rows, spent, abandoned, race = get("rows"), get("unrecorded_usd"), get("abandoned"), get("race")
        return cls(
            promptmill=str(get("promptmill", "")),
            name=str(get("name", "")),
            created=str(get("created", "")),
            job=dict(get("job", {})),
            variants={name: VariantRecord.from_document(described) for name, described in get("variants", {}).items()},
            input=InputRecord.from_document(document["input"]) if "files" in get("input", {}) else None,
            rows=rows if isinstance(rows, int) else None,
            repeats=int(get("repeats", 1)),
            unrecorded_usd=None if spent is None else float(spent),
            abandoned=None if abandoned is None else int(abandoned),
            kept=bool(get("kept", False)),
            race=None if race is None else RaceRecord(str(race["version"]), [BeatenVariant(**stop) for stop in race["stops"]]),
            ordinals_hold=bool(get("ordinals_hold", False)),
            settled=bool(get("settled", True)),
            orphaned={name: (int(ok), int(failed)) for name, (ok, failed) in get("orphaned", {}).items()},
        )
