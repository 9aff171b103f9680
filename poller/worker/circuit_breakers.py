"""The circuits of this process, one per data centre, told of every poll; told to people when one opens or closes."""

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
    from poller.polling.plan import Plan
    from poller.polling.runner import PollResult

log = structlog.get_logger("poller.worker")


@dataclass(slots=True)
class CircuitBreakers:
    """By the name of the data centre; those that were never in trouble are not in it."""

    known: dict[str, CircuitBreaker] = field(default_factory=dict)
    closed_at: dict[str, datetime] = field(default_factory=dict)
    """When one that was open was closed last."""

    def retry_at(self, name: str, due: Due, now: datetime) -> datetime | None:
        """When a slot of this data centre is looked at again; None where its org may be asked now."""
        return None if circuits.allows(self.known.get(name, CLOSED), now) else circuits.wait_until(due, now)

    def asked(self, name: str, now: datetime) -> None:
        """A poll goes to this data centre; where its circuit is open, no other does until that one has ended."""
        circuit = self.known.get(name, CLOSED)
        if circuit.opened_at is not None:
            self.known[name] = circuits.on_probe(circuit, now)

    def learn(self, plan: Plan, polled: PollResult, now: datetime) -> None:
        """A poll ended. One that was not to ask anything teaches nothing."""
        if plan.refusal is not None:
            return
        snapshot, name = polled.snapshot, plan.pollable.org.data_center
        before = self.known.get(name, CLOSED)
        if snapshot.outcome is Outcome.UNAVAILABLE:
            after = circuits.failed(before, snapshot.org_id, snapshot.error, now)
        elif snapshot.requests and snapshot.outcome is not Outcome.MISSED:
            after = circuits.heard(before)
        else:
            after = circuits.on_probe_abandoned(before, now)
        self._change(name, after, now)

    def unanswered(self, name: str, org_id: int, code: str, now: datetime) -> None:
        """No request of a whole pass was answered. The poll goes on, and may be answered yet."""
        if code not in LOCAL_FAILURES:
            self._change(name, circuits.failed(self.known.get(name, CLOSED), org_id, code, now), now)

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

    def was_away(self, name: str, since: datetime) -> bool:
        """Whether that data centre is away, or was at some time since then."""
        closed_at = self.closed_at.get(name)
        return name in self.facts() or (closed_at is not None and closed_at > since)

    def facts(self) -> Mapping[str, Mapping[str, str]]:
        """The open ones, for people: since when, and why."""
        return {
            name: {"since": circuit.opened_at.isoformat(), "error": circuit.error or ""}
            for name, circuit in self.known.items()
            if circuit.opened_at is not None
        }
