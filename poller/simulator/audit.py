"""The audit: what the simulator's clients did, and where they broke Zoho's rules or disclosed a secret.

`breaches` has a line for every broken rule and is empty if there was none. The audit enforces nothing: the endpoints
refuse requests, and a refused request can still be a breach.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from poller.simulator import rules

if TYPE_CHECKING:
    from collections.abc import Iterable

# A request that is already under way when a 429 is sent does not count against the client.
HOLD_GRACE_SECONDS: Final = 0.5
# Zoho names no number; "cool down for minutes" means at least one minute.
THROTTLE_COOL_DOWN_SECONDS: Final = 60.0
_MOST_BREACHES: Final = 1_000


@dataclass(slots=True)
class OrgAudit:
    """What the clients of one org did."""

    index: int
    name: str
    in_flight_cap: int
    requests: int = 0
    too_many: int = 0
    most_in_flight: int = 0
    most_requests_in_a_minute: int = 0
    requests_within_hold: int = 0
    token_asks: int = 0
    token_issues: int = 0
    most_token_asks_in_window: int = 0
    most_token_issues_in_window: int = 0
    token_asks_while_throttled: int = 0
    _minute: int = 0
    _in_minute: int = 0
    _held: tuple[float, float] = (0.0, 0.0)
    _throttled: tuple[float, float] = (0.0, 0.0)
    _asked_at: list[float] = field(default_factory=list)

    def request(self, in_flight: int, now: float) -> None:
        """A request to the API arrived; `in_flight` includes it."""
        self.requests += 1
        self.most_in_flight = max(self.most_in_flight, in_flight)
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._in_minute = minute, 0
        self._in_minute += 1
        self.most_requests_in_a_minute = max(self.most_requests_in_a_minute, self._in_minute)
        if self._held[0] < now < self._held[1]:
            self.requests_within_hold += 1

    def refused(self, now: float, hold_seconds: float | None) -> None:
        """A 429 was sent; `hold_seconds` is its Retry-After."""
        self.too_many += 1
        if hold_seconds is not None:
            self._held = (now + HOLD_GRACE_SECONDS, max(self._held[1], now + hold_seconds))

    def token_asked(self, now: float) -> None:
        """An access token was requested, with any result."""
        self.token_asks += 1
        self._asked_at.append(now)
        self.most_token_asks_in_window = max(self.most_token_asks_in_window, _within_window(self._asked_at, now))
        if self._throttled[0] < now < self._throttled[1]:
            self.token_asks_while_throttled += 1

    def token_throttled(self, now: float) -> None:
        """The token endpoint refused a request because there were too many."""
        self._throttled = (now + HOLD_GRACE_SECONDS, now + THROTTLE_COOL_DOWN_SECONDS)

    def token_issued(self, issued_at: list[float], now: float) -> None:
        """An access token was issued; `issued_at` are the times of the recent ones, including this one."""
        self.token_issues += 1
        self.most_token_issues_in_window = max(self.most_token_issues_in_window, _within_window(issued_at, now))

    def breaches(self) -> Iterable[str]:
        """The rules that were broken, one line each."""
        who = f"org {self.index} ({self.name})"
        if self.most_in_flight > self.in_flight_cap:
            yield f"{who}: {self.most_in_flight} calls in flight, {self.in_flight_cap} allowed"
        if self.most_token_asks_in_window > rules.ISSUES_PER_WINDOW:
            yield f"{who}: {self.most_token_asks_in_window} tokens asked for in ten minutes, 10 allowed"
        if self.token_asks_while_throttled:
            yield f"{who}: {self.token_asks_while_throttled} tokens asked for while throttled"
        if self.requests_within_hold:
            yield f"{who}: {self.requests_within_hold} calls before the Retry-After of a 429 had passed"

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__ if not name.startswith("_")}


class Audit:
    """What the clients of all orgs did together."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.faults_given: Counter[str] = Counter()
        self._breaches: Counter[str] = Counter()

    def breach(self, what: str) -> None:
        """Record a broken rule; the text must not contain a secret."""
        if what in self._breaches or len(self._breaches) < _MOST_BREACHES:
            self._breaches[what] += 1

    def breaches(self, orgs: Iterable[OrgAudit]) -> list[str]:
        """All broken rules, with how often each was broken."""
        found = [what if times == 1 else f"{what} ({times} times)" for what, times in self._breaches.items()]
        for org in orgs:
            found.extend(org.breaches())
        return found

    def report(self, orgs: Iterable[OrgAudit]) -> dict[str, Any]:
        """The audit as JSON values: totals, breaches, and the figures of each org."""
        known = list(orgs)
        return {
            "breaches": self.breaches(known),
            "requests": dict(self.requests),
            "faults_given": dict(self.faults_given),
            "token_asks": sum(org.token_asks for org in known),
            "token_issues": sum(org.token_issues for org in known),
            "most_in_flight": max((org.most_in_flight for org in known), default=0),
            "orgs": [org.as_json() for org in known],
        }


def _within_window(moments: list[float], now: float) -> int:
    while moments and moments[0] <= now - rules.ISSUE_WINDOW_SECONDS:
        del moments[0]
    return len(moments)
