"""The wire: one attempt over HTTP, plain or streamed, and the Python face of it, `Endpoint`."""

from __future__ import annotations
