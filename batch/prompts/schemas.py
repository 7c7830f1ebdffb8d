"""JSON Schemas for answers: request one, check an answer, and ask again after an answer that does not fit.

The request: `response_format: {type: json_schema, json_schema: {name, schema, strict}}`,
https://platform.openai.com/docs/guides/structured-outputs
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from batch.prompts.bounded import LONGEST_S, BoundedPattern, Deadline, OutOfTimeError, bounded_validator
from batch.records import ErrorInfo, ErrorKind, Reply, Request
from batch.settings import PromptSettings, SchemaSupport

# It goes into the repair request, which is billed, and into error messages.
LONGEST_COMPLAINT = 300
# Answers of which a second one would be no better: cut off by the limit of tokens, filtered, or refused.
_FINAL_REASONS = frozenset({"length", "content_filter"})
# What OpenAI's strict mode takes; a schema with anything else is refused there in strict mode.
_STRICT_KEYWORDS = {
    *("$schema", "$ref", "$defs", "definitions", "title", "description", "type", "enum", "const", "anyOf"),
    *("properties", "required", "additionalProperties", "items", "minItems", "maxItems", "pattern", "format"),
    *("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}


class AnswerSchema:
    """A JSON Schema, ready to check values with. Nothing is ever fetched for it.

    Raises:
        ValueError: it is no valid schema, has a pattern that cannot be read, or refers to another document; the text says where.
    """

    def __init__(self, schema: Any) -> None:
        try:
            self._make(schema)
        except ValueError:
            raise
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except OutOfTimeError:
            raise ValueError(f"its references multiply: {{}} alone takes longer than {LONGEST_S:g} s to check") from None
        except Exception as error:
            raise ValueError(f"it cannot be used: {error}"[:LONGEST_COMPLAINT]) from error

    def _make(self, schema: Any) -> None:
        import jsonschema
        from jsonschema_specifications import REGISTRY

        if not isinstance(schema, Mapping):
            raise ValueError("a JSON Schema for answers is an object")  # noqa: TRY004 - it is about a user's text
        maker = jsonschema.validators.validator_for(schema)
        try:
            maker.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ValueError(f"{error.json_path}: {error.message}"[:LONGEST_COMPLAINT]) from error
        self._deadline = Deadline()
        # With "$schema" in it, jsonschema would go back to its own class at each reference to the root.
        plain = {key: value for key, value in schema.items() if key != "$schema"}
        self._validator = bounded_validator(maker, self._deadline)(plain, registry=REGISTRY)
        self._best = jsonschema.exceptions.best_match
        self._check_references(schema)
        for pattern in _patterns(schema):
            BoundedPattern(pattern)

    def complaint(self, value: Any) -> str | None:
        """In what `value` does not fit, with its place: "$.label: 'x' is not one of […]"; None when it fits.

        Raises:
            OutOfTimeError: the check takes longer than `LONGEST_S`.
        """
        self._deadline.start()
        try:
            if self._validator.is_valid(value):
                return None
            found = self._best(self._validator.iter_errors(value))
        except RecursionError:
            return "$: nested too deeply"
        except OutOfTimeError:
            raise
        except Exception as error:  # noqa: BLE001 - a model's numbers meet a schema's: jsonschema raises what arithmetic raises
            return f"$: cannot be checked: {type(error).__name__}: {error}"[:LONGEST_COMPLAINT]
        finally:
            self._deadline.clear()
        if found is None:
            return None
        text = f"{found.json_path}: {found.message}"
        return text if len(text) <= LONGEST_COMPLAINT else text[: LONGEST_COMPLAINT - 1] + "…"

    def _check_references(self, schema: Mapping[str, Any]) -> None:
        from jsonschema_specifications import REGISTRY
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012, specification_with

        specification = specification_with(str(schema.get("$schema", "")), default=DRAFT202012)
        resolver = REGISTRY.resolver_with_root(specification.create_resource(schema))
        for reference in _references(schema):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                hint = "" if reference.startswith("#") else "; other documents are not fetched, so put it into $defs"
                raise ValueError(f"$ref {reference!r} leads nowhere{hint}") from None
        self._deadline.start()
        try:
            self._validator.is_valid({})
        except RecursionError:
            raise ValueError("its references go round in a circle") from None
        finally:
            self._deadline.clear()


def fault_of(schema: AnswerSchema, reply: Reply) -> ErrorInfo | None:
    """Why an answer is not what `schema` demands, as an error of kind output; None when it is, or is a call of tools.

    The codes: refusal, answer_not_json, schema_violation.
    """
    if reply.tool_calls and not reply.text:
        return None
    if reply.refusal and not reply.text:
        return ErrorInfo(ErrorKind.OUTPUT, "refusal", f"the model refused: {reply.refusal}"[:LONGEST_COMPLAINT])
    text = reply.text or ""
    try:
        value = parsed_answer(text)
    except (ValueError, RecursionError) as error:
        cause = "the answer is empty" if not text.strip() else f"the answer is not JSON: {error}"
        return ErrorInfo(ErrorKind.OUTPUT, "answer_not_json", cause + _end(reply))
    try:
        complaint = schema.complaint(value)
    except OutOfTimeError:
        return ErrorInfo(ErrorKind.OUTPUT, "schema_violation", f"the answer could not be checked against the schema within {LONGEST_S:g} s")
    return None if complaint is None else ErrorInfo(ErrorKind.OUTPUT, "schema_violation", f"the answer does not fit: {complaint}")


def is_mendable(reply: Reply) -> bool:
    """Whether asking again may help: not where the answer was cut off, filtered, or refused."""
    return reply.finish_reason not in _FINAL_REASONS and not (reply.refusal and not reply.text)


def mending(request: Request, answer: str, complaint: str, schema: Mapping[str, Any]) -> Request:
    """`request` with the answer that did not fit, and what was wrong with it, as two more messages. The key stays: it is the same task."""
    body = json.loads(request.body)  # orjson would lose what stands in integers beyond 64 bits
    wish = "Answer again, with nothing but JSON (no code fence, no comment) that fits this JSON Schema"
    demand = f"{complaint[:1].upper()}{complaint[1:]}. {wish}: {_dumped(schema).decode()}"
    body["messages" if "messages" in body else "input"] += [{"role": "assistant", "content": answer}, {"role": "user", "content": demand}]
    return Request(request.api, _dumped(body), request.key, request.media)


def response_format(prompt: PromptSettings, support: SchemaSupport) -> dict[str, Any]:
    """What asks an endpoint for answers that fit the prompt's schema; only for JSON where it takes no schema."""
    if support == "json_object":
        return {"type": "json_object"}
    schema = prompt.schema or {}
    wrapped: dict[str, Any] = {"name": _name_of(schema), "schema": schema}
    if prompt.schema_strict:
        wrapped["strict"] = True
    return {"type": "json_schema", "json_schema": wrapped}


