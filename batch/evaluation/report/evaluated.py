"""Show what was evaluated: data, endpoints, the settings of scores, and what the names of all variants share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from batch.evaluation.report.markup import Content, Markup, tag
from batch.evaluation.report.names import VariantLetters
from batch.evaluation.scorers.texts import as_text
from batch.policy.terminal import without_url_secrets
from batch.settings import Job, ProviderSettings, ScoreSettings

_LONGEST_VALUE = 160


def evaluated_html(job: Job, scores: Sequence[ScoreSettings], keys: VariantLetters) -> Markup:
    """Show what was evaluated, in a list that opens on demand."""
    items = [*_data(job), *_endpoints(job)]
    if keys.shared:
        items.append(("All variants", [keys.shared]))
    items += [(f"Score {score.name}", [_described(score)]) for score in scores]
    listed = [(tag("dt", name), [tag("dd", value) for value in values]) for name, values in items]
    return tag("details", tag("summary", "What was evaluated"), tag("dl", listed, class_="facts"), class_="evaluated", id="evaluated")


def _data(job: Job) -> Iterator[tuple[str, Sequence[Content]]]:
    chosen = [
        f"where {job.input.where}" if job.input.where is not None else "",
        f"a sample of {job.input.sample:,} (seed {job.input.seed})" if job.input.sample is not None else "",
        f"the first {job.input.limit:,}" if job.input.limit is not None else "",
    ]
    yield "Data", [_address(path) for path in job.input.paths]
    if any(chosen):
        yield "Rows", [", ".join(each for each in chosen if each)]


def _endpoints(job: Job) -> Iterator[tuple[str, Sequence[Content]]]:
    providers = {variant.provider.name: variant.provider for variant in job.variants}
    addresses = [f"{one.name}: {_place(one)}" for one in providers.values()]
    yield "Endpoint" if len(addresses) == 1 else "Endpoints", addresses


def _place(provider: ProviderSettings) -> str:
    if provider.embedded is not None:
        return "the embedded model"
    urls = (without_url_secrets(url) for url in (provider.base_url, *provider.more_urls))
    return ", ".join(url.partition("://")[2] for url in urls)


def _address(place: str) -> str:
    """Return a path, or a URL without user, password and query, which may be secrets."""
    if "://" not in place:
        return place
    parts = urlsplit(place)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _described(score: ScoreSettings) -> str:
    options = {key: value for key, value in score.options.items() if value is not None}
    by = f" by {score.asked.full_name}" if score.asked is not None else ""
    against = f" against {score.expected}" if score.expected is not None else ""
    more = [f"{key} = {_short(as_text(value))}" for key, value in options.items()]
    more += [f"cluster = {score.cluster}"] if score.cluster is not None else []
    return "; ".join([f"{score.kind}{by}{against}", *more])


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
