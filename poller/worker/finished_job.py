"""A job whose slot needs no more requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poller.polling.results import PollResult


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A job to remove from the queue once its result is committed. `result`: None if there is nothing to write."""

    job_id: int
    result: PollResult | None
