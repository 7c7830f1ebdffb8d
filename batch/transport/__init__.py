"""Sends one attempt over HTTP and reads its reply, plain or streamed."""

from __future__ import annotations
