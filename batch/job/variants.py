"""Turns `[[model]]` entries into variants: finds providers, checks parameters and prices, expands sweeps, names folders."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from batch.job.endpoints import Endpoints, JobEndpoint, unknown_provider
from batch.job.model import RunSection
from batch.job.paths import KeyPath
from batch.job.problems import Loading, nearest
from batch.job.prompts import AnswerSchemas, prompt_of
from batch.job.row_columns import check_columns_of
from batch.job.section import PriceSection, RatesSection
from batch.job.sections import ModelEntry, Sections, check_json
from batch.providers.parameters import COMMON_PARAMETERS, PROMPTED_PARAMETERS
from batch.providers.prices import price_of
from batch.records import ANSWERLESS, SCORING
from batch.settings import OWN_MODEL, Price, PromptSettings, ProviderSettings, TokenPrices, Variant
from batch.settings.tiers import STANDARD_TIERS, is_flex

MAX_VARIANTS = 1000
SLUG_LENGTH = 100
_PRICE_EXAMPLE = "price = {input = 0.25, output = 2.0}"

_OF_ENTRY = frozenset({"id", "name", "sweep", "extra_body", "prompt", "price"})
_MADE_BY_US = {
    "model": "the model is named by id",
    "messages": "the messages are made from [prompt]",
    "input": "the input is made from prompt.text",
    "stream": "use run.stream",
    "stream_options": "use run.stream; provider.NAME.stream_usage says whether stream_options may be sent",
    "api_key": "keys stay in the environment: name the variable in [provider.NAME] api_key_env",
    "base_url": "it belongs in [provider.NAME]",
    "provider": "the provider is the first part of id: PROVIDER/MODEL",
}


def make_variants(sections: Sections, schemas: AnswerSchemas, endpoints: Endpoints, loading: Loading) -> tuple[Variant, ...]:
    """Return the variants of a job in the order of its entries; mistakes are reported."""
    count = sum(math.prod(len(values) for values in entry.section.sweep.values()) for entry in sections.entries)
    if count > MAX_VARIANTS:
        widest = max(sections.entries, key=lambda entry: math.prod(len(values) for values in entry.section.sweep.values()))
        loading.add((*widest.path, "sweep"), f"makes {count} variants; the limit is {MAX_VARIANTS}", "sweep over fewer values")
        return ()
    found: list[tuple[ModelEntry, Variant]] = []
    for entry in sections.entries:
        endpoint = find_endpoint(entry.section.id, (*entry.path, "id"), endpoints, loading, stored=sections.stored)
        prompt = prompt_of(entry, sections, schemas, loading)
        options = endpoint.options if endpoint else endpoints.options
        _check_parameters(entry, options, prompt, loading)
        if endpoint is not None and prompt is not None:
            _check_pairs(entry, endpoint.settings, prompt, loading)
        if endpoint is not None and prompt is not None:
            found += [(entry, variant) for variant in _expand(entry, endpoint, prompt)]
    _check_names(found, loading)
    check_prices(found, sections.run, loading)
    _check_pools([variant.provider for _, variant in found], loading)
    return tuple(variant for _, variant in found)


def slugify(name: str) -> str:
    """Turn `name` into a folder name of at most 100 plain characters, never hidden.

    A hash keeps names apart that lose letters or their end.
    """
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "-", name.replace("/", "--")).strip("-.")
    if len(plain) <= SLUG_LENGTH and plain and name.isascii():
        return plain
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    # A hyphen and the 8 digits of the hash make 9.
    return f"{plain[: SLUG_LENGTH - 9]}-{digest}".lstrip("-")


def make_variant(entry: ModelEntry, endpoint: JobEndpoint, prompt: PromptSettings, loading: Loading) -> Variant:
    """Return the one variant of an entry without a sweep; mistakes in its parameters are reported."""
    _check_parameters(entry, endpoint.options, prompt, loading)
    _check_pairs(entry, endpoint.settings, prompt, loading)
    return next(_expand(entry, endpoint, prompt))


def find_endpoint(model_id: str, place: KeyPath, endpoints: Endpoints, loading: Loading, *, stored: bool = False) -> JobEndpoint | None:
    """Return the endpoint of PROVIDER/MODEL, named at `place`; None when a mistake is reported. `stored`: rows are whole requests."""
    provider, slash, model = model_id.partition("/")
    if not slash or provider not in endpoints.names:
        loading.add(place, *unknown_provider(provider, model_id, endpoints.names))
        return None
    if not model:
        loading.add(place, "names no model; an id is PROVIDER/MODEL", f"promptmill models {provider} lists them")
        return None
    if model == OWN_MODEL and not stored:
        loading.add(place, "names no model; * is for requests that name their own", '[input] format = "openai-batch" reads such')
        return None
    endpoint = endpoints.get(provider, place)
    if stored and endpoint is not None and endpoint.settings.embedded is not None:
        # A server set up for embeddings answers chats too, and a file may have requests of both kinds.
        embedded = replace(endpoint.settings.embedded, embedding=True)
        return replace(endpoint, settings=replace(endpoint.settings, embedded=embedded))
    return endpoint


def _check_parameters(entry: ModelEntry, options: frozenset[str], prompt: PromptSettings | None, loading: Loading) -> None:
    """Report parameters that are unknown, set by promptmill itself, or set twice."""
    top, swept, extra = _top_parameters(entry), entry.section.sweep, entry.section.extra_body
    check_columns_of(entry.columns, {**swept, **extra}, entry.path, loading, stored=prompt is not None and prompt.stored)
    for key in entry.columns:
        if key not in options and key != "model":
            _check_known(key, (*entry.path, key), options, prompt, loading)
    for where, keys in (((), top), (("sweep",), swept), (("extra_body",), extra)):
        for key in keys:
            place = (*entry.path, *where, key)
            if key in _MADE_BY_US and key not in options:
                loading.add(place, "cannot be set here", _MADE_BY_US[key])
            elif key == "n":
                _check_n(place, swept["n"] if where == ("sweep",) else [keys["n"]], loading)
            elif where == ("extra_body",):
                if key in top or key in swept:
                    loading.add(place, f"{key} is set both in extra_body and beside it", "keep one of the two")
            elif key not in options:
                _check_known(key, place, options, prompt, loading)
    for key in ("sweep", "extra_body"):
        check_json(entry.raw.get(key), (*entry.path, key), loading)
    check_json(top, entry.path, loading)


def _check_n(place: KeyPath, values: Sequence[Any], loading: Loading) -> None:
    if any(value != 1 for value in values):
        loading.add(place, "only n = 1 can be sent: one request gives one answer", "use run.repeats for several answers to a row")


def _check_known(key: str, place: KeyPath, options: frozenset[str], prompt: PromptSettings | None, loading: Loading) -> None:
    anyway = "put it under extra_body to send it anyway"
    if key not in COMMON_PARAMETERS:
        near = nearest(key, [*COMMON_PARAMETERS, *options, *_OF_ENTRY])
        loading.add(place, "is not a known request parameter", f"did you mean {near}? Otherwise {anyway}" if near else anyway)
    elif prompt is not None and not prompt.stored and key not in PROMPTED_PARAMETERS[prompt.api]:
        loading.add(place, f"is not a request parameter of the {prompt.api} API", anyway)


def _check_pairs(entry: ModelEntry, provider: ProviderSettings, prompt: PromptSettings, loading: Loading) -> None:
    """Report conflicts: two names for one parameter, two sources of tools, an embedded model of the other kind."""
    parameters = {**_top_parameters(entry), **entry.section.sweep}
    for key, sent_as in _renames_for(entry, provider, prompt).items():
        if key in parameters and (sent_as in parameters or sent_as in entry.section.extra_body):
            loading.add((*entry.path, key), f"is sent as {sent_as}, which is set too", "keep one of the two")
    if "tools" in parameters and prompt.tools is not None:
        loading.add((*entry.path, "tools"), "cannot be combined with prompt.tools, the column of tools", "keep one of the two")
    if "response_format" in {**parameters, **entry.section.extra_body} and prompt.schema is not None:
        loading.add(
            (*entry.path, "response_format"), "conflicts with prompt.schema, which is sent as response_format", "keep one of the two"
        )
    if provider.embedded is not None and prompt.api in SCORING:
        loading.add(entry.id_path, f"the embedded model does not serve {prompt.api}", "use a server that does, such as vLLM")
    elif provider.embedded is not None and not prompt.stored and provider.embedded.embedding != (prompt.api == "embeddings"):
        wanted = "true" if prompt.api == "embeddings" else "false"
        message = f"the embedded model is not set up for {prompt.api}"
        loading.add(entry.id_path, message, f"set embedding = {wanted} in [provider.{provider.name}]")


def _top_parameters(entry: ModelEntry) -> dict[str, Any]:
    """Return the entry's own request parameters as written, without the wrong ones."""
    sound = {*entry.section.model_fields_set, *(entry.section.model_extra or ())}
    return {key: value for key, value in entry.raw.items() if key in sound and key not in _OF_ENTRY}


