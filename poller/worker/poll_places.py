"""What only this worker knows about a slot: its own running polls, their places, and its circuit breakers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from poller.core.shares import Shares
from poller.worker.circuit_breakers import CircuitBreakers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poller.core.model import Org
    from poller.core.poll_state import PollState
    from poller.core.schedule import Due


class PollPlaces:
    """The places for parallel polls, shared by data centre; one poll per org."""

    def __init__(self, max_concurrent_polls: int) -> None:
        self._shares = Shares(max_concurrent_polls)
        self._org_ids: set[int] = set()
        self.circuits = CircuitBreakers()

    def share_out(self, demand: Mapping[str, float]) -> None:
        """Reserves places for each data centre, in proportion to the polls that its orgs need."""
        self._shares.share_out(demand)

    def free(self, data_center: str) -> int:
        """How many more polls of a data centre may start now."""
        return self._shares.part(data_center).room

    def complete(self, state: PollState, due: Due) -> PollState:
        """The state with what this worker knows."""
        data_center = state.org.data_center
        busy = state.busy or state.org.id in self._org_ids
        retry_at = self.circuits.retry_at(data_center, due, state.now)
        was_unreachable = self.circuits.was_unavailable(data_center, due.at)
        has_place = self._shares.part(data_center).is_free
        if not busy and retry_at is None and not was_unreachable and has_place:
            return state
        return replace(
            state,
            busy=busy,
            retry_data_center_at=retry_at,
            was_unreachable=was_unreachable,
            has_place=has_place,
        )

    def take(self, state: PollState) -> None:
        """Takes a place for a poll of this org."""
        self._shares.part(state.org.data_center).take()
        self._org_ids.add(state.org.id)
        self.circuits.on_start(state.org.data_center, state.now)

    def give_back(self, org: Org) -> None:
        """Frees the place of a poll of this org."""
        self._shares.part(org.data_center).give_back()
        self._org_ids.discard(org.id)
