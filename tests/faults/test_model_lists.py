"""Lists of models that are not the authority: a warning, and never a refusal of what works (fault 68)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from batch.errors import JobError
from batch.providers.presets import PRESETS
from batch.transport.model_list import read_model_list
from tests.support.jobs import JobFolder, rows_sent, run_here
from tests.support.scripted import Action, Handler, Received, ScriptedEndpoint, answer, error, http


def listing(*models: Any, **more: Any) -> Handler:
    """An endpoint that answers, with this list of models."""

    def handler(received: Received) -> Iterable[Action]:
        if received.path.endswith("/models"):
            return [http(200, orjson.dumps({"object": "list", "data": [{"id": m} if isinstance(m, str) else m for m in models], **more}))]
        return answer(received)

    return handler


def folder_for(tmp_path: Path, url: str, model: str) -> JobFolder:
    """A job of two rows for this model."""
    folder = JobFolder(tmp_path, url, rows=2)
    folder.write(model=f"house/{model}")
    return folder


@pytest.mark.parametrize("preset", sorted(name for name, preset in PRESETS.items() if not preset.lists_all_models))
def test_a_list_that_is_not_the_authority_is_a_warning(tmp_path: Path, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deployments, routes, aliases and fine-tuned models are in no list: the run warns, names preflight, and sends."""
    if key := PRESETS[preset].api_key_env:
        monkeypatch.setenv(key, "sk-canary-0123456789")
    with ScriptedEndpoint(listing("listed-model")) as endpoint:
        folder = JobFolder(tmp_path, endpoint.url, rows=2)
        folder.write(model="house/my-deployment", provider=f'preset = "{preset}"')
        session = run_here(folder)
    assert session.exit_code == 0
    (shown,) = session.notices
    assert "my-deployment is not in its list of models" in shown
    assert "preflight = false" in shown


@pytest.mark.parametrize("model", ["listed", "listed:free", "listed@preset/mine", "listed#accounts/me/deployments/d", "alias-of-it"])
def test_other_names_of_a_listed_model(tmp_path: Path, model: str) -> None:
    """A suffix that picks a route or a deployment, and an alias in the list, are of a listed model: nothing is said."""
    with ScriptedEndpoint(listing({"id": "listed", "aliases": ["alias-of-it"]})) as endpoint:
        session = run_here(folder_for(tmp_path, endpoint.url, model))
    assert (session.exit_code, session.notices) == (0, [])


def test_one_page_of_several_is_not_believed(tmp_path: Path) -> None:
    """A list that says that there is more refuses nothing."""
    with ScriptedEndpoint(listing("a", "b", has_more=True)) as endpoint:
        session = run_here(folder_for(tmp_path, endpoint.url, "z"))
    assert session.exit_code == 0
    assert "first page" in session.notices[0]


def test_a_whole_list_of_a_server_of_ones_own_is_believed(tmp_path: Path) -> None:
    """Fault 6: there an unknown model stops the run before a row is sent, with near names and the way past the check."""
    with ScriptedEndpoint(listing("test-model-2")) as endpoint:
        with pytest.raises(JobError, match="did you mean test-model-2") as caught:
            run_here(folder_for(tmp_path, endpoint.url, "test-model"))
        assert rows_sent(endpoint) == 0
    assert "preflight = false" in str(caught.value)


def test_a_key_that_is_refused_for_the_list_only(tmp_path: Path) -> None:
    """A list that wants another key than the rest is skipped, said, and the rows are sent."""

    def handler(received: Received) -> Iterable[Action]:
        return [error(401, "x-api-key header is required")] if received.method == "GET" else answer_or_refuse(received)

    with ScriptedEndpoint(handler) as endpoint:
        session = run_here(folder_for(tmp_path, endpoint.url, "m"))
    assert session.exit_code == 0
    assert "refused for the list of models only" in session.notices[0]


def answer_or_refuse(received: Received) -> Iterable[Action]:
    """As a server does: a request without messages is refused."""
    return answer(received) if received.body else [error(400, "messages: field required")]


def test_a_key_that_is_refused_for_all(tmp_path: Path) -> None:
    """Fault 4: a key that is refused everywhere stops the run before a row is sent."""
    with ScriptedEndpoint(lambda _: [error(401, "no")]) as endpoint:
        session = run_here(folder_for(tmp_path, endpoint.url, "m"))
        assert rows_sent(endpoint) == 0
    assert (session.exit_code, session.tally.not_attempted) == (5, 2)


@pytest.mark.parametrize(
    ("document", "ids", "is_whole"),
    [
        ({"data": [{"id": "a"}, {"name": "b"}, "c", 7, {}]}, ["a", "b", "c"], True),
        ([{"id": "a"}], ["a"], True),
        ({"models": [{"name": "models/a"}], "nextPageToken": "x"}, ["models/a"], False),
        ({"data": [], "has_more": False}, [], True),
    ],
)
def test_shapes_of_lists(document: Any, ids: list[str], is_whole: bool) -> None:
    """OpenAI's list, a bare one, Ollama's and Gemini's are read; signs of more pages are seen."""
    served = read_model_list(orjson.dumps(document))
    assert served is not None
    assert (served.ids, served.is_whole) == (ids, is_whole)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"data": null}', b"7", b'"x"'])
def test_what_is_no_list(body: bytes) -> None:
    """Anything else is no list."""
    assert read_model_list(body) is None
