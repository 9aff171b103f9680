"""The circuit breakers of one worker, one per data centre; logs when one opens or closes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from poller.core import circuit_breaker as circuits
from poller.core.circuit_breaker import CLOSED, CircuitBreaker
from poller.core.model import Outcome
from poller.core.reply import LOCAL_FAILURES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from poller.core.schedule import Due
    from poller.polling.results import PollResult

log = structlog.get_logger("poller.worker")


@dataclass(slots=True)
class CircuitBreakers:
    """Circuit breakers by the name of the data centre. A data centre without failures has none."""

    known: dict[str, CircuitBreaker] = field(default_factory=dict)
    closed_at: dict[str, datetime] = field(default_factory=dict)
    """When an open circuit was last closed."""

    def retry_at(self, name: str, due: Due, now: datetime) -> datetime | None:
        """When to try a slot of this data centre again; None if it may be polled now."""
        return None if circuits.allows(self.known.get(name, CLOSED), now) else circuits.wait_until(due, now)

    def on_start(self, name: str, now: datetime) -> None:
        """A poll of this data centre starts. While its circuit is open, no other starts until this one has ended."""
        circuit = self.known.get(name)
        if circuit is not None and circuit.opened_at is not None:
            self.known[name] = circuits.on_probe(circuit, now)

    def on_result(self, result: PollResult, now: datetime) -> None:
        """A poll ended."""
        snapshot, name = result.snapshot, result.org.data_center
        before = self.known.get(name, CLOSED)
        if snapshot.outcome is Outcome.UNAVAILABLE:
            self._failed(name, snapshot.org_id, snapshot.error, snapshot.polled_at, now)
        elif not snapshot.requests or snapshot.outcome is Outcome.MISSED:
            self.on_probe_abandoned(name, now)
        elif before.opened_at is None or snapshot.polled_at is None or snapshot.polled_at >= before.opened_at:
            self._change(name, circuits.on_success(before), now)
        # Else its replies may be older than the outage: they do not close the circuit.

    def on_probe_abandoned(self, name: str, now: datetime) -> None:
        """A poll ended without sending a request."""
        self._change(name, circuits.on_probe_abandoned(self.known.get(name, CLOSED), now), now)

    def on_unanswered(self, name: str, org_id: int, code: str, begun: datetime, now: datetime) -> None:
        """No request of a whole pass got a reply. The poll, `begun` then, goes on, and a later pass may get one."""
        if code not in LOCAL_FAILURES:
            self._failed(name, org_id, code, begun, now)

    def was_unavailable(self, name: str, since: datetime) -> bool:
        """Whether the data centre is unreachable, or was at some time since then."""
        closed_at = self.closed_at.get(name)
        return name in self.facts() or (closed_at is not None and closed_at > since)

    def facts(self) -> Mapping[str, Mapping[str, str]]:
        """The open circuits, for people: since when, and why."""
        return {
            name: {"since": circuit.opened_at.isoformat(), "error": circuit.error or ""}
            for name, circuit in self.known.items()
            if circuit.opened_at is not None
        }

    def _failed(self, name: str, org_id: int, code: str | None, begun: datetime | None, now: datetime) -> None:
        before, closed_at = self.known.get(name, CLOSED), self.closed_at.get(name)
        # A poll of the time of the outage says nothing about the data centre after it, and does not open the circuit.
        if before.opened_at is not None or closed_at is None or begun is None or begun >= closed_at:
            self._change(name, circuits.on_failure(before, org_id, code, now), now)

    def _change(self, name: str, after: CircuitBreaker, now: datetime) -> None:
        before = self.known.get(name, CLOSED)
        self.known[name] = after
        if before.opened_at is None and after.opened_at is not None:
            log.error("data_center.away", data_center=name, error=after.error)
        elif before.opened_at is not None and after.opened_at is None:
            self.closed_at[name] = now
            log.info("data_center.back", data_center=name, seconds=(now - before.opened_at).total_seconds())
        if after == CLOSED:
            del self.known[name]