def is_enforced(prompt: PromptSettings, support: SchemaSupport) -> bool:
    """Whether the endpoint itself promises answers that fit."""
    return support == "enforced" or (support == "strict" and prompt.schema_strict)


def is_strict_form(schema: Any, *, root: bool = True) -> bool:
    """Whether OpenAI's strict mode would take `schema`: closed objects, all properties required, no keyword beyond its subset."""
    if not isinstance(schema, Mapping):
        return schema is True and not root
    if not set(schema) <= _STRICT_KEYWORDS or (root and schema.get("type") != "object"):
        return False
    kind = schema.get("type", "")
    if "object" in ([kind] if isinstance(kind, str) else kind) or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties):
            return False
    below = [*(schema.get("properties") or {}).values(), *(schema.get("$defs") or schema.get("definitions") or {}).values()]
    below += schema.get("anyOf", [])
    if "items" in schema:
        below.append(schema["items"])
    return all(is_strict_form(item, root=False) for item in below)


def parsed_answer(text: str) -> Any:
    """Return the JSON value of an answer. Raises ValueError, RecursionError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(text, parse_constant=_refuse)  # what orjson cannot hold: lone surrogates
        except json.JSONDecodeError:
            raise error from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _end(reply: Reply) -> str:
    if reply.finish_reason == "length":
        return " (it was cut off by the limit of tokens: raise max_tokens)"
    return " (the content filter ended it)" if reply.finish_reason == "content_filter" else ""


def _name_of(schema: Mapping[str, Any]) -> str:
    """A name that OpenAI takes: letters, digits, _ and -, at most 64."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(schema.get("title") or ""))[:64].strip("_") or "answer"


def _patterns(node: Any) -> Iterator[str]:
    """All regular expressions of a schema; those in values that are compared and not read are none."""
    if isinstance(node, Mapping):
        if isinstance(pattern := node.get("pattern"), str):
            yield pattern
        if isinstance(by_name := node.get("patternProperties"), Mapping):
            yield from by_name
        for key, item in node.items():
            if key not in {"enum", "const", "default", "examples"}:
                yield from _patterns(item)
    elif isinstance(node, list):
        for item in node:
            yield from _patterns(item)


def _references(node: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(node, Mapping):
        # A resource of its own: references below it are resolved against its own base.
        if "$id" in node and depth:
            return  # its references are relative to it
        if isinstance(reference := node.get("$ref"), str):
            yield reference
        for item in node.values():
            yield from _references(item, depth + 1)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item, depth + 1)


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
