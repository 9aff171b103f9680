"""What `poller orgs show` prints about one org: everything but its secrets, and how often its credits allow a poll."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from poller.core.durations import format_duration
from poller.core.editions import daily_credits, is_known_edition, limits_of
from poller.core.quantities import age_of

if TYPE_CHECKING:
    from poller.query.org_details import OrgDetails


@dataclass(frozen=True, slots=True)
class PollingInterval:
    """The requested and the effective interval of an org, and the share of its credits that limits it."""

    asked_seconds: int
    seconds: int
    share: float
    credits_a_day: int
    edition_known: bool

    @property
    def stretched(self) -> bool:
        """Whether the org is polled less often than requested."""
        return self.seconds != self.asked_seconds

    @property
    def share_of_credits(self) -> int:
        """The credits a day that the poller may use."""
        return int(self.credits_a_day * self.share)

    def __str__(self) -> str:
        """The interval, with the reason where it is stretched."""
        if not self.stretched:
            return format_duration(self.seconds)
        known = "" if self.edition_known else ", for its edition is not known and the free one's limits are kept"
        return (
            f"{format_duration(self.seconds)}, stretched from {format_duration(self.asked_seconds)}: "
            f"{self.share:.0%} of the credits pay no more ({self.credits_a_day:,} a day{known})"
        )


def pace_of(details: OrgDetails) -> PollingInterval:
    """The interval from the org's edition and licences, as far as known, and the settings of the service."""
    state = details.state
    return PollingInterval(
        state.interval_seconds,
        state.effective_interval_seconds,
        details.service.credit_share,
        daily_credits(state.edition, state.licences),
        is_known_edition(state.edition),
    )


def as_fields(details: OrgDetails) -> dict[str, Any]:
    """The object that `poller orgs show --json` prints."""
    from poller.query.org import state_fields

    record = details.record
    return {
        **state_fields(details.state),
        "grant": record.grant,
        "parked_code": record.parked_code,
        "parked_remedy": record.parked_remedy,
        "credits_spent": details.credits_spent,
        "credits_share": pace_of(details).share_of_credits,
        "contract": None
        if details.contract is None
        else {name: _json_value(value) for name, value in details.contract.items()},
        "created_at": record.created_at.isoformat(),
        "updated_at": record.updated_at.isoformat(),
    }


def _json_value(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value) if isinstance(value, date) else value


def for_people(details: OrgDetails) -> dict[str, str]:
    """What `poller orgs show` prints, by name."""
    record, pace, service = details.record, pace_of(details), details.service
    edition = record.edition or "not known"
    if not is_known_edition(record.edition):
        edition += ": limits of the free edition are kept"
    return {
        "org": record.name,
        **_state_facts(details),
        "data centre": record.data_center,
        "credential": (record.grant or "none").replace("_", " "),
        "client": record.client_id or "none",
        "key": record.key_id or "none",
        "zgid": record.zgid or "not known",
        "edition": edition,
        "licences": "not known" if record.licences is None else f"{record.licences:,}",
        "contract": _contract(details.contract),
        "credits a day": f"{pace.credits_a_day:,}",
        "credits spent": (
            f"{details.credits_spent:,} by the poller in the last 24 hours, "
            f"of {pace.share_of_credits:,} that are its share"
        ),
        "in flight": str(limits_of(record.edition, service.in_flight_share).in_flight),
        "interval": str(pace),
        "API version": record.api_version or service.api_version,
        "tags": ", ".join(record.tags) or "none",
        "added": _when(record.created_at),
        **_limit_facts(details),
    }


def _contract(contract: dict[str, Any] | None) -> str:
    """The contract in words."""
    if contract is None:
        return "none is known"
    seats, price, currency, renews_on = (contract[name] for name in ("purchased", "price", "currency", "renews_on"))
    parts = [
        "" if seats is None else f"{seats:,} seats",
        "" if price is None else f"{price:,.2f} {currency or ''}".rstrip() + " a seat and month",
        "" if renews_on is None else f"renews on {renews_on}",
    ]
    return ", ".join(part for part in parts if part) or f"in {currency}"


def _state_facts(details: OrgDetails) -> dict[str, str]:
    """State, last poll and counts."""
    from poller.query.org import remedy_of

    state, record = details.state, details.record
    reason = f": {state.state_reason}" if state.state_reason else ""
    since = f", since {_when(state.since)}" if state.since else ""
    facts = {"state": f"{state.state}{reason}{since}"}
    if record.grant == "grant_code":
        facts["what to do"] = f"run `poller orgs check '{record.name}'`, which exchanges its grant code"
    elif (remedy := remedy_of(state)) is not None:
        facts["what to do"] = remedy
    if record.parked_at is not None:
        facts["next probe"] = "now" if record.probe_at is None else _when(record.probe_at)
    if state.last_polled_at is None:
        return facts | {"last poll": "never"}
    error = f": {state.last_error}" if state.last_error else ""
    facts["last poll"] = f"{state.last_outcome}{error}, {_when(state.last_polled_at)}"
    if state.counts_at is not None:
        facts["counts"] = ", ".join(f"{user_type.value} {count:,}" for user_type, count in state.counts.items())
        facts["counts of"] = f"{_when(state.counts_at)}, {age_of(details.at - state.counts_at)} ago"
    else:
        facts["counts"] = "none are known"
    return facts


def _limit_facts(details: OrgDetails) -> dict[str, str]:
    """What the poller has learned about the org's limits; nothing for a removed org."""
    facts: dict[str, str] = {}
    pollable = details.pollable
    if pollable is None:
        return facts
    if pollable.credits_remaining is not None and pollable.credits_remaining_at is not None:
        facts["credits left"] = f"{pollable.credits_remaining:,} to everybody, {_when(pollable.credits_remaining_at)}"
    if pollable.rate_limit.holds or pollable.rate_limit.rate_factor < 1.0:
        until = datetime.fromtimestamp(pollable.rate_limit.hold_until, UTC)
        facts["throttled"] = (
            f"held until {_when(until)} after a 429, then at {pollable.rate_limit.rate_factor:.0%} of the rate"
        )
    return facts


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
