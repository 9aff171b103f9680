"""What the handlers of all pages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from poller.query.reader import Reader
    from poller.web.loop_share import LoopShare
    from poller.web.pages.rendering import Renderer


@dataclass(slots=True)
class Site:
    """The parts that the handlers of pages use: reads, templates, and the share of the event loop for long answers."""

    reader: Reader
    share: LoopShare
    renderer: Renderer
    answered_at: datetime | None = None
    """When the database last answered a page; None: not since this process started."""
