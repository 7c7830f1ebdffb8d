"""What makes stored scores of models out of date, and what does not."""

from __future__ import annotations

from dataclasses import replace

from batch.evaluation.scorers import scorer_version
from batch.settings import JudgeSettings, PromptSettings, ProviderSettings, ScoreSettings, Variant

VARIANT = Variant(
    name="v", slug="v", provider=ProviderSettings(name="p", base_url="http://x/v1"), model="m", parameters={}, prompt=PromptSettings()
)


def versions(variant: Variant) -> list[str]:
    """The versions of a judge's and of an embedder's score."""
    judge = ScoreSettings(name="s", kind="judge", judge=JudgeSettings(variant=variant, rubric="r"))
    return [scorer_version(judge), scorer_version(ScoreSettings(name="s", kind="embedding", embedder=variant))]


def test_what_decides_no_answer_keeps_the_scores() -> None:
    """Whether a provider lists all its models decides no answer: scores that were paid for stay; another URL renews them."""
    same = replace(VARIANT, provider=replace(VARIANT.provider, lists_all_models=False))
    other = replace(VARIANT, provider=replace(VARIANT.provider, base_url="http://y/v1"))
    assert versions(same) == versions(VARIANT)
    assert not set(versions(other)) & set(versions(VARIANT))
