"""Alerts and their history, for commands, pages and the API: firing first, then by severity, the newest first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from poller.core.alerts import AlertFilter, AlertState
from poller.core.errors import UnknownAlertError
from poller.query.lists import ListPage
from poller.store.capacity.alerts import count_alerts, key_of, read_alerts, read_changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.core.alerts import Alert, AlertChange
    from poller.store.database import Database
    from poller.store.queries import Queries

RESOLVED_WITHIN: Final = timedelta(days=1)
"""How long a resolved alert stays in the list, where no state is asked for."""


async def current_alerts(database: Queries, which: AlertFilter, now: datetime) -> list[Alert]:
    """Every alert that matches. Without states: the open ones, and those resolved within a day."""
    return await read_alerts(database, _current(which, now))


async def list_alerts(
    database: Queries, which: AlertFilter, now: datetime, *, limit: int, after: Sequence[Any] | None = None
) -> ListPage:
    """A page of the alerts of `current_alerts`."""
    key = cast("tuple[int, int, int] | None", after if after is None else tuple(after))
    found = await read_alerts(database, _current(which, now), after=key, limit=limit + 1)
    shown = found[:limit]
    return ListPage([alert.fields() for alert in shown], key_of(shown[-1]) if len(found) > limit else None)


async def find_alert(database: Queries, alert_id: int, visible_tags: Sequence[str] | None) -> Alert:
    """The alert of this number; an `UnknownAlertError` where it does not exist, or the caller may not see it."""
    found = await read_alerts(database, AlertFilter(alert_ids=[alert_id], visible_tags=visible_tags), limit=1)
    if not found:
        raise UnknownAlertError
    return found[0]


async def alert_fields(database: Queries, alert_id: int, visible_tags: Sequence[str] | None) -> dict[str, Any]:
    """One alert and its history, the newest change first, as one JSON object."""
    alert = await find_alert(database, alert_id, visible_tags)
    changes = await read_changes(database, alert_id, visible_tags=visible_tags)
    names = ("at", "from_state", "to_state", "by", "detail")
    history = [{name: value for name, value in change_fields(one).items() if name in names} for one in changes]
    return {**alert.fields(), "history": history}


async def alert_history(
    database: Queries,
    alert_id: int | None,
    since: datetime,
    *,
    org_ids: Sequence[int] | None = None,
    limit: int,
) -> list[AlertChange]:
    """The changes of an alert (None: of all) since a time, the newest first. `org_ids`: only of these orgs."""
    return await read_changes(database, alert_id, since=since, org_ids=org_ids, limit=limit)


async def alerts_by_state(database: Database, visible_tags: Sequence[str] | None) -> Mapping[AlertState, int]:
    """The number of alerts in each state that the caller may see."""
    return await count_alerts(database, visible_tags)


def change_fields(change: AlertChange) -> dict[str, Any]:
    """A change of state as one JSON object."""
    return {
        "at": change.at,
        "alert_id": change.alert_id,
        "rule": change.rule,
        "org": change.org,
        "from_state": None if change.from_state is None else change.from_state.value,
        "to_state": change.to_state.value,
        "by": change.by,
        "detail": change.detail,
    }


def _current(which: AlertFilter, now: datetime) -> AlertFilter:
    return which if which.states else replace(which, resolved_since=now - RESOLVED_WITHIN)
