"""The setting that a word means which is given as an option of the command line: --concurrency is run.concurrency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from batch.job.batch_model import BatchSection
from batch.job.input_model import InputSection
from batch.job.model import ModelSection, OutputSection, PromptSection, RunSection
from batch.job.problems import nearest
from batch.job.section import Section

# In the order in which a word is looked up.
_SECTIONS: Mapping[str, type[Section]] = {
    "run": RunSection,
    "input": InputSection,
    "output": OutputSection,
    "model": ModelSection,
    "batch": BatchSection,
    "prompt": PromptSection,
}
# What other programs call them.
_OTHERS = {
    "workers": "run.concurrency",
    "parallel": "run.concurrency",
    "parallelism": "run.concurrency",
    "max_workers": "run.concurrency",
    "retries": "run.attempts",
    "max_retries": "run.attempts",
    "rpm": "run.requests_per_minute",
    "tpm": "run.tokens_per_minute",
    "timeout": "run.attempt_timeout_s",
    "request_timeout": "run.attempt_timeout_s",
    "budget": "run.max_cost_usd",
    "max_cost": "run.max_cost_usd",
    "model": "model.id",
    "input": "input.path",
    "output": "output.dir",
    "out": "output.dir",
    "output_dir": "output.dir",
    "system_prompt": "prompt.system",
    "user_prompt": "prompt.user",
}
_CUTOFF = 0.8


def setting_named(word: str, *, nearly: bool = True) -> str | None:
    """Return the setting that `word` names, or with `nearly` nearly names, as `--set` takes it; None when there is none."""
    key = word.lower().replace("-", "_")
    if key in _OTHERS:
        return _OTHERS[key]
    names = dict(reversed(list(_names())))
    near = key if key in names else nearest(key, names, _CUTOFF) if nearly else None
    return None if near is None else names[near]


def _names() -> Iterator[tuple[str, str]]:
    for table, section in _SECTIONS.items():
        for name, field in section.model_fields.items():
            key = field.alias or name
            yield key, f"{table}.{key}"
