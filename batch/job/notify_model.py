"""The [notify] table of a job file, as a pydantic model."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from batch.job.section import Absent, Section, Text
from batch.settings.notify import NotifySettings

# A variable may hold all of it.
_WEBHOOK = r"^(https?://\S+|\S*\$\{\w+\}\S*)$"


class NotifySection(Section):
    """Who hears of the run's end, of a stop, and of the half of its budget. A failure of it is reported and never the run's."""

    webhook: (
        Annotated[str, Field(pattern=r"^(https?://\S+|\S*\$\{\w+\}\S*)$", examples=["https://example.org/hook", "${HOOK_URL}"])] | Absent
    ) = Field(
        default=None,
        description='A URL that gets a POST of JSON, better by a variable: "${HOOK_URL}". One that is written out is not kept in run.json.',
    )
    command: Text | Absent = Field(
        default=None,
        description="A command line, without a shell, that gets the same JSON on stdin, and 10 s; keys are not in its variables.",
    )


def notify_settings(section: NotifySection, document: dict[str, Any]) -> NotifySettings:
    """Return the settings of the table; takes a URL that is written out, which may be a secret, out of the resolved document."""
    if section.webhook is not None and "${" not in section.webhook:
        document.get("notify", {}).pop("webhook", None)
    return NotifySettings(webhook=section.webhook, command=section.command)
