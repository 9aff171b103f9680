"""Counts what the polls of the demo came to, from one line of its output to the next."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from poller.polling.instrumentation import NullInstrumentation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.model import Outcome
    from poller.polling.results import PollResult


class IntervalTally(NullInstrumentation):
    """Outcomes and requests since the last `take`."""

    def __init__(self) -> None:
        self._outcomes: Counter[Outcome] = Counter()
        self._requests = 0

    def results_committed(self, batch: Sequence[PollResult]) -> None:
        for one in batch:
            self._outcomes[one.snapshot.outcome] += 1
            self._requests += one.snapshot.requests

    def take(self) -> tuple[Counter[Outcome], int]:
        """The outcomes and the number of requests since the last call."""
        taken = self._outcomes, self._requests
        self._outcomes, self._requests = Counter(), 0
        return taken
