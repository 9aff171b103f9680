"""What a worker says of its polls to others: events for the figures, and readings on their way to the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.schedule import Due
    from poller.polling.runner import PollResult


class Observer(Protocol):
    """Callbacks on what a worker does, used for metrics."""

    def handed_out(self, slots: int) -> None:
        """So many slots were queued."""

    def claimed(self, due: Due, now: datetime) -> None:
        """A slot was claimed."""

    def written(self, batch: Sequence[PollResult]) -> None:
        """These rows are safe."""

    def missed(self, slots: int, reason: str) -> None:
        """So many slots were written down as missed that nobody had queued."""

    def requeue(self, reason: str, slots: int) -> None:
        """So many slots have to wait, in the queue."""

    def database_error(self) -> None:
        """PostgreSQL, or the way to it, made trouble."""


class Silent:
    """Callbacks that do nothing."""

    def handed_out(self, slots: int) -> None:
        """Nothing."""

    def claimed(self, due: Due, now: datetime) -> None:
        """Nothing."""

    def written(self, batch: Sequence[PollResult]) -> None:
        """Nothing."""

    def missed(self, slots: int, reason: str) -> None:
        """Nothing."""

    def requeue(self, reason: str, slots: int) -> None:
        """Nothing."""

    def database_error(self) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What came of a job, on its way to the store; `polled` is None where there is nothing to write."""

    job_id: int
    polled: PollResult | None
