"""How often orgs are polled and how much of their limits a poll may use."""

from __future__ import annotations

from dataclasses import dataclass

from poller.core.editions import DEFAULT_IN_FLIGHT_SHARE


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """The settings that decide about polls.

    `poll_interval_seconds`, `api_version`: for orgs without their own. `credit_share`: of an org's daily credits.
    `in_flight_share`: of the requests in flight that an org's edition allows. The view `org_states` has the same
    defaults.
    """

    poll_interval_seconds: int = 900
    credit_share: float = 0.10
    in_flight_share: float = DEFAULT_IN_FLIGHT_SHARE
    api_version: str = "v7"
