"""The model that a `[[score]]` entry asks as settings: its endpoint found, its parameters checked as those of a `[[model]]` are."""

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

ASKING_KEYS = ("model", "judge", "rubric", "scale", "question", "template", "reasons", "structured", "parameters", "price", "baseline")
# What a judge is asked, and what is embedded, stands in a column of the file that is made for it.
MESSAGES_COLUMN = "messages"
TEXT_TEMPLATE = "{{ text }}"
_NOT_PARAMETERS = {
    "id": "the model is named by judge, or by model where it embeds",
    "name": "it has no name but its id",
    "sweep": "all answers are scored alike; make another [[score]] for other parameters",
    "prompt": "what a judge is asked is in rubric or template; what is embedded are the answers and the right values",
    "price": "it belongs beside parameters",
}


@dataclass(frozen=True, slots=True)
class Judges:
    """Makes the judges of a job with these `variants`, and the models that embed for its scores."""

    endpoints: Endpoints
    variants: Sequence[str]
    run: RunSection | None
    loading: Loading

    def make_embedder(self, section: EmbeddingSection, raw: Mapping[str, Any], path: KeyPath) -> Variant | None:
        """The model that embeds for one entry; None when it was complained of."""
        prompt = PromptSettings(api="embeddings", text=TEXT_TEMPLATE)
        return self._variant(section.model, "model", section, prompt, raw, path)

    def make(self, section: JudgingSection, raw: Mapping[str, Any], path: KeyPath) -> JudgeSettings | None:
        """The judge of one entry; None when it was complained of."""
        if section.rubric is None and section.template is None and not self.loading.reported((*path, "rubric")):
            self.loading.add((*path, "rubric"), "is missing", "say what makes an answer good, or give a whole template")
        if isinstance(section, PairwiseSection):
            self._check_pairs(section.baseline, path)
        variant = self._variant(section.judge, "judge", section, PromptSettings(messages=MESSAGES_COLUMN), raw, path)
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
        """What the requests to `model`, which the entry names in `key`, are made of."""
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
        return None if made is None else ModelEntry(-1, made, known, place, (*path, key))

    def _check_pairs(self, baseline: str | None, path: KeyPath) -> None:
        if self.loading.reported(("model",)):
            return
        if len(self.variants) < 2:
            self.loading.add(path, "needs at least two variants to judge between", 'add a [[model]], or use kind = "judge"')
        elif baseline is not None and baseline not in self.variants:
            near = nearest(baseline, self.variants)
            hint = f"did you mean {near}?" if near else f"known are {', '.join(self.variants)}"
            self.loading.add((*path, "baseline"), f"there is no variant {shown(baseline)}", hint)


def no_run(path: KeyPath, loading: Loading) -> None:
    """Note that a score which asks a model was wanted outside a run."""
    loading.add(
        (*path, "kind"), "a model is asked about the answers of a run only", "put the [[score]] into a job, and score its run directory"
    )
