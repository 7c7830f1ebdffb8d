"""Finds what the user must learn about accepted answers: more than one in a reply, usage that cannot be, and unknown endings."""

from __future__ import annotations

from batch.engine.work import Work
from batch.providers.endings import is_unknown_ending
from batch.records import Exchange


class ReplyNotices:
    """Reports each finding once for each variant."""

    def __init__(self) -> None:
        self._reported: set[tuple[str, str]] = set()

    def of(self, work: Work, exchange: Exchange) -> list[str]:
        """Return what is new in this answer, each as one sentence."""
        reply = exchange.reply
        if reply is None:
            return []
        is_unknown = is_unknown_ending(reply.finish_reason, work.task.request.api)
        if reply.answers == 1 and not is_unknown and reply.doubted is None:
            return []
        found = {}
        row = f"{work.task.variant}: row {work.task.ordinal} (id {work.task.id})"
        if reply.answers > 1:
            found["answers"] = f"{row} got {reply.answers:,} answers in one reply: outputs have all of them, as a list"
        if reply.doubted is not None:
            found["tokens" if reply.usage is None else "cost"] = f"{row}: the endpoint {reply.doubted}"
        if is_unknown and reply.finish_reason is None:
            found["no ending"] = f"{row} ended without a finish_reason: see whether the answer is whole"
        elif is_unknown:
            reason = str(reply.finish_reason)[:80]
            found[f"ending {reason}"] = f"{row} ended with finish_reason {reason!r}, an unknown ending: see whether the answer is whole"
        new = [text for name, text in found.items() if (work.task.variant, name) not in self._reported]
        self._reported |= {(work.task.variant, name) for name in found}
        return new
