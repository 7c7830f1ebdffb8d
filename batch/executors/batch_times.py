"""How long batches may take: what the provider promises, and when the run cancels them."""

from __future__ import annotations

import re

from batch.settings.batch_api import BatchApi, BatchSettings

# Without a limit of the job's own, a batch is cancelled after twice its window, or a week where that is not known: Azure's never expire.
_WINDOWS = 2.0
_UNKNOWN_WINDOW_S = 7 * 24 * 3600.0
_UNIT_S = {"m": 60.0, "h": 3600.0, "d": 86400.0}


def window_s(settings: BatchSettings, api: BatchApi) -> float | None:
    """Return the seconds that a provider may take for a batch, a day by default; None where its words are no time."""
    found = re.fullmatch(r"(\d+)([mhd]?)", settings.window or api.window or "24h")
    return None if found is None else int(found[1]) * _UNIT_S[found[2] or "h"]


def longest_s(settings: BatchSettings, api: BatchApi) -> float:
    """Return the seconds after which a batch is cancelled."""
    if settings.max_wait_s is not None:
        return settings.max_wait_s
    window = window_s(settings, api)
    return _UNKNOWN_WINDOW_S if window is None else _WINDOWS * window
