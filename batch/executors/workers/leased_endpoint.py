"""An endpoint that several workers send to, within one worker's share of its limits."""

from __future__ import annotations

import random

from batch.engine.limiter import EndpointLimiter
from batch.engine.steering import Steering
from batch.engine.work import PooledEndpoint
from batch.policy.limits.shared import LeasedBucket, LeasedConcurrency, LimitShare, LimitUsage
from batch.policy.rate_limiter import RateLimiter
from batch.settings import RunSettings
from batch.transport.client import Client


class LeasedEndpoint:
    """An endpoint that other workers send to as well, limited by this worker's share."""

    def __init__(self, name: str, client: Client, settings: RunSettings) -> None:
        self._concurrency = LeasedConcurrency(settings.most_in_flight)
        self._settings = settings
        self._buckets: dict[str, LeasedBucket] = {}
        limiter = EndpointLimiter(
            name,
            settings,
            # Unseeded, so that the workers of a run do not retry at the same moments.
            rng=random.Random(),  # noqa: S311
            concurrency=self._concurrency,
            rates=RateLimiter(settings.requests_per_minute, settings.tokens_per_minute, self._bucket),
        )
        self.pooled = PooledEndpoint(client, limiter)

    def grant(self, share: LimitShare, asked_at: float, now: float) -> None:
        """Set the share that may be used from now on."""
        self._concurrency.grant(share.concurrency)
        for name, flow in share.flows.items():
            # A share may name a rate of which this worker hears with the same grant, or no longer has.
            if name in self._buckets:
                self._buckets[name].grant(flow, asked_at)
        self.pooled.limiter.pause(share.pause_s, now)

    def steer(self, steering: Steering, now: float) -> None:
        """Keep to other limits: the shares are of those from now on."""
        self._concurrency.most = steering.applied(self._settings).most_in_flight
        self.pooled.limiter.steer(steering, now)

    def _bucket(self, name: str, per_minute: int | None) -> LeasedBucket | None:
        self._buckets.pop(name, None)
        if per_minute:
            self._buckets[name] = LeasedBucket()
        return self._buckets.get(name)

    def take_use(self, now: float, *, ready: bool) -> LimitUsage:
        """Return the use of the share since the last call; `ready`: there is something to send now."""
        flows = {name: bucket.take_use(now, ready=ready) for name, bucket in self._buckets.items()}
        return self._concurrency.take_use(now, ready=ready, pause_s=self.pooled.limiter.paused(now), flows=flows)
