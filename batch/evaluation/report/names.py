"""Shorten the names of variants for the report: letters, and the part in which each name differs from the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from batch.evaluation.formatting import NO_BREAK, letter
from batch.evaluation.report.markup import Markup, joined, tag

SHORT_NAME = 24
# A long name of a model has few spaces: a line may break after these, but not in "(/tmp", where the path begins.
_JOINTS = re.compile(r"(?<=[^\s(][/:@_=])")


@dataclass(frozen=True, slots=True)
class VariantLetters:
    """A letter for each variant, in the job's order: short enough for charts and narrow screens.

    `shared` is what all names have in common, `short` has what is each one's own; names that are short stay whole.
    """

    variants: tuple[str, ...]
    shared: str = field(init=False)
    short: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        shared, short = differing(self.variants)
        object.__setattr__(self, "shared", shared)
        object.__setattr__(self, "short", short)

    def of(self, variant: str) -> str:
        """Return the variant's letter: A to Z, then AA to AZ, and so on."""
        return letter(self.variants.index(variant))

    def badge(self, variant: str) -> Markup:
        """Return the letter, with the name as tooltip and for screen readers."""
        return tag("abbr", self.of(variant), class_="key", title=variant, data_variant=self.variants.index(variant))

    def named(self, variant: str) -> Markup:
        """Return letter and short name. The short name is never cut; the tooltip has the whole name."""
        at = self.variants.index(variant)
        key = tag("span", letter(at), class_="key", aria_hidden="true")
        short = self.short[at]
        name = tag("span", breakable(short), class_="name", title=variant if short != variant else None)
        return tag("span", key, NO_BREAK, name, class_="named", data_variant=at)


def differing(names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return what all names share ("openai/… temperature=0"), and the rest of each; whole names where they are short or few."""
    whole = "", tuple(names)
    if len(names) < 2 or max(map(len, names)) <= SHORT_NAME:
        return whole
    models, parameters = zip(*((first, rest.split()) for first, _, rest in (name.partition(" ") for name in names)), strict=True)
    common = [each for each in parameters[0] if all(each in others for others in parameters)]
    prefix = models[0] if len(set(models)) == 1 else _common_path(models)
    rests = [model[len(prefix) :] for model in models]
    short = tuple(
        " ".join([*([rest] if rest else []), *(each for each in own if each not in common)]) or name.partition(" ")[0].rpartition("/")[2]
        for rest, own, name in zip(rests, parameters, names, strict=True)
    )
    if len(set(short)) < len(names) or not (prefix or common):
        return whole
    model = f"{prefix}…" if prefix and len(set(models)) > 1 else prefix
    return " ".join(each for each in (model, *common) if each), short


def _common_path(models: Sequence[str]) -> str:
    """Return the folders that all model names begin with, up to a slash."""
    parts = [model.split("/")[:-1] for model in models]
    common = []
    for of_all in zip(*parts, strict=False):
        if len(set(of_all)) > 1:
            break
        common.append(of_all[0])
    return "".join(f"{part}/" for part in common)


def breakable(name: str) -> Markup:
    """Add line-break opportunities within the long words of a name, after slashes and similar characters."""
    # A short word such as "top_p=0.9" is better kept whole, since lines break at the spaces beside it.
    words = [_broken(word) if len(word) > SHORT_NAME else joined(word) for word in name.split(" ")]
    return joined(*(part for at, word in enumerate(words) for part in ((" ", word) if at else (word,))))


def _broken(word: str) -> Markup:
    *parts, last = _JOINTS.split(word)
    return joined(*(joined(part, tag("wbr")) for part in parts), last)
