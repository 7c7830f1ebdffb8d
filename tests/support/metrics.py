"""Reads a run's metrics with the parser of Prometheus' own client library."""

from __future__ import annotations

import urllib.request
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families


def samples(text: str) -> dict[str, float]:
    """The samples of a scrape as the library reads them, those with a code, cause or bucket by `name:code`; equal ones added."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            label = next((sample.labels[name] for name in ("code", "cause", "le") if name in sample.labels), None)
            found[":".join(filter(None, (sample.name, label)))] += sample.value  # type: ignore[assignment]
    return dict(found)


def scraped(port: int) -> dict[str, float]:
    """What a scrape of this port gives."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        return samples(reply.read().decode())