def _renames_for(entry: ModelEntry, provider: ProviderSettings, prompt: PromptSettings) -> dict[str, str]:
    """Return the renames whose new name the API has: OpenAI's completions API still takes max_tokens. extra_body is sent as is."""
    known = PROMPTED_PARAMETERS[prompt.api]
    fitting = {key: new for key, new in provider.renames.items() if new in known or new not in COMMON_PARAMETERS}
    return {key: new for key, new in fitting.items() if key not in entry.section.extra_body}


def _expand(entry: ModelEntry, endpoint: JobEndpoint, prompt: PromptSettings) -> Iterator[Variant]:
    section = entry.section
    provider = replace(endpoint.settings, renames=_renames_for(entry, endpoint.settings, prompt))
    keys = list(section.sweep)
    for values in itertools.product(*section.sweep.values()):
        point = dict(zip(keys, values, strict=True))
        name = " ".join([section.name or section.id, *(f"{key}={_short(value)}" for key, value in point.items())])
        yield Variant(
            name=name,
            slug=slugify(name),
            provider=provider,
            model=section.id.partition("/")[2],
            parameters={**_top_parameters(entry), **point, **section.extra_body},
            prompt=prompt,
            price=own_price(section.price),
            row_parameters=entry.columns,
        )


def _short(value: Any) -> str:
    """Show a swept value in a name: JSON, texts without quotes, a hash for a long one."""
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    if len(text) <= 40 and text.isprintable():
        return text
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _check_names(found: Sequence[tuple[ModelEntry, Variant]], loading: Loading) -> None:
    seen: dict[str, tuple[ModelEntry, Variant]] = {}
    for entry, variant in found:
        # Folder names are compared without case, as some file systems do.
        first = seen.setdefault(variant.slug.lower(), (entry, variant))
        if first[1] is variant:
            continue
        if first[0] is entry:
            loading.add((*entry.path, "sweep"), f"makes two variants named '{variant.name}'", "list each value once")
            continue
        place = (*entry.path, "name" if entry.section.name else "id")
        same = "the name" if first[1].name == variant.name else "the folder name"
        proposal = _proposed_name(first[1], variant)
        loading.add(place, f"{same} of '{variant.name}' is also that of model[{first[0].index}]", f'set name = "{proposal}" here')


