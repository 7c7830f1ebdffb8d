"""What a store refuses, said so that people know what to do. A scripted endpoint answers in S3's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.errors import InputError, StorageError
from batch.rundir.opening import open_run_directory
from batch.storage import expand, stores
from batch.storage.store_errors import StoreError, explained
from batch.storage.stores import open_object, put
from batch.storage.urls import parse
from tests.support.processes import unused_port
from tests.support.scripted import ScriptedEndpoint, http
from tests.support.stores import ENVIRON, S3Server

NOT_THERE = "AWS Error NO_SUCH_BUCKET during CreateMultipartUpload operation: The specified bucket does not exist (Request ID: X)"


def s3_error(code: str, status: int, message: str = "No.") -> bytes:
    """A reply of S3's; to HEAD its body is left out."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return http(status, body.encode(), content_type="application/xml")


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys for a test, and no file of the user's."""
    for name, value in {**ENVIRON, "AWS_REGION": "us-east-1", "XDG_CACHE_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("AccessDenied", 403, "access denied; the key needs s3:ListBucket on the bucket, s3:GetObject"),
        ("InvalidAccessKeyId", 403, "the store does not know the key, or the secret is wrong"),
        ("SignatureDoesNotMatch", 403, "the store does not know the key, or the secret is wrong"),
        ("ExpiredToken", 400, "the credentials have expired"),
        ("PermanentRedirect", 301, "the bucket is in another region; set AWS_REGION"),
        ("NoSuchBucket", 404, "there is no bucket b"),
    ],
)
def test_refusals_say_what_to_do(code: str, status: int, says: str) -> None:
    """The cause and the way on, not the SDK's error; such are not tried again."""
    with ScriptedEndpoint(lambda received: [s3_error(code, status)]) as store:
        url = parse(f"s3://b/key?endpoint_override={store.origin}")
        with pytest.raises(StoreError, match=says) as caught:
            put(url, b"x")
    assert caught.value.lasting
    assert "test-secret" not in str(caught.value)


def test_no_credentials_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Access denied without any key is about the key that is not there."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    said = pytest.raises(StoreError, match=r"no credentials were found: set AWS_ACCESS_KEY_ID .*anonymous=true")
    with ScriptedEndpoint(lambda received: [s3_error("AccessDenied", 403)]) as store, said:
        put(parse(f"s3://b/key?endpoint_override={store.origin}"), b"x")


def test_a_store_that_cannot_be_reached_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that fails is not lasting: the journal tries again."""
    monkeypatch.setattr(stores, "_ATTEMPTS", 1)
    url = parse(f"s3://b/key?endpoint_override=http://127.0.0.1:{unused_port()}")
    with pytest.raises(StoreError, match=r"the store cannot be reached at http://127\.0\.0\.1") as caught:
        open_object(url)
    assert not caught.value.lasting


def test_google_without_credentials_is_explained() -> None:
    """The text names the two ways to get them. Source: the text of google-cloud-cpp as pyarrow passes it on."""
    text = (
        "google::cloud::Status(UNAVAILABLE: Retry policy exhausted, with a last message of Could not create a OAuth2 access token to "
        "authenticate the request. The request was not sent, as such an access token is required)"
    )
    error = explained(OSError(text), parse("gs://b/key"))
    assert "gcloud auth application-default login" in str(error)
    assert error.lasting


def test_what_is_not_known_is_passed_on_without_noise() -> None:
    """Request ids help nobody."""
    assert str(explained(OSError("Strange. (Request ID: ABC)"), parse("s3://b/k"))) == "s3://b/k: Strange."
    assert "make it first" in str(explained(OSError(NOT_THERE), parse("s3://b/k")))


def test_input_and_runs_pass_the_words_on(s3: S3Server) -> None:
    """Each command's error has them: exit 2 for input, 5 for a run directory."""
    with pytest.raises(InputError, match="there is no bucket nowhere"):
        expand(["s3://nowhere/rows.jsonl"])
    with pytest.raises(StorageError, match="there is no bucket nowhere"), open_run_directory("s3://nowhere/run").lock():
        pass


def test_a_cache_that_cannot_be_written_is_explained(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The copy needs a place; the text names the variable."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="set XDG_CACHE_HOME"):
        open_run_directory("s3://b/run")
