"""Read the samples of lm-eval (samples_TASK_DATE.jsonl, as lm_eval/loggers/evaluation_tracker.py writes them)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from batch.evaluation.foreign.values import ForeignLine, id_of, text_of

# Logged lists are turned into texts, so a likelihood is ["-5.5", "False"]; older versions logged [-5.5, false].
_GREEDY = frozenset({"True", "False"})


def lm_eval_lines(lines: Sequence[Mapping[str, Any]]) -> Iterator[ForeignLine]:
    """Yield a line for each question and filter. Each filter becomes a variant of its own, since it extracts another answer."""
    for line in lines:
        doc, requests = line.get("doc"), _requests(line.get("arguments"))
        columns = {**(doc if isinstance(doc, dict) else {"doc": doc}), "target": line.get("target"), "doc_id": line["doc_id"]}
        if requests and "prompt" not in columns:
            columns["prompt"] = requests[0][0]
        for text in _filtered(line["filtered_resps"], requests):
            yield id_of(line["doc_id"]), str(line.get("filter") or "none"), {"text": text}, columns


def _requests(given: Any) -> list[tuple[str, Any]]:
    """Return the context of each request, and its second argument: a continuation for likelihoods."""
    if not isinstance(given, dict):
        return []
    return [(str(each.get("arg_0")), each.get("arg_1")) for each in given.values() if isinstance(each, dict)]


def _filtered(given: Any, requests: Sequence[tuple[str, Any]]) -> Iterator[str | None]:
    """Yield the filtered answers, one per repeat; of several likelihoods, the index of the likeliest choice.

    A single likelihood is right when its continuation is what the model would have written: it gives that text, or an empty one.
    """
    values = given if isinstance(given, list) else [given]
    likelihoods = [_likelihood(one) for one in values]
    known = [one for one in likelihoods if one is not None]
    if not known or len(known) < len(values):
        for one in values:
            yield from (text_of(each) for each in one) if isinstance(one, list) else (text_of(one),)
    elif len(known) == 1:
        continuation = requests[0][1] if requests else True
        yield str(continuation).strip() if known[0][1] else ""
    else:
        # Requests without a context only normalise the others (acc_mutual_info).
        plain = [at for at, (context, _) in enumerate(requests[: len(known)]) if context or not requests[0][0]]
        yield str(max(plain or range(len(known)), key=lambda at: known[at][0]))


def _likelihood(value: Any) -> tuple[float, bool] | None:
    """Read a log-likelihood and whether its continuation is the greedy one; None for anything else."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    number, greedy = value
    if not (isinstance(greedy, bool) or greedy in _GREEDY) or not isinstance(number, int | float | str):
        return None
    try:
        return float(number), greedy is True or greedy == "True"
    except ValueError:
        return None
