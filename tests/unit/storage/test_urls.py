"""Addresses on object stores taken apart."""

from __future__ import annotations

import pytest

from batch.storage.urls import is_url, parse


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket",
        "s3://bucket/a/b.parquet",
        "s3://bucket/a/part-?.parquet",
        "gs://bucket/a/**/*.jsonl",
        "s3://bucket/a?endpoint_override=http://127.0.0.1:9000&region=eu-central-1",
        "s3://bucket/a/part-?.parquet?anonymous=true",
    ],
)
def test_an_address_comes_back_as_it_was(text: str) -> None:
    """Nothing of an address is lost or changed."""
    assert is_url(text)
    assert str(parse(text)) == text


def test_a_question_mark_of_a_pattern_is_no_option() -> None:
    """Options begin where a word and = follow."""
    url = parse("s3://bucket/a/part-?.parquet?region=x")
    assert (url.bucket, url.key, url.option("region")) == ("bucket", "a/part-?.parquet", "x")


def test_names_are_joined_before_the_options() -> None:
    """What lies in a folder keeps the folder's options."""
    url = parse("s3://bucket/a/?region=x").joined("b.json")
    assert str(url) == "s3://bucket/a/b.json?region=x"
    assert url.name == "b.json"
    assert str(url.parent) == "s3://bucket/a?region=x"
    assert str(parse("s3://bucket").joined("b")) == "s3://bucket/b"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abfs://x/y", "s3:// and gs://"),
        ("s3a://x/y", "write s3://"),
        ("https://x/y", "copy it here"),
        ("s3://", "bucket is missing"),
        ("s3:///key", "bucket is missing"),
        ("s3://b/k?regio=x", "did you mean region?"),
        ("gs://b/k?region=x", "there are endpoint_override"),
    ],
)
def test_what_cannot_be_an_address_is_explained(text: str, says: str) -> None:
    """The text says what to do."""
    with pytest.raises(ValueError, match=says.replace("?", r"\?")):
        parse(text)


def test_a_key_in_an_address_is_refused_and_not_repeated() -> None:
    """Promise 12: addresses are written into run.json, so they must hold no key; the message does not show it."""
    with pytest.raises(ValueError, match="must hold no key") as caught:
        parse("s3://AKIA123:sosecret@bucket/key")
    assert "sosecret" not in str(caught.value)


def test_paths_are_no_addresses() -> None:
    """A path is a path, whatever is in its name."""
    assert not any(map(is_url, ["/a/b", "a:b", "s3:/a", "./s3://x", "C:\\a"]))
