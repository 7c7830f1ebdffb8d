"""The models that grade: the judge or embedder of a `[[score]]` entry, checked as a `[[model]]` is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batch.job.endpoints import Endpoints
from batch.job.model import ModelSection, RunSection
from batch.job.paths import KeyPath
from batch.job.problems import Loading, nearest
from batch.job.schema import shown
from batch.job.score_model import EmbeddingSection, JudgingSection, PairwiseSection
from batch.job.sections import ModelEntry, validated
from batch.job.variants import check_prices, find_endpoint, make_variant
from batch.settings import JudgeSettings, PromptSettings, Variant
from batch.settings.files import FileSettings

GRADING_KEYS = (
    "model",
    "judge",
    "rubric",
    "scale",
    "question",
    "images",
    "template",
    "reasons",
    "structured",
    "parameters",
    "price",
    "baseline",
    "retries",
    "criteria",
)
# The file of grading requests has one column with the judge's messages or the text to embed.
MESSAGES_COLUMN = "messages"
IMAGES_COLUMN = "images"
TEXT_TEMPLATE = "{{ text }}"
_NOT_PARAMETERS = {
    "id": "the judge is named by judge, an embedding model by model",
    "name": "a grading model has no other name than its id",
    "sweep": "all answers are scored with the same parameters; add a [[score]] for others",
    "prompt": "a judge's prompt is made from rubric or template; the answers and the right values are embedded",
    "price": "it belongs beside parameters",
}


@dataclass(frozen=True, slots=True)
class Judges:
    """Builds the judges and embedding models of a job's scores. `variants` are the names of the job's variants."""

    endpoints: Endpoints
    variants: Sequence[str]
    run: RunSection | None
    loading: Loading

    def make_embedder(self, section: EmbeddingSection, raw: Mapping[str, Any], path: KeyPath) -> Variant | None:
        """Return the embedding model of one entry; None when a mistake in it is reported."""
        prompt = PromptSettings(api="embeddings", text=TEXT_TEMPLATE)
        return self._variant(section.model, "model", section, prompt, raw, path)

    def make(self, section: JudgingSection, raw: Mapping[str, Any], path: KeyPath) -> JudgeSettings | None:
        """Return the judge of one entry; None when a mistake in it is reported."""
        described = section.rubric or section.template or getattr(section, "criteria", None)
        if described is None and not self.loading.reported((*path, "rubric")):
            self.loading.add((*path, "rubric"), "is missing", "describe a good answer, or give a whole template")
        if isinstance(section, PairwiseSection):
            self._check_pairs(section.baseline, path)
        if not isinstance(section.judge, str):
            # Entries of several judges were expanded before.
            self.loading.add((*path, "judge"), "must be PROVIDER/MODEL, or a list of such texts")
            return None
        images = (section.images,) if isinstance(section.images, str) else tuple(section.images or ())
        attached = FileSettings(images=(IMAGES_COLUMN,)) if images else FileSettings()
        variant = self._variant(section.judge, "judge", section, PromptSettings(messages=MESSAGES_COLUMN, attached=attached), raw, path)
        if variant is None:
            return None
        scale = getattr(section, "scale", None)
        return JudgeSettings(
            variant=variant,
            rubric=section.rubric or "",
            scale={int(step): meaning for step, meaning in scale.items()} if scale is not None else None,
            question=section.question,
            template=section.template,
            reasons=section.reasons is not False,
            structured=section.structured if section.structured is not None else variant.provider.json_schema != "json_object",
            baseline=getattr(section, "baseline", None),
            criteria=getattr(section, "criteria", None),
            images=images,
            retries=2 if section.retries is None else section.retries,
        )

    def _variant(
        self,
        model: str,
        key: str,
        section: JudgingSection | EmbeddingSection,
        prompt: PromptSettings,
        raw: Mapping[str, Any],
        path: KeyPath,
    ) -> Variant | None:
        """Return the variant that makes the requests to `model`, which the entry names under `key`."""
        entry = self._entry(model, key, section, raw, path)
        endpoint = find_endpoint(model, (*path, key), self.endpoints, self.loading)
        if entry is None or endpoint is None:
            return None
        variant = make_variant(entry, endpoint, prompt, self.loading)
        check_prices([(replace(entry, home=path), variant)], self.run, self.loading, id_key=key)
        return variant

    def _entry(
        self, model: str, key: str, section: JudgingSection | EmbeddingSection, raw: Mapping[str, Any], path: KeyPath
    ) -> ModelEntry | None:
        parameters = dict(section.parameters)
        place = (*path, "parameters")
        for key in _NOT_PARAMETERS.keys() & parameters.keys():
            self.loading.add((*place, key), "cannot be set here", _NOT_PARAMETERS[key])
            del parameters[key]
        known = {"id": model, **({"price": raw["price"]} if section.price is not None else {}), **parameters}
        made = validated(ModelSection, known, place, self.loading)
        # -1: it is none of the [[model]] entries.
        return None if made is None else ModelEntry(-1, made, known, place, (*path, key))

    def _check_pairs(self, baseline: str | None, path: KeyPath) -> None:
        if self.loading.reported(("model",)):
            return
        if len(self.variants) < 2:
            self.loading.add(path, "needs at least two variants to judge between", 'add a [[model]], or use kind = "judge"')
        elif baseline is not None and baseline not in self.variants:
            near = nearest(baseline, self.variants)
            hint = f"did you mean {near}?" if near else f"choose from {', '.join(self.variants)}"
            self.loading.add((*path, "baseline"), f"there is no variant {shown(baseline)}", hint)


def no_run(path: KeyPath, loading: Loading) -> None:
    """Report a score that needs a model outside a run."""
    loading.add((*path, "kind"), "a score that calls a model needs a run", "put the [[score]] into a job, and score its run directory")
