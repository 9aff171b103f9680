"""The states of one alert, as the documentation tells them, written without regard to speed.

Every evaluation since the condition began to hold is remembered, and all times are added up from the first one again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

LONGEST_PAUSE: Final = 300
HOUR: Final = 3_600


@dataclass
class NaiveAlert:
    """Times are whole seconds. `number` counts the alerts: one that is reopened keeps its number."""

    state: str = "none"
    number: int = 0
    flaps: int = 0
    told_at: int | None = None
    told: bool = False
    fired: bool = False
    snoozed_until: int | None = None
    over_at: int | None = None
    may_reopen: bool = False
    samples: list[tuple[int, bool | None]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.state not in {"none", "resolved"}

    def evaluate(self, now: int, reading: bool | None, for_seconds: int, clear_seconds: int) -> bool:
        """Returns whether a message is sent."""
        if not self.is_open:
            if reading is not True:
                return False
            self._begin(now)
        self.samples.append((now, reading))
        if reading is None:
            return False
        if reading is True:
            return self._holds(now, for_seconds)
        if self.state == "pending" or self._over() >= clear_seconds:
            send = self.told and self.state in {"firing", "acknowledged"}
            self._end(now, may_reopen=True)
            return send
        return False

    def stop(self, now: int) -> None:
        """The org is paused, excluded, and so on."""
        if self.is_open:
            self._end(now, may_reopen=False)

    def acknowledge(self) -> None:
        if self.state in {"firing", "snoozed"}:
            self.state, self.snoozed_until = "acknowledged", None

    def snooze(self, until: int) -> None:
        if self.state in {"firing", "acknowledged", "snoozed"}:
            self.state, self.snoozed_until = "snoozed", until

    def fire_again(self) -> None:
        """Undoes an acknowledgement or a snooze."""
        if self.state in {"acknowledged", "snoozed"}:
            self.state, self.snoozed_until = "firing", None

    def _begin(self, now: int) -> None:
        reopened = self.may_reopen and self.over_at is not None and 0 <= now - self.over_at < HOUR
        if not reopened:
            self.number += 1
            self.flaps, self.told_at, self.fired, self.snoozed_until = 0, None, False, None
        self.state, self.told, self.samples = "pending", False, []

    def _end(self, now: int, *, may_reopen: bool) -> None:
        self.state, self.over_at, self.may_reopen, self.told = "resolved", now, may_reopen, False

    def _holds(self, now: int, for_seconds: int) -> bool:
        if self.state == "pending":
            if self._held() < for_seconds:
                return False
            self.flaps += self.fired
            self.fired = True
            if self.snoozed_until is not None and now < self.snoozed_until:
                self.state = "snoozed"
                return False
            self.state, self.snoozed_until = "firing", None
        elif self.state == "snoozed" and self.snoozed_until is not None and now >= self.snoozed_until:
            self.state, self.snoozed_until = "firing", None
            self.told, self.told_at = True, now
            return True
        if self.state == "firing" and not self.told and not self._told_within_an_hour(now):
            self.told, self.told_at = True, now
            return True
        return False

    def _told_within_an_hour(self, now: int) -> bool:
        return self.told_at is not None and 0 <= now - self.told_at < HOUR

    def _held(self) -> int:
        return _both(self.samples, wanted=True)

    def _over(self) -> int:
        """Since the condition held last."""
        last = max(place for place, (_, reading) in enumerate(self.samples) if reading is True)
        return _both(self.samples[last + 1 :], wanted=False)


def _both(samples: list[tuple[int, bool | None]], *, wanted: bool) -> int:
    """The seconds between neighbours that both read so, without pauses and steps of the clock."""
    total = 0
    for (before, first), (after, second) in pairwise(samples):
        if first is wanted and second is wanted and 0 <= after - before <= LONGEST_PAUSE:
            total += after - before
    return total
