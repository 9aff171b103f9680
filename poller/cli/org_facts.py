"""What the command line tells of one org: everything but its secrets, and how often its credits let it be polled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from poller.core.quota import affordable_interval, daily_credits, is_known_edition, limits_of
from poller.core.slots import format_interval

if TYPE_CHECKING:
    from poller.settings import Settings
    from poller.store.orgs import OrgRecord


def state_of(record: OrgRecord) -> str:
    """Whether an org is polled, and if not, why."""
    if record.paused_at is not None:
        return "paused"
    if record.parked_at is not None:
        return f"parked: {record.parked_code}"
    return "active" if record.grant else "no credentials"


def as_json(record: OrgRecord) -> str:
    """One line of `poller orgs list --json`."""
    facts = {
        "org": record.name,
        "id": record.id,
        "state": state_of(record).partition(":")[0],
        "data_center": record.data_center,
        "zgid": record.zgid,
        "edition": record.edition,
        "licences": record.licences,
        "poll_interval_seconds": record.poll_interval_seconds,
        "api_version": record.api_version,
        "tags": list(record.tags),
        "grant": record.grant,
        "parked_code": record.parked_code,
        "parked_remedy": record.parked_remedy,
        "created_at": record.created_at.isoformat(),
        "updated_at": record.updated_at.isoformat(),
    }
    return json.dumps(facts, ensure_ascii=False)


def for_people(record: OrgRecord, settings: Settings) -> dict[str, str]:
    """What `poller orgs show` prints, by name."""
    credits_a_day = daily_credits(record.edition, record.licences)
    asked = record.poll_interval_seconds or settings.poll_interval_seconds
    affordable = affordable_interval(asked, credits_a_day, settings.credit_share)
    interval = format_interval(affordable)
    if affordable != asked:
        interval += f", stretched from {format_interval(asked)}: {settings.credit_share:.0%} of the credits pay no more"
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
        "credits a day": f"{credits_a_day:,}",
        "in flight": str(limits_of(record.edition, settings.in_flight_share).in_flight),
        "interval": interval,
        "API version": record.api_version or settings.api_version,
        "tags": ", ".join(record.tags) or "none",
        "added": f"{record.created_at:%Y-%m-%d %H:%M} UTC",
    }
    if record.parked_at is not None:
        facts["parked since"] = f"{record.parked_at:%Y-%m-%d %H:%M} UTC"
        facts["what to do"] = record.parked_remedy or "see `poller orgs check`"
    return facts
