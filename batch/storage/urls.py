"""Addresses on object stores: s3://BUCKET/KEY and gs://BUCKET/KEY, with options behind a question mark.

    s3://bucket/folder/*.parquet?endpoint_override=http://127.0.0.1:9000&region=eu-central-1

A `?` begins the options where a word and `=` follow; any other `?` is part of the key or pattern.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from batch.storage.schemes import check_scheme

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_OPTIONS = re.compile(r"\?(?=[A-Za-z_]+=)")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "s3": ("endpoint_override", "region", "anonymous"),
    "gs": ("endpoint_override", "anonymous"),
}
# Schemes of Hadoop, of fsspec and of browsers for places that are read under another one.
_ELSEWHERE = {"gcs": "write gs://", "s3a": "write s3://", "s3n": "write s3://", "file": "write the path alone"}


def is_url(text: str) -> bool:
    """Whether `text` is an address with a scheme, supported or not, rather than a path."""
    return _SCHEME.match(text) is not None


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """An object, a folder or a pattern on a store. `key` has no slash at its ends; `options` are as they stood."""

    scheme: str
    bucket: str
    key: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        address = f"{self.scheme}://{self.bucket}/{self.key}" if self.key else f"{self.scheme}://{self.bucket}"
        # Colons and slashes as written: the address of a store on another host stays readable.
        return f"{address}?{urlencode(self.options, safe=':/')}" if self.options else address

    @property
    def is_foreign(self) -> bool:
        """Whether only fsspec reads it (foreign.py)."""
        return self.scheme not in OPTIONS

    @property
    def path(self) -> str:
        """The address as pyarrow's file systems have it: BUCKET/KEY."""
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> StoreUrl:
        """The folder it lies in."""
        return replace(self, key=self.key.rpartition("/")[0])

    def option(self, name: str) -> str | None:
        """The value of an option."""
        return dict(self.options).get(name)

    def at(self, path: str) -> StoreUrl:
        """The same store's object at BUCKET/KEY."""
        bucket, _, key = path.partition("/")
        return replace(self, bucket=bucket, key=key)

    def joined(self, name: str) -> StoreUrl:
        """What lies under this folder."""
        return replace(self, key=f"{self.key}/{name}" if self.key else name)


def parse(text: str, *, inputs: bool = False) -> StoreUrl:
    """The parts of an address; `inputs`: also of one that only fsspec's file systems read (foreign.py).

    Raises:
        ValueError: unsupported store, no bucket, an unknown option, or an access key inside; says what to do.
    """
    match = _SCHEME.match(text)
    if match is None:
        raise ValueError(f"{text} is no address of an object store")
    scheme = match[1].lower()
    if scheme not in OPTIONS and scheme not in _ELSEWHERE and inputs:
        return _foreign(scheme, text[match.end() :])
    if scheme not in OPTIONS:
        hint = _ELSEWHERE.get(scheme, "copy it here, or to one of these, first")
        raise ValueError(f"{scheme}:// is not read; object stores are {' and '.join(f'{name}://' for name in OPTIONS)} ({hint})")
    address, query = _divided(text[match.end() :])
    bucket, _, key = address.partition("/")
    # It would stand in run.json, in messages and in the list of processes.
    if "@" in bucket:
        raise ValueError("an address must hold no key: remove the part before the @ and set it in the environment")
    if not bucket:
        raise ValueError(f"{text}: the bucket is missing; write {scheme}://BUCKET/KEY")
    options = tuple(parse_qsl(query, keep_blank_values=True))
    for name, _value in options:
        if name not in OPTIONS[scheme]:
            near = difflib.get_close_matches(name, OPTIONS[scheme], n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(OPTIONS[scheme])}"
            raise ValueError(f"{scheme}:// has no option {name!r}; {hint}")
    return StoreUrl(scheme, bucket, key.strip("/"), options)


def _foreign(scheme: str, address: str) -> StoreUrl:
    """The parts of an address of fsspec; a ? is part of the path there. Raises ValueError."""
    check_scheme(scheme)
    bucket, _, key = address.partition("/")
    if ":" in bucket.rpartition("@")[0]:
        raise ValueError("an address must hold no password: remove it and give it to the file system by its environment or config")
    if not bucket:
        raise ValueError(f"{scheme}://{address}: the path is missing; write {scheme}://PATH")
    return StoreUrl(scheme, bucket, key.rstrip("/"))


def _divided(text: str) -> tuple[str, str]:
    """What stands before the options, and the options."""
    parts = _OPTIONS.split(text, maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""
