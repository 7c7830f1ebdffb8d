"""Corrects a verdict by what the endpoint has served before: one reply alone does not show whether a refusal is transient."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from batch.engine.endpoint_pool import EndpointPool
from batch.engine.work import Work
from batch.policy.blame import OF_THE_GATEWAY, OF_THE_RATE, Evidence
from batch.policy.pages import is_page
from batch.policy.verdicts import Action, Verdict
from batch.records import Api, ErrorInfo, Exchange


def with_history(verdict: Verdict, exchange: Exchange, work: Work, pool: EndpointPool, served: Collection[Api], *, has_ok: bool) -> Verdict:
    """Return the verdict on `exchange`, the last attempt of `work`, and take an attempt back from its count that is not charged.

    `served` are the APIs of which the pool has given an answer; `has_ok`: the row's variant has one.
    """
    code = verdict.error.code if verdict.error is not None else ""
    if verdict.action is Action.RETRY:
        by_gateway = verdict.error is not None and verdict.error.http_status in OF_THE_GATEWAY
        # A page in the place of an answer, as a gateway's login or maintenance: no model wrote it, and none was billed.
        by_gateway = by_gateway or (code == "not_json" and is_page(exchange.body))
        # Nothing was ever served behind this gateway: its refusal says nothing about the row.
        return _uncharged(verdict, work) if by_gateway and not pool.has_served(work) else verdict
    if verdict.action is not Action.STOP:
        return verdict
    if code == "model_not_found" and work.task.variant in pool.own_models:
        # The row has named it.
        return replace(verdict, action=Action.FAIL)
    if code == "tls" and has_ok:
        # An endpoint that has served has no wrong certificate: a handshake broke.
        return _uncharged(verdict, work)
    if code == "not_found" and served and work.task.request.api not in served:
        # The address is right, for another API is served there; this one is not.
        return replace(verdict, action=Action.FAIL)
    if code == "not_found" and pool.evidence(work).has_served:
        # The path is right, for rows were served there: an ingress has lost its backend, or this row leads elsewhere.
        return replace(verdict, action=Action.RETRY)
    return verdict


def refused_for_the_moment(verdict: Verdict, error: ErrorInfo, work: Work, evidence: Evidence, now: float) -> Verdict:
    """Return the verdict on a row refused for its rate, or as its model loads; one refused alone does not slow the endpoint down.

    Counts in `work` how often others were served between its refusals.
    """
    work.refused_alone += work.refused_at is not None and evidence.served_after(work.refused_at)
    work.refused_at = now
    if work.refused_alone <= 1:
        return verdict
    if error.code in OF_THE_RATE or verdict.wait is not None:
        return replace(verdict, reduce_concurrency=False)
    # The endpoint serves others, so it is not that which is loading: the row uses up its attempts.
    work.attempts += not verdict.charged
    return replace(verdict, charged=True, error=replace(error, code="server_error"))


def _uncharged(verdict: Verdict, work: Work) -> Verdict:
    work.attempts -= verdict.charged
    return replace(verdict, action=Action.RETRY, charged=False)
