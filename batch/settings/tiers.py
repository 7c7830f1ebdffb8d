"""The flex tier, which answers late and cheaply: who asks for it, and the time-outs that it needs."""

from __future__ import annotations

from collections.abc import Iterable

from batch.settings import Variant

TIER_KEY = "service_tier"
FLEX = "flex"
STANDARD_TIERS = ("default", "standard", "on_demand")
"""What replies call the tier of the list price; the last is Groq's word."""

FLEX_TIMEOUTS = {"first_byte_timeout_s": 900.0, "attempt_timeout_s": 900.0, "task_timeout_s": 14_400.0, "outage_timeout_s": 3600.0}
"""The default time-outs, in seconds, of a job with requests at the flex tier: an answer takes up to 15 minutes (policy/tiers.py), and the
tier may have no capacity for longer than an endpoint is out of order."""


def is_flex(variant: Variant) -> bool:
    """Whether a variant's requests ask for the flex tier, all of them or, where rows name their tier, some."""
    return variant.parameters.get(TIER_KEY) == FLEX or TIER_KEY in variant.row_parameters


def flex_timeouts(variants: Iterable[Variant]) -> dict[str, float]:
    """Return the default time-outs of a job with these variants that differ from those of all jobs, in seconds."""
    return FLEX_TIMEOUTS if any(map(is_flex, variants)) else {}
