"""Pages of gateways in a few words."""

from __future__ import annotations

import pytest

from batch.policy.pages import LONGEST_TITLE, without_pages
from batch.policy.redaction import sample


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "an HTML page: 502 Bad Gateway"),
        ("<!DOCTYPE html>\n<html lang=en><title>\n  Error\n 1015 </title>", "an HTML page: Error 1015"),
        ("<html><h1>503 Service <b>Unavailable</b></h1> no server</html>", "an HTML page: 503 Service Unavailable"),
        ("<html>520: unknown &lt;error&gt;</html>", "an HTML page: 520: unknown <error>"),
        ("<center><h1>413 Too Large</h1></center>", "an HTML page: 413 Too Large"),
        ("<html><title></title><script>var a = 1;</script><body>Sign in</body></html>", "an HTML page: Sign in"),
        ("<html><script>var a = 1;", "an HTML page"),
        ("<html", "<html"),
        ("<?xml version='1.0'?><Error><Code>Busy</Code><Message>Reduce your rate.</Message></Error>", "an XML document: Reduce your rate."),
        ("Provider error (<html><title>429</title></html>)", "Provider error (an HTML page: 429)"),
        ("model <b> was not found", "model <b> was not found"),
        ("no healthy upstream", "no healthy upstream"),
        ("", ""),
    ],
)
def test_a_page_is_described_by_its_title(page: str, words: str) -> None:
    """Raw markup says nothing to a reader: what it is and its title do; other texts stay as they are."""
    assert without_pages(page) == words


def test_a_long_title_is_cut() -> None:
    """A title is a few words, not the whole page."""
    text = without_pages(f"<html><title>{'long ' * 400}</title></html>")
    assert len(text) == len("an HTML page: ") + LONGEST_TITLE
    assert text.endswith("…")


def test_a_sample_of_a_body_shows_no_markup() -> None:
    """Fault 9: the sample in a message says what came, in one line."""
    assert sample(b"<html>\n<title>Login</title>" + b"<p>x</p>" * 4000) == "an HTML page: Login"
