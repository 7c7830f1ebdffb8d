"""Describes providers: presets, base URLs, request parameters and the shape of their replies. Pure."""

from __future__ import annotations
