"""What the Alerts page shows: a page of alerts with the counts of its filters, and one alert with its messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.query.alerts import RESOLVED_WITHIN, alert_fields, list_alerts
from poller.query.cache import key_of_tags
from poller.store.capacity.alert_facets import AlertFacet, count_firing, count_firing_by_rule, read_alert_facets
from poller.store.queue.messages_of_alert import AlertMessage, messages_of_alert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from poller.core.alerts import AlertFilter
    from poller.core.callers import Caller
    from poller.query.reader import Reader

__all__ = [
    "AlertFacet",
    "AlertMessage",
    "AlertsView",
    "OneAlert",
    "firing_alerts",
    "firing_by_rule",
    "forget_counts",
    "read_alerts_view",
    "read_one_alert",
    "stream_alerts",
]

_FIRING, _FACETS = "firing alerts", "alert facets"
_COUNTED_SECONDS: Final = 5.0
_MESSAGES: Final = 100
_CHUNK: Final = 500
"""Rows read at a time where all are wanted."""


@dataclass(frozen=True, slots=True)
class AlertsView:
    """A page of alerts, the place of the last one if more follow, and the values of each filter."""

    alerts: Sequence[Mapping[str, Any]]
    after: Sequence[int] | None
    facets: Sequence[AlertFacet]

    def values(self, facet: str) -> list[tuple[str, int]]:
        """The values of one facet with their alerts, the most alerts first."""
        return [(one.value, one.alerts) for one in self.facets if one.facet == facet]


@dataclass(frozen=True, slots=True)
class OneAlert:
    """An alert with its history, and the messages about it."""

    alert: Mapping[str, Any]
    messages: Sequence[AlertMessage]


async def read_alerts_view(
    reader: Reader, caller: Caller, which: AlertFilter, *, limit: int, after: Sequence[int] | None
) -> AlertsView:
    """The page as this caller may see it."""
    database, now = reader.seen_by(caller), reader.now()
    found = await list_alerts(database, which, now, limit=limit, after=after)
    facets = await reader.cache.get(
        (_FACETS, key_of_tags(caller.visible_tags)),
        _COUNTED_SECONDS,
        lambda: read_alert_facets(database, caller.visible_tags, now - RESOLVED_WITHIN),
    )
    return AlertsView(found.items, found.after, facets)


async def stream_alerts(reader: Reader, caller: Caller, which: AlertFilter) -> AsyncIterator[Mapping[str, Any]]:
    """Every alert that matches, in order."""
    database, now, after = reader.seen_by(caller), reader.now(), None
    while True:
        page = await list_alerts(database, which, now, limit=_CHUNK, after=after)
        for alert in page.items:
            yield alert
        if page.after is None:
            return
        after = page.after


async def read_one_alert(reader: Reader, caller: Caller, alert_id: int) -> OneAlert:
    """The alert; an `UnknownAlertError` where the caller may not see it. Messages name no address."""
    alert = await alert_fields(reader.seen_by(caller), alert_id, caller.visible_tags)
    return OneAlert(alert, await messages_of_alert(reader.database, alert_id, _MESSAGES))


def forget_counts(reader: Reader, caller: Caller) -> None:
    """Lets the next page count again, because this caller changed an alert."""
    tags = key_of_tags(caller.visible_tags)
    for name in (_FIRING, _FACETS):
        reader.cache.forget((name, tags))


async def firing_by_rule(reader: Reader, caller: Caller) -> Mapping[str, int]:
    """How many alerts of each rule fire."""
    found = await count_firing_by_rule(reader.seen_by(caller), caller.visible_tags)
    return {one.value: one.alerts for one in found}


async def firing_alerts(reader: Reader, caller: Caller) -> int:
    """How many alerts fire that this caller sees, not older than five seconds."""
    database, visible = reader.seen_by(caller), caller.visible_tags
    key = (_FIRING, key_of_tags(visible))
    return await reader.cache.get(key, _COUNTED_SECONDS, lambda: count_firing(database, visible))
