"""A message about alerts, as it is stored in the outbox and sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `id` is the same for every attempt to send it, so that a receiver can recognise a repetition.

    `about`: firing, resolved, digest or test. `alerts`: the alerts as `poller alerts --json` prints them, for receivers
    that are programs. `severity`: of the most urgent alert.
    """

    id: str
    about: str
    title: str
    text: str
    html: str
    alerts: Sequence[Mapping[str, Any]] = ()
    severity: str = "info"

    def content(self) -> dict[str, Any]:
        """What the outbox stores; the rest are columns."""
        return {
            "title": self.title,
            "text": self.text,
            "html": self.html,
            "alerts": list(self.alerts),
            "severity": self.severity,
        }


def stored_message(message_id: str, about: str, content: Mapping[str, Any]) -> Message:
    """A message of the outbox, from its columns."""
    return Message(
        message_id,
        about,
        content.get("title", ""),
        content.get("text", ""),
        content.get("html", ""),
        content.get("alerts", ()),
        content.get("severity", "info"),
    )
