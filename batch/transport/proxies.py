"""Reads the proxies of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY) for every HTTP engine. Used only with `trust_env`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed has no second

from batch.transport.wire import Engine, Response, Target


def proxies_of_environment() -> dict[str, str]:
    """Return proxy URLs by the scheme of the requests that they are for ("http", "https"); ALL_PROXY fills in for both."""
    found = getproxies_environment()
    urls = {scheme: found.get(scheme) or found.get("all") for scheme in ("http", "https")}
    return {scheme: url if "://" in url else f"http://{url}" for scheme, url in urls.items() if url}


def proxy_passwords() -> list[str]:
    """Return the passwords in the URLs of these proxies: errors can quote them."""
    return [password for url in proxies_of_environment().values() if (password := unquote(urlsplit(url).password or ""))]


def is_bypassed(host: str) -> bool:
    """Whether requests to `host` bypass the proxy: this machine always, others by NO_PROXY."""
    bare = host.strip("[]")
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        if ipaddress.ip_address(bare).is_loopback:
            return True
    except ValueError:
        pass
    return bool(proxy_bypass_environment(host))


class Proxied(Engine):
    """Sends each request straight or through the proxy of its scheme."""

    def __init__(self, direct: Engine, proxied: Mapping[str, Engine]) -> None:
        self._direct = direct
        self._proxied = proxied
        self._routes: dict[Target, Engine] = {}

    async def send(self, target: Target, body: bytes) -> Response:
        """Return the reply, by the route that the environment sets for the target."""
        if target not in self._routes:
            url = urlsplit(target.url)
            self._routes[target] = self._direct if is_bypassed(url.hostname or "") else self._proxied.get(url.scheme, self._direct)
        return await self._routes[target].send(target, body)

    async def close(self) -> None:
        """Close all engines."""
        for engine in (self._direct, *self._proxied.values()):
            await engine.close()
