"""Requests that the rows hold whole, as the lines of OpenAI's batch files do: {custom_id, method, url, body}.

They are sent as they are, but for what the variant itself says: its model (unless that is "*") and its parameters, each for the APIs that
take it. `stream` is decided by [run] alone. The format: https://platform.openai.com/docs/guides/batch; Azure's urls have no /v1, and
Together and Mistral name neither method nor url.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from batch.errors import RowError
from batch.prompts.encoding import encoded, identity, stream_members
from batch.prompts.templates import row_place
from batch.providers.parameters import COMMON_PARAMETERS, PARAMETERS_OF
from batch.records import STREAMED, Api, Request, Row
from batch.settings import OWN_MODEL, Variant

_STREAMING = ("stream", "stream_options")
_LENGTHS = ("max_tokens", "max_completion_tokens")


class StoredRequests:
    """Makes the requests of one variant out of rows that hold them."""

    def __init__(self, variant: Variant, stream: bool) -> None:
        self._variant = variant
        self._model = None if variant.model == OWN_MODEL else variant.model
        self._changes = {api: _changes(variant, api) for api in cast("tuple[Api, ...]", get_args(Api))}
        self._identities = {api: identity(variant, api) for api in self._changes}
        self._stream = stream

    def build(self, row: Row) -> Request:
        """The request in `row`.

        Raises:
            RowError: bad_row, for what is no request that can be sent.
        """
        api = _api(row)
        stored = row.columns.get("body")
        if not isinstance(stored, Mapping):
            raise _bad(row, "its body must be an object" if "body" in row.columns else "it has no body")
        replaced, changes = self._changes[api]
        body = {name: value for name, value in stored.items() if name not in replaced} | changes
        if self._model is not None:
            body["model"] = self._model
        elif not body.get("model") and api != "moderations":
            raise _bad(row, 'its body names no model; name one for all rows: id = "PROVIDER/MODEL"')
        if body.get("background"):
            raise _bad(row, "its body asks for an answer in the background, which would not be waited for")
        sent = encoded(row, body)
        key = self._identities[api].copy()
        key.update(sent[:-1])  # as templates do it: a request has one key, wherever it comes from
        if self._stream and api in STREAMED:
            options = b',"stream":true' if api == "messages" else stream_members(self._variant, stored.get("stream_options"), api)
            sent = sent[:-1] + options + b"}"
        return Request(api, sent, key.digest())


def _changes(variant: Variant, api: Api) -> tuple[frozenset[str], dict[str, Any]]:
    """What of a body is replaced, and by what."""
    accepted = PARAMETERS_OF[api]
    parameters = {name: value for name, value in variant.parameters.items() if name in accepted or name not in COMMON_PARAMETERS}
    if api == "responses":
        length = next((variant.parameters[name] for name in _LENGTHS if name in variant.parameters), None)
        parameters |= {} if length is None else {"max_output_tokens": length}
    renames = variant.provider.renames if api in STREAMED else {}
    changes = {renames.get(name, name): value for name, value in parameters.items() if name not in _STREAMING}
    lengths = _LENGTHS if not changes.keys().isdisjoint(_LENGTHS) else ()
    return frozenset((*_STREAMING, *parameters, *changes, *lengths)), changes


def _api(row: Row) -> Api:
    method, url = row.columns.get("method"), row.columns.get("url")
    if method not in ("POST", None):
        raise _bad(row, f'its method must be "POST", not {method!r:.40}')
    if url is None:
        return "chat/completions"
    path = url.removeprefix("/v1").removeprefix("/") if isinstance(url, str) else None
    if path not in get_args(Api):
        callable_urls = ", ".join(f"/v1/{api}" for api in get_args(Api))
        raise _bad(row, f"its url {url!r:.80} cannot be called; choose one of: {callable_urls}")
    return cast("Api", path)


def _bad(row: Row, problem: str) -> RowError:
    return RowError("bad_row", f"{row_place(row)}: {problem}")
