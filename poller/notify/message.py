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
    that are programs.
    """

    id: str
    about: str
    title: str
    text: str
    html: str
    alerts: Sequence[Mapping[str, Any]] = ()
