"""Prepares the endpoints of a job: reads keys, starts embedded servers, checks models, allows for connections."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from difflib import get_close_matches
from urllib.parse import urlsplit

import anyio

from batch.clock import Clock
from batch.engine.limiter import UNREADY
from batch.errors import EndpointError, JobError, Problem, SetupError
from batch.policy.redaction import ApiKeys
from batch.providers.urls import endpoint_address
from batch.records import ErrorInfo
from batch.server.embedded import EmbeddedServer
from batch.settings import OWN_MODEL, ProviderSettings, RunSettings, Variant
from batch.transport.client import Client
from batch.transport.engines import open_engine
from batch.transport.model_list import ModelList
from batch.transport.proxies import is_bypassed
from batch.transport.reply_budget import ReplyBudget

# A list of models that takes longer is not worth waiting for: the first row shows more.
PREFLIGHT_TIMEOUT_S = 15.0
# Files that the process has open besides its connections.
OTHER_FILES = 64


def read_keys(variants: Iterable[Variant], environ: Mapping[str, str] = os.environ) -> ApiKeys:
    """Return the keys by the name of their variable. Raises SetupError that names every variable that is not set."""
    names = {v.provider.api_key_env: v.provider.name for v in variants if v.provider.api_key_env}
    missing = [f"{name} (the key of provider {provider})" for name, provider in names.items() if not environ.get(name)]
    if missing:
        raise SetupError("not set: " + ", ".join(missing) + "; export it and run the same command again")
    return ApiKeys({name: environ[name].strip() for name in names})


def allow_connections(run: RunSettings, endpoints: int, notice: Callable[[str], None]) -> RunSettings:
    """Raise the soft limit of open files to what the connections need, or lower the concurrency to what it allows and report that."""
    needed = run.most_in_flight * endpoints + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return run
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed >= needed:
        return run
    lowered = max(1, (allowed - OTHER_FILES) // endpoints)
    if run.concurrency == "auto":
        # The user set no number, and most endpoints accept fewer.
        return replace(run, max_concurrency=lowered)
    notice(f"concurrency {run.concurrency} → {lowered}: only {allowed} files may be open here (ulimit -n)")
    return replace(run, concurrency=lowered)


def warn_of_proxies(
    run: RunSettings, providers: Iterable[ProviderSettings], environ: Mapping[str, str], notice: Callable[[str], None]
) -> None:
    """Report which requests bypass the proxies that the environment names."""
    names = [name for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy") if environ.get(name)]
    if names and not run.trust_env:
        notice(f"{', '.join(names)} not used: requests go straight to the endpoint (run.trust_env = true uses proxies)")
    elif names:
        urls = [(each.name, each.base_url) for provider in providers if provider.embedded is None for each in each_url(provider)]
        hosts = dict.fromkeys((name, urlsplit(url).hostname or "") for name, url in urls)
        straight = [f"{name} ({host})" for name, host in hosts if is_bypassed(host)]
        if straight:
            notice(f"requests to {', '.join(straight)} go past the proxy: this machine always does, others by NO_PROXY")


@asynccontextmanager
async def started(variants: Sequence[Variant]) -> AsyncIterator[tuple[Variant, ...]]:
    """Yield the variants, with the base URLs of embedded models filled in while their servers run. Raises SetupError."""
    async with AsyncExitStack() as stack:
        urls: dict[tuple[str, str], str] = {}
        ready: list[Variant] = []
        for variant in variants:
            settings = variant.provider.embedded
            if settings is None:
                ready.append(variant)
                continue
            key = (variant.provider.name, variant.model)
            if key not in urls:
                urls[key] = (await stack.enter_async_context(EmbeddedServer(settings, _alias(variant)))).base_url
            ready.append(replace(variant, provider=replace(variant.provider, base_url=urls[key])))
        yield tuple(ready)


def by_endpoint(variants: Iterable[Variant]) -> list[list[Variant]]:
    """Group the variants that share an endpoint, or a pool of them: base URLs and key."""
    groups: dict[tuple[frozenset[str], str | None], list[Variant]] = {}
    for variant in variants:
        # A set: the order in which a pool's URLs are written makes no other endpoint of it.
        urls = frozenset((variant.provider.base_url, *variant.provider.more_urls))
        groups.setdefault((urls, variant.provider.api_key_env), []).append(variant)
    return list(groups.values())


def each_url(provider: ProviderSettings) -> list[ProviderSettings]:
    """Split a provider into one for each of its URLs."""
    return [replace(provider, base_url=url, more_urls=()) for url in (provider.base_url, *provider.more_urls)]


def endpoint_name(provider: ProviderSettings, pooled: bool) -> str:
    """Return an endpoint's name for messages: its provider's, with the host where there are several."""
    return f"{provider.name} ({endpoint_address(provider.base_url)})" if pooled else provider.name


@asynccontextmanager
async def clients(
    pools: Sequence[Sequence[ProviderSettings]], keys: ApiKeys, run: RunSettings, clock: Clock
) -> AsyncIterator[list[list[Client]]]:
    """Yield a client for each endpoint of each pool, over one HTTP engine."""
    engine = open_engine(run, run.most_in_flight * sum(map(len, pools)))
    budget = ReplyBudget()
    async with engine:
        yield [
            [
                Client(
                    provider, keys[provider.api_key_env] if provider.api_key_env else None, run, clock=clock, engine=engine, budget=budget
                )
                for provider in pool
            ]
            for pool in pools
        ]


async def check_pool(clients: Sequence[Client], variants: Sequence[Variant], notice: Callable[[str], None]) -> dict[Client, ErrorInfo]:
    """Do `check_models` for each endpoint of a pool. Problems of some endpoints are only reported: the others serve without them.

    Returns why some cannot be reached yet. Raises JobError and EndpointError when something is wrong with all.
    """
    faults: list[JobError | EndpointError] = []
    unready: dict[Client, ErrorInfo] = {}

    async def check(client: Client, provider: ProviderSettings) -> None:
        try:
            problem = await check_models(client, [replace(variant, provider=provider) for variant in variants], notice)
            if problem is not None:
                unready[client] = problem
        except (JobError, EndpointError) as error:
            faults.append(error)
            if len(faults) < len(clients):
                notice(f"{endpoint_name(provider, pooled=True)}: {error}")

    # With one there is nothing to report beside what is raised: no other endpoint serves without it.
    if len(clients) == 1:
        problem = await check_models(clients[0], variants, notice)
        return {} if problem is None else {clients[0]: problem}
    async with anyio.create_task_group() as group:
        for client, provider in zip(clients, each_url(variants[0].provider), strict=True):
            group.start_soon(check, client, provider)
    if len(faults) == len(clients):
        raise faults[0]
    return unready


async def check_models(client: Client, variants: Sequence[Variant], notice: Callable[[str], None]) -> ErrorInfo | None:
    """Compare the models of `variants` with the endpoint's list before anything is sent; returns why it cannot be reached, or is not ready.

    The models are assumed to be right if the endpoint has no list, does not show it to this key, or cannot be reached yet. If the list is
    incomplete (one page of several, or not all that is served) a missing model is a warning. Raises JobError for a model that
    is not there, with near names, and EndpointError when the key is refused or the certificate is bad.
    """
    served: ModelList | None = None
    with anyio.move_on_after(PREFLIGHT_TIMEOUT_S):
        try:
            served = await client.model_list()
        except EndpointError as error:
            if error.info.code == "authentication" and not await client.refuses_key(variants[0].prompt.api):
                notice(f"{variants[0].provider.name}: the key is refused for the list of models only, so that models are not checked")
                return None
            if error.info.code in {"authentication", "quota", "tls"}:
                raise
            return error.info if error.info.code in UNREADY else None
    if served is None or not served.ids:
        return None
    named = [variant for variant in variants if variant.model != OWN_MODEL]
    missing = [variant for variant in named if not _is_served(variant.model, served.names)]
    problems = [_unknown_model(variant, served.ids) for variant in missing]
    if problems and served.is_whole and all(variant.provider.lists_all_models for variant in missing):
        raise JobError(problems)
    for variant in missing:
        listed = "its list of models, which does not have all of them," if served.is_whole else "the first page of its list of models"
        notice(
            f"{variant.provider.name}: {variant.model} is not in {listed} and is sent all the same (run.preflight = false skips this check)"
        )
    return None


def _alias(variant: Variant) -> str:
    return variant.provider.name if variant.model == OWN_MODEL else variant.model


def _is_served(model: str, served: Collection[str]) -> bool:
    """Whether a list of models holds `model`, by the ways in which providers shorten names.

    OpenRouter takes "model:suffix" and "model@preset/name" for a listed model, Fireworks "model#deployment", Ollama lists "model:latest",
    Gemini lists "models/model".
    """
    base = re.split("[:@#]", model, maxsplit=1)[0]
    return any(name in (model, base) or name.split(":")[0] == model or name.removeprefix("models/") == model for name in served)


def _unknown_model(variant: Variant, served: Sequence[str]) -> Problem:
    near = get_close_matches(variant.model, served, n=3, cutoff=0.5)
    tail = [name for name in served if name.split("/")[-1] == variant.model.split("/")[-1]]
    names = list(dict.fromkeys([*tail, *near]))[:3]
    shown = f"did you mean {' or '.join(names)}?" if names else f"it serves: {', '.join(served[:5])}{', …' if len(served) > 5 else ''}"
    hint = f"{shown}; if the endpoint takes it all the same, set run.preflight = false"
    return Problem(variant.provider.base_url, f"model {variant.model!r}", "is not served there", hint)
