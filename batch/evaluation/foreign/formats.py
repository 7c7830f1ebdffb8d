"""Recognise and read the formats of other tools' files.

A format is recognised by its keys: promptmill's completions and errors; results of OpenAI's Batch API and vLLM's run-batch; of promptfoo
(lines, or {results: {results}}) and of inspect ({eval, samples}, and its .eval logs); samples of lm-eval and of Every Eval Ever; and
any line with its answer under a usual name, or the one asked for.
Sources: platform.openai.com/docs/guides/batch; EvaluateResult in promptfoo's src/types/index.ts; EvalSample in inspect's log/_log.py and
ModelOutput in its model/_model_output.py; lm_eval/evaluator.py; instance_level_eval.schema.json 0.2.1 and 0.3.0 of every_eval_ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from batch.errors import InputError
from batch.evaluation.foreign.files import documents
from batch.evaluation.foreign.inspect_logs import attached
from batch.evaluation.foreign.lm_eval import lm_eval_lines
from batch.evaluation.foreign.values import ForeignLine, id_of, text_of
from batch.providers.replies import read_reply
from batch.providers.usage import read_usage
from batch.results.openai_batch.files import is_batch_answer, only_model, read_batch_line

USUAL_NAMES = ("completion", "output", "response", "answer", "prediction", "text")
"""The names under which an answer is looked for, in this order."""

# Seconds and US dollars beyond this are no measurement; their sums are still finite.
_MOST = 1e12

# The endings of answers that were cut off, by the names of the chat API.
_INSPECT_REASONS = {"max_tokens": "length", "model_length": "length"}


def answer_lines(path: Path, answer: str | None) -> Iterator[ForeignLine]:
    """Yield the answers in one file. Raises InputError."""
    found = list(documents(path))
    if not all(isinstance(document, dict) for document in found):
        raise InputError(f"{path}: must hold JSON objects")
    if len(found) == 1 and isinstance(found[0].get("samples"), list):
        yield from _of_inspect(found[0])
        return
    if len(found) == 1 and isinstance(results := found[0].get("results"), dict) and isinstance(results.get("results"), list):
        found = results["results"]
    if answer is None and found and found[0].keys() >= {"vars", "provider", "testIdx"}:
        yield from _of_promptfoo(found)
    elif answer is None and found and all(map(is_batch_answer, found)):
        yield from _of_batches(found)
    elif answer is None and found and all(one.keys() >= {"doc_id", "resps", "filtered_resps"} for one in found):
        yield from lm_eval_lines(found)
    elif answer is None and found and all(one.keys() >= {"evaluation_id", "sample_id", "interaction_type"} for one in found):
        yield from _of_every_eval(found)
    else:
        yield from (_of_line(document, answer, path) for document in found)


def _of_line(line: dict[str, Any], answer: str | None, path: Path) -> ForeignLine:
    name = answer or next((usual for usual in USUAL_NAMES if usual in line), None)
    if name is None or (name not in line and not line.get("error")):
        if not line.get("error"):
            raise InputError(
                f"{path}: has no answer under {name or ', '.join(USUAL_NAMES)}; it has: {', '.join(line)}; --answer names the key"
            )
        name = None
    said = _failed(line["error"]) if line.get("error") else _own(line, line.get(name) if name else None)
    return id_of(line.get("id")), str(line.get("variant") or line.get("model") or "answers"), said, line


def _own(line: Mapping[str, Any], text: Any) -> dict[str, Any]:
    calls, reason = line.get("tool_calls"), line.get("finish_reason")
    return {
        **{key: _number(line.get(key)) for key in ("latency_s", "first_token_s", "cost_usd")},
        "tool_calls": calls if isinstance(calls, list) and all(isinstance(call, dict) for call in calls) else None,
        "text": text_of(text),
        "truncated": reason == "length",
        **({"finish_reason": reason} if isinstance(reason, str) else {}),
        "usage": read_usage(line.get("usage")) or {},
    }


def _of_batches(lines: Sequence[Mapping[str, Any]]) -> Iterator[ForeignLine]:
    answers = [read_batch_line(line) for line in lines]
    # Lines of failed requests do not say which model failed.
    model = only_model(answer.model for answer in answers) or "answers"
    for answer in answers:
        outcome = answer.outcome
        said: dict[str, Any] = {}
        if outcome.error is not None:
            said = {"failure": outcome.error.code}
        elif outcome.api is not None and outcome.response is not None:
            reply = read_reply(outcome.api, outcome.response)
            said = {"text": reply.text, "tool_calls": reply.tool_calls}
            said |= {"truncated": reply.finish_reason == "length", "usage": reply.usage or {}}
        yield answer.custom_id, answer.model or model, said, {}


def _of_promptfoo(lines: Sequence[Mapping[str, Any]]) -> Iterator[ForeignLine]:
    several_prompts = len({line.get("promptId") for line in lines}) > 1
    for line in lines:
        response, provider, latency = line.get("response") or {}, line["provider"], line.get("latencyMs")
        variant = str((provider.get("label") or provider.get("id")) if isinstance(provider, dict) else provider)
        if several_prompts:
            variant += f" prompt {str(line.get('promptId'))[:6]}"
        # An assertion that was not met is an error of its own there, beside an answer.
        error = response.get("error") or (line.get("error") if response.get("output") is None else None)
        said = {
            "text": text_of(response.get("output")),
            "cost_usd": _number(line.get("cost")),
            "latency_s": _seconds(latency),
        }
        yield id_of(line["testIdx"]), variant, _failed(error) if error else said, dict(line["vars"] or {})


def _of_inspect(document: Mapping[str, Any]) -> Iterator[ForeignLine]:
    variant = str((document.get("eval") or {}).get("model") or "answers")
    for sample in document["samples"]:
        known = {key: attached(sample.get(key), sample.get("attachments")) for key in ("input", "target", "choices", "output")}
        columns = {**{key: known[key] for key in ("input", "target")}, **(sample.get("metadata") or {})}
        columns |= {"choices": known["choices"]} if known["choices"] else {}
        output = known["output"] or {}
        choice: dict[str, Any] = next(iter(output.get("choices") or []), {})
        if sample.get("error") or output.get("error") or not choice:
            yield id_of(sample.get("id")), variant, _failed(sample.get("error") or output.get("error") or "no_choices"), columns
            continue
        yield id_of(sample.get("id")), variant, _inspect_answer(output, choice), columns


def _inspect_answer(output: Mapping[str, Any], choice: Mapping[str, Any]) -> dict[str, Any]:
    message, reason = choice.get("message") or {}, choice.get("stop_reason")
    calls = message.get("tool_calls") or []
    return {
        "text": text_of(message.get("content")),
        "tool_calls": [{"function": {"name": one.get("function"), "arguments": one.get("arguments")}} for one in calls] or None,
        "truncated": reason in _INSPECT_REASONS,
        "usage": _tokens(output.get("usage") or {}),
        "latency_s": _number(output.get("time")),
        **({"finish_reason": _INSPECT_REASONS.get(reason, reason)} if isinstance(reason, str) else {}),
    }


def _failed(error: Any) -> dict[str, Any]:
    """Make a failed task: a status becomes "http_500", and what is not an identifier "error"."""
    code = error.get("code") if isinstance(error, dict) else error
    return {"failure": code if isinstance(code, str) and code.isidentifier() else f"http_{code}" if type(code) is int else "error"}


def _number(value: Any) -> float | None:
    """Read an amount (seconds, US dollars) that another tool wrote; None for anything but a finite number from 0."""
    return float(value) if type(value) in (int, float) and 0 <= value <= _MOST else None


def _tokens(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The tokens of an answer, from a tool that counts input and output tokens."""
    return read_usage({"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")}) or {}


