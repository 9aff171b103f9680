"""The state of the simulated Zoho: valid tokens, spent credits, requests in flight, withdrawn consents.

Keeps nothing for an org that never sent a request. Time comes only from the clock of the options, so that a test can
set it. Knows nothing of HTTP.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from poller.simulator import population, rules
from poller.simulator.audit import Audit, OrgAudit
from poller.simulator.faults import FaultScript
from poller.simulator.fleet import Fleet, SimulatedOrg
from poller.simulator.replies import JSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from poller.simulator.faults import Fault
    from poller.simulator.options import SimulatorOptions

_SPAN_SECONDS: Final = 900  # spent credits are summed per quarter of an hour


@dataclass(frozen=True, slots=True, repr=False)
class AccessToken:
    """An issued access token, and the headers of the replies to requests with it."""

    index: int
    expires_at: float
    scopes: frozenset[str]
    headers: Mapping[str, str]


@dataclass(slots=True, repr=False)
class OrgState:
    """The state of one org that has sent a request."""

    index: int
    data_center: str
    shape: population.Shape
    in_flight_cap: int
    audit: OrgAudit
    in_flight: int = 0
    generation: int = 0
    revoked: bool = False
    api_access: bool = True
    scopes: frozenset[str] = rules.GRANTED_SCOPES
    live: list[str] = field(default_factory=list)
    issued_at: list[float] = field(default_factory=list)
    throttled_until: float = 0.0
    credit_spans: list[tuple[int, int]] = field(default_factory=list)
    credits_spent: int = 0
    credit_limit: int = 0
    credit_limit_span: int = -1


class SimulatedZoho:
    """The state behind the endpoints of all simulated data centres."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.fleet = Fleet(
            options.seed,
            options.orgs,
            options.data_centers,
            options.orgs_per_client,
            options.grant_share,
            options.soid_share,
        )
        self.audit = Audit()
        self.faults = FaultScript(options.seed)
        self.add_faults(options.faults)
        self.random = random.Random(options.seed)
        self.advanced_seconds = 0.0
        self.started_at = options.now()
        self.tokens: dict[str, AccessToken] = {}
        self.orgs: dict[int, OrgState] = {}
        self.exchanged_at: dict[int, list[float]] = {}
        self.connected: dict[int, list[int]] = {}
        self.used_codes: set[str] = set()
        self.minted: dict[str, float] = {}
        self._issues = 0

    def now(self) -> float:
        """Seconds since 1970 on the simulator's clock."""
        return self.options.now() + self.advanced_seconds

    def org_state(self, index: int) -> OrgState:
        """The state of an org, created on first use."""
        state = self.orgs.get(index)
        if state is None:
            shape = population.shape_of(self.options.seed, index)
            cap = rules.calls_in_flight(shape.edition)
            audit = OrgAudit(index, self.fleet.name(index), cap)
            state = OrgState(index, self.fleet.data_center(index), shape, cap, audit)
            self.orgs[index] = state
        return state

    def simulated_org(self, index: int) -> SimulatedOrg:
        """The org as its operator knows it now, with rotated credentials."""
        generation = self.orgs[index].generation if index in self.orgs else 0
        return self.fleet.org(index, at_seconds=self.population_seconds(self.now()), generation=generation)

    def simulated_orgs(self) -> Iterator[SimulatedOrg]:
        """All orgs of the fleet."""
        return map(self.simulated_org, range(self.fleet.size))

    def find(self, org: int | str) -> int:
        """The number of an org, from its number, zgid or name; raises `ValueError` if there is none."""
        if isinstance(org, int) or (org.isascii() and org.isdigit() and int(org) < self.fleet.size):
            index = int(org)
            if not 0 <= index < self.fleet.size:
                raise ValueError(f"there is no org {index}: the fleet has {self.fleet.size}")
            return index
        by_zgid = self.fleet.index_of_zgid(org)
        if by_zgid is not None:
            return by_zgid
        for index in range(self.fleet.size):
            if self.fleet.name(index) == org:
                return index
        raise ValueError(f"there is no org {org!r}")

    def add_faults(self, faults: Iterable[Fault]) -> None:
        """Add faults; raises `ValueError` for an unknown org or data centre."""
        found = []
        for fault in faults:
            if fault.data_center not in {None, *self.options.data_centers}:
                raise ValueError(f"fault {fault.name!r}: there is no data centre {fault.data_center!r}")
            found.append(fault if fault.org is None else replace(fault, org=self.find(fault.org)))
        self.faults.add(found)

    # counts ------------------------------------------------------------------------------------------------------

    def population_seconds(self, seconds: float) -> float:
        """The time of the population at a time of the clock: runs `speed` times faster from the start on."""
        return seconds + max(seconds - self.started_at, 0.0) * (self.options.speed - 1.0)

    def counts(self, index: int, seconds: float) -> population.Counts:
        """The ten counts at a time of the clock, past or future."""
        shape = population.shape_of(self.options.seed, index)
        return population.counts_at(shape, self.population_seconds(seconds))

    def licences(self, index: int, seconds: float) -> int:
        """The number of licences that the org has at a time of the clock."""
        shape = population.shape_of(self.options.seed, index)
        return population.licences_at(shape, self.population_seconds(seconds))

    # tokens ------------------------------------------------------------------------------------------------------

    def issue(self, state: OrgState, scopes: frozenset[str]) -> str:
        """Issues an access token; if there are more than fifteen valid ones, silently ends the oldest."""
        now = self.now()
        self._issues += 1
        number = int(now * 1_000) * 1_000_003 + self._issues  # different after a restart too
        token = self.fleet.access_token(state.index, number)
        expires_at = now + self.options.token_seconds
        zone = timezone(timedelta(seconds=state.shape.offset_seconds))
        reset = datetime.fromtimestamp(int(expires_at), UTC).astimezone(zone).isoformat()
        headers = {"Content-Type": JSON, "X-ACCESSTOKEN-RESET": reset}
        self.tokens[token] = AccessToken(state.index, expires_at, scopes, headers)
        state.live.append(token)
        while len(state.live) > rules.LIVE_TOKENS or self.tokens[state.live[0]].expires_at <= now:
            del self.tokens[state.live.pop(0)]
        state.issued_at.append(now)
        state.audit.token_issued(state.issued_at, now)
        return token

    def end_tokens(self, state: OrgState) -> None:
        """End every access token of the org."""
        while state.live:
            del self.tokens[state.live.pop(0)]

    def grant_code(self, index: int) -> str:
        """Creates a grant code for the org, which can be exchanged within `grant_code_seconds`."""
        self._issues += 1
        code = self.fleet.grant_code(index, int(self.now() * 1_000) * 1_000_003 + self._issues)
        self.minted[code] = self.now()
        return code

    # credits -----------------------------------------------------------------------------------------------------

    def credits_left(self, state: OrgState) -> int:
        """The credits left of the rolling day."""
        horizon = self.now() - rules.CREDIT_WINDOW_SECONDS
        while state.credit_spans and (state.credit_spans[0][0] + 1) * _SPAN_SECONDS <= horizon:
            state.credits_spent -= state.credit_spans.pop(0)[1]
        return self.credit_limit(state) - state.credits_spent

    def credit_limit(self, state: OrgState) -> int:
        """The credits of 24 hours, by edition and licences; computed again every quarter of an hour."""
        span = int(self.now() // _SPAN_SECONDS)
        if span != state.credit_limit_span:
            licences = population.licences_at(state.shape, self.population_seconds(self.now()))
            state.credit_limit_span, state.credit_limit = span, rules.credits_per_day(state.shape.edition, licences)
        return state.credit_limit

    def spend(self, state: OrgState, amount: int) -> None:
        """Spend credits, for a request or for the customer's other programs."""
        span = int(self.now() // _SPAN_SECONDS)
        current = bool(state.credit_spans) and state.credit_spans[-1][0] == span
        before = state.credit_spans.pop()[1] if current else 0
        state.credit_spans.append((span, before + amount))
        state.credits_spent += amount
