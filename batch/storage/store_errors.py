"""Explain an object store's refusals. The texts are those of Arrow's S3 and GCS file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path

from batch.storage.urls import StoreUrl

_NOISE = re.compile(r"\s*\(?Request ID: [^)]*\)?|error_info=\{.*", re.DOTALL)
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|bucket does not exist|NoSuchBucket")
_DENIED = re.compile(r"ACCESS_DENIED|AccessDenied|HTTP status 403|PERMISSION_DENIED|does not have storage\.")
_UNKNOWN_KEY = re.compile(r"INVALID_ACCESS_KEY_ID|InvalidAccessKeyId|INVALID_CLIENT_TOKEN_ID|UNRECOGNIZED_CLIENT|SIGNATURE_DOES_NOT_MATCH")
_EXPIRED = re.compile(r"ExpiredToken|EXPIRED_TOKEN|token.*expired", re.IGNORECASE)
_REGION = re.compile(
    r"PERMANENT_REDIRECT|PermanentRedirect|HTTP status 301|AuthorizationHeaderMalformed|region .* is wrong|IllegalLocation"
)
_NO_GOOGLE_KEY = re.compile(r"OAuth2 access token|[Dd]efault [Cc]redentials|UNAUTHENTICATED|status 401")
_UNREACHABLE = re.compile(r"NETWORK_CONNECTION|Could not resolve host|Could not connect|Connection refused|Timeout was reached")


class StoreError(OSError):
    """A store refuses or cannot be reached; the text is for people. `lasting` says that trying again does not help.

    `is_missing`: there is no such object.
    """

    def __init__(self, text: str, *, lasting: bool = False, is_missing: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting
        self.is_missing = is_missing


def explained(error: Exception, url: StoreUrl) -> StoreError:
    """The error for people that stands for what Arrow raised while working on `url`."""
    if isinstance(error, StoreError):
        return error
    text = " ".join(_NOISE.sub("", str(error)).split())
    if isinstance(error, FileNotFoundError):
        return StoreError(f"{url}: no such object", lasting=True, is_missing=True)
    if _NO_BUCKET.search(text):
        return no_bucket(url)
    if url.scheme == "gs" and _NO_GOOGLE_KEY.search(text):
        return StoreError(
            f"{url}: no Google credentials; run `gcloud auth application-default login`, set GOOGLE_APPLICATION_CREDENTIALS "
            "to a key's file, or add ?anonymous=true for a public bucket",
            lasting=True,
        )
    if _EXPIRED.search(text):
        return StoreError(f"{url}: the credentials have expired; get new ones and give the same command again", lasting=True)
    if _UNKNOWN_KEY.search(text):
        return StoreError(
            f"{url}: the store does not know the key, or the secret is wrong: see AWS_ACCESS_KEY_ID, AWS_PROFILE", lasting=True
        )
    if _REGION.search(text):
        return StoreError(f"{url}: the bucket is in another region; set AWS_REGION, or add ?region=… ({text})", lasting=True)
    if _DENIED.search(text):
        return StoreError(f"{url}: access denied{_key_in_use(url)}", lasting=True)
    if _UNREACHABLE.search(text):
        return StoreError(f"{url}: the store cannot be reached{_where(url)} ({text})")
    return StoreError(f"{url}: {text}")


def no_bucket(url: StoreUrl) -> StoreError:
    """The error for a bucket that is not there."""
    return StoreError(f"{url}: there is no bucket {url.bucket}{_where(url)}; make it first, or correct its name", lasting=True)


def _where(url: StoreUrl) -> str:
    endpoint = url.option("endpoint_override") or (s3_endpoint() if url.scheme == "s3" else None)
    return f" at {endpoint}" if endpoint else ""


def s3_endpoint() -> str | None:
    """Return the S3 endpoint when it is not Amazon's: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _key_in_use(url: StoreUrl) -> str:
    if url.scheme != "s3":
        return "; the account needs to read, list and write objects there"
    has_keys = os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE")
    files = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}
    if has_keys or any(Path(os.environ.get(name, usual)).expanduser().is_file() for name, usual in files.items()):
        return "; the key needs s3:ListBucket on the bucket, s3:GetObject, and for what is written s3:PutObject and s3:DeleteObject"
    return (
        "; no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
        "or add ?anonymous=true for a public bucket"
    )