def _check_pools(providers: Sequence[ProviderSettings], loading: Loading) -> None:
    """Report an endpoint in two pools: it has one limiter, so it belongs to one pool."""
    pools: dict[str, tuple[str, frozenset[str]]] = {}
    for provider in providers:
        urls = (provider.base_url, *provider.more_urls) if provider.embedded is None else ()
        for url in urls:
            name, pool = pools.setdefault(url, (provider.name, frozenset(urls)))
            if pool != frozenset(urls):
                place = ("provider", provider.name, "base_url")
                loading.add(place, f"{url} is also in the pool of {name}, which has other endpoints", "give both the same list of base_url")


def _proposed_name(first: Variant, second: Variant) -> str:
    """Propose a name from the parameters in which the second differs, if that is short."""
    differing = {key: value for key, value in second.parameters.items() if first.parameters.get(key) != value}
    parts = [f"{key}={_short(value)}" for key, value in differing.items()][:3]
    return " ".join([second.name, *parts]) if parts else f"{second.name} 2"


def own_price(section: PriceSection | None) -> Price | None:
    """Return the price of a `[[model]]` entry."""
    if section is None:
        return None
    own = _price(section)
    if section.standard is None:
        return own
    return replace(own, by_tier=tuple(dict.fromkeys(STANDARD_TIERS, _price(section.standard)).items()))


def _price(section: RatesSection) -> Price:
    cached = section.input if section.cached_input is None else section.cached_input
    rates = TokenPrices(input=section.input, output=section.output or 0.0, cached_input=cached, cache_write=section.input)
    return Price(rates=rates, per_request=section.per_request)


def check_prices(found: Sequence[tuple[ModelEntry, Variant]], run: RunSection | None, loading: Loading, *, id_key: str = "id") -> None:
    """Report prices without one for answers, and unpriced variants of a job with a budget. `id_key` is the key that names the model."""
    for entry, variant in found:
        section = entry.section.price
        if section is not None and section.output is None and variant.prompt.api not in ANSWERLESS:
            loading.add((*entry.path, "price", "output"), "is missing", f"answers cost money too: {_PRICE_EXAMPLE}")
        elif run is not None and run.max_cost_usd is not None and price_of(variant, datetime.now(UTC)) is None:
            hint = f"give it one, in US dollars for a million tokens: {_PRICE_EXAMPLE}; or remove run.max_cost_usd"
            loading.add((*entry.path, id_key), "has no known price, so run.max_cost_usd cannot be enforced", hint)
        elif run is not None and run.max_cost_usd is not None and section is not None and _lacks_standard_price(section, run, variant):
            hint = "add standard = {input = 0.25, output = 2.0} to it, in US dollars for a million tokens"
            loading.add((*entry.path, "price"), "names no price at the standard tier, to which run.flex_fallback sends rows", hint)


def _lacks_standard_price(section: PriceSection, run: RunSection, variant: Variant) -> bool:
    return run.flex_fallback and section.standard is None and is_flex(variant)