def _seconds(milliseconds: Any) -> float | None:
    return None if (amount := _number(milliseconds)) is None else amount / 1000


def _of_every_eval(lines: Sequence[Mapping[str, Any]]) -> Iterator[ForeignLine]:
    """Read samples of Every Eval Ever. The answer is the output, or the last assistant message of a dialogue."""
    for line in lines:
        given, usage, timing = line.get("input") or {}, line.get("token_usage") or {}, line.get("performance") or {}
        columns = {"question": given.get("raw"), "reference": given.get("reference"), "choices": given.get("choices")}
        columns |= {**(line.get("metadata") or {}), "score": (line.get("evaluation") or {}).get("score")}
        variant = str(line.get("model_id") or "answers")
        if line.get("error"):
            yield id_of(line["sample_id"]), variant, {"failure": "error"}, columns
            continue
        texts = (line.get("output") or {}).get("raw")
        if texts is None:
            said = [message.get("content") for message in line.get("messages") or () if message.get("role") == "assistant"]
            texts = said[-1:]
        facts = {"usage": _tokens(usage), "latency_s": _seconds(timing.get("latency_ms"))}
        for text in texts if isinstance(texts, list) else [texts]:
            yield id_of(line["sample_id"]), variant, {"text": text_of(text), **facts}, columns
