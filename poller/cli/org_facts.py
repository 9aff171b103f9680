"""What the command line tells of one org: everything but its secrets, and how often its credits let it be polled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from poller.core.quota import affordable_interval, daily_credits, is_known_edition, limits_of
from poller.core.slots import format_interval

if TYPE_CHECKING:
    from poller.settings import Settings
    from poller.store.orgs import OrgRecord
    from poller.store.pollable import PollableOrg


@dataclass(frozen=True, slots=True)
class Pace:
    """How often an org was to be polled, how often it is, and the share of its credits that decides."""

    asked_seconds: int
    seconds: int
    share: float
    credits_a_day: int
    edition_known: bool

    @property
    def stretched(self) -> bool:
        """Whether it is polled more seldom than was asked for."""
        return self.seconds != self.asked_seconds

    @property
    def share_of_credits(self) -> int:
        """A day, in credits."""
        return int(self.credits_a_day * self.share)

    def __str__(self) -> str:
        """One line, with the reason if there is one."""
        if not self.stretched:
            return format_interval(self.seconds)
        known = "" if self.edition_known else ", for its edition is not known and the free one's limits are kept"
        return (
            f"{format_interval(self.seconds)}, stretched from {format_interval(self.asked_seconds)}: "
            f"{self.share:.0%} of the credits pay no more ({self.credits_a_day:,} a day{known})"
        )


def pace_of(record: OrgRecord, settings: Settings) -> Pace:
    """From the org's edition and licences, as far as they are known."""
    credits_a_day = daily_credits(record.edition, record.licences)
    asked = record.poll_interval_seconds or settings.poll_interval_seconds
    seconds = affordable_interval(asked, credits_a_day, settings.credit_share)
    return Pace(asked, seconds, settings.credit_share, credits_a_day, is_known_edition(record.edition))


def state_of(record: OrgRecord) -> str:
    """Whether an org is polled, and if not, why."""
    if record.removed_at is not None:
        return "removed"
    if record.paused_at is not None:
        return "paused"
    if record.parked_at is not None:
        return f"parked: {record.parked_code}"
    return "active" if record.grant else "no credentials"


def as_json(record: OrgRecord, settings: Settings) -> str:
    """One line of `poller orgs list --json`."""
    pace = pace_of(record, settings)
    facts = {
        "org": record.name,
        "id": record.id,
        "state": state_of(record).partition(":")[0],
        "data_center": record.data_center,
        "zgid": record.zgid,
        "edition": record.edition,
        "licences": record.licences,
        "poll_interval_seconds": record.poll_interval_seconds,
        "interval_asked_seconds": pace.asked_seconds,
        "interval_seconds": pace.seconds,
        "credits_a_day": pace.credits_a_day,
        "api_version": record.api_version,
        "tags": list(record.tags),
        "grant": record.grant,
        "parked_code": record.parked_code,
        "parked_remedy": record.parked_remedy,
        "created_at": record.created_at.isoformat(),
        "updated_at": record.updated_at.isoformat(),
    }
    return json.dumps(facts, ensure_ascii=False)


def for_people(record: OrgRecord, settings: Settings, pollable: PollableOrg | None) -> dict[str, str]:
    """What `poller orgs show` prints, by name."""
    pace = pace_of(record, settings)
    edition = record.edition or "not known"
    if not is_known_edition(record.edition):
        edition += ": limits of the free edition are kept"
    facts = {
        "org": record.name,
        "state": state_of(record),
        "data centre": record.data_center,
        "credential": (record.grant or "none").replace("_", " "),
        "client": record.client_id or "none",
        "key": record.key_id or "none",
        "zgid": record.zgid or "not known",
        "edition": edition,
        "licences": "not known" if record.licences is None else f"{record.licences:,}",
        "credits a day": f"{pace.credits_a_day:,}",
        "credits spent": (
            f"{pollable.credits_spent if pollable else 0:,} by the poller in the last 24 hours, "
            f"of {pace.share_of_credits:,} that are its share"
        ),
        "in flight": str(limits_of(record.edition, settings.in_flight_share).in_flight),
        "interval": str(pace),
        "API version": record.api_version or settings.api_version,
        "tags": ", ".join(record.tags) or "none",
        "added": _when(record.created_at),
    }
    if pollable is not None and pollable.credits_remaining is not None and pollable.credits_remaining_at is not None:
        facts["credits left"] = f"{pollable.credits_remaining:,} to everybody, {_when(pollable.credits_remaining_at)}"
    if pollable is not None and (pollable.quota.holds or pollable.quota.factor < 1.0):
        until = datetime.fromtimestamp(pollable.quota.hold_until, UTC)
        facts["throttled"] = f"held until {_when(until)} after a 429, then at {pollable.quota.factor:.0%} of the rate"
    if record.parked_at is not None:
        facts["parked since"] = _when(record.parked_at)
        facts["next probe"] = "now" if record.probe_at is None else _when(record.probe_at)
        facts["what to do"] = record.parked_remedy or "see `poller orgs check`"
    elif record.grant == "grant_code":
        facts["what to do"] = f"run `poller orgs check '{record.name}'`, which exchanges its grant code"
    return facts


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
