"""The limits that a running session keeps to, which a user may change meanwhile, and whether it is paused. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any

from batch.settings import Auto, RunSettings

SETTABLE = ("concurrency", "requests_per_minute", "tokens_per_minute", "max_cost_usd")
NO_LIMIT = ("none", "off")
_EXAMPLE = "concurrency=32 requests_per_minute=600 max_cost_usd=50"


@dataclass(frozen=True, slots=True)
class Steering:
    """The present limits of a session, as in RunSettings, and whether it sends nothing more until it is resumed."""

    concurrency: int | Auto = "auto"
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_cost_usd: float | None = None
    paused: bool = False

    @classmethod
    def of(cls, run: RunSettings) -> Steering:
        """Return the limits that a job sets."""
        return cls(run.concurrency, run.requests_per_minute, run.tokens_per_minute, run.max_cost_usd)

    def changed(self, values: Mapping[str, Any]) -> Steering:
        """Return it with other values."""
        return replace(self, **values)

    def applied(self, run: RunSettings) -> RunSettings:
        """Return the settings with these limits."""
        limits = asdict(self)
        del limits["paused"]
        return replace(run, **limits)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def parse_limits(words: Iterable[str]) -> dict[str, Any]:
    """Read KEY=VALUE words such as concurrency=32. Raises ValueError that says what is wrong and what is right."""
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        name = key.strip().removeprefix("run.").replace("-", "_")
        if not equals:
            raise ValueError(f"{word!r} has no '='; write KEY=VALUE, as in {_EXAMPLE}")
        if name not in SETTABLE:
            near = get_close_matches(name, SETTABLE, n=1)
            hint = f"did you mean {near[0]}?" if near else f"a running job takes {', '.join(SETTABLE)}; all else needs a new session"
            raise ValueError(f"{key.strip()!r} cannot be set while a job runs; {hint}")
        if name in values:
            raise ValueError(f"{name} is given twice")
        values[name] = _value(name, text.strip())
    if not values:
        raise ValueError(f"nothing to set; write KEY=VALUE, as in {_EXAMPLE}")
    return values


def _value(name: str, text: str) -> int | float | str | None:
    if name == "concurrency" and text == "auto":
        return text
    if name != "concurrency" and text.lower() in NO_LIMIT:
        return None
    plain = text.replace("_", "").replace(",", "").removeprefix("$")
    try:
        number = float(plain) if name == "max_cost_usd" else int(plain)
    except ValueError:
        number = math.nan
    least = 0 if name == "max_cost_usd" else 1
    if not math.isfinite(number) or number < least or (name == "max_cost_usd" and number == 0):
        kinds = {"concurrency": "a whole number from 1, or auto", "max_cost_usd": "US dollars above 0, or none"}
        raise ValueError(f"{name}={text!r}: give {kinds.get(name, 'a whole number from 1, or none')}")
    return number
