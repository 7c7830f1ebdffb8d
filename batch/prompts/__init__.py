"""Rows into requests: templates, messages, bodies and their keys. Pure."""

from __future__ import annotations

from batch.prompts.requests import RequestBuilder
from batch.prompts.schemas import AnswerSchema
from batch.prompts.templates import check_template

__all__ = ["AnswerSchema", "RequestBuilder", "check_template"]
