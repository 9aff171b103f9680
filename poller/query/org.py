"""Orgs with their state and counts: read page by page, and as fields of JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poller.core.editions import daily_credits
from poller.core.model import USER_TYPES
from poller.core.remedies import remedy_for
from poller.core.states import State
from poller.store.orgs.orgs import count_orgs
from poller.store.orgs.states import StateFilter, count_states, longest_name, read_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from poller.core.states import OrgState
    from poller.query.selection import Selection
    from poller.store.database import Database
    from poller.store.orgs.states import Sort


@dataclass(frozen=True, slots=True)
class FirstOrgs:
    """The first orgs of a list, and how many the whole list has."""

    orgs: list[OrgState]
    total: int


async def filter_of(database: Database, selection: Selection) -> StateFilter:
    """The filter of a selection; its names are looked up, removed orgs are found by their name or state."""
    ids = await selection.named_ids(database, removed=True) if selection.names else None
    return StateFilter(
        org_ids=ids,
        tags=selection.tags,
        states=selection.states,
        data_centers=selection.data_centers,
        removed=ids is not None or State.REMOVED in selection.states,
    )


async def stream_org_states(
    database: Database, which: StateFilter, *, sort: Sort = "org", page: int = 500
) -> AsyncIterator[OrgState]:
    """Every org of the filter, read a page at a time."""
    found = await read_page(database, which, sort=sort, limit=page)
    while True:
        for org in found.orgs:
            yield org
        if found.after is None:
            return
        found = await read_page(database, which, sort=sort, after=found.after, limit=page)


async def first_org_states(database: Database, which: StateFilter, limit: int) -> FirstOrgs:
    """The first orgs of the filter by name, and how many it has."""
    page = await read_page(database, which, limit=limit)
    total = len(page.orgs) if page.after is None else sum((await count_states(database, which)).values())
    return FirstOrgs(page.orgs, total)


async def count_pollable(database: Database, names: Sequence[str] | None) -> int:
    """How many orgs a poll or check of `names` is about; None: of every active org."""
    return await count_orgs(database) if names is None else len(names)


async def longest_org_name(database: Database) -> int:
    """The characters of the longest name, for a table that is printed line by line."""
    return await longest_name(database)


def remedy_of(org: OrgState) -> str | None:
    """What a person should do about an org that fails or is parked; None: nothing."""
    if org.state == State.PARKED:
        return org.parked_remedy
    return remedy_for(org.state_reason) if org.state == State.FAILING and org.state_reason else None


def state_fields(org: OrgState) -> dict[str, Any]:
    """One org as JSON."""
    return {
        "org": org.org,
        "id": org.org_id,
        "state": org.state,
        "state_reason": org.state_reason,
        "remedy": remedy_of(org),
        "since": _iso(org.since),
        "data_center": org.data_center,
        "zgid": org.zgid,
        "grant": org.grant,
        "edition": org.edition,
        "licences": org.licences,
        "tags": list(org.tags),
        "api_version": org.api_version,
        "poll_interval_seconds": org.poll_interval_seconds,
        "interval_seconds": org.interval_seconds,
        "effective_interval_seconds": org.effective_interval_seconds,
        "credits_a_day": daily_credits(org.edition, org.licences),
        "last_polled_at": _iso(org.last_polled_at),
        "last_outcome": org.last_outcome,
        "last_error": org.last_error,
        "counts_at": _iso(org.counts_at),
        "counts": {user_type.value: org.counts[user_type] for user_type in USER_TYPES if user_type in org.counts},
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
