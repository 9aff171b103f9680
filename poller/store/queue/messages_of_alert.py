"""Reads the messages about one alert: to which address, when, and whether they arrived. No address is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.queries import Queries


class AlertMessage(NamedTuple):
    """One message. `scheme`: of the address; `error`: of the last attempt, without the address."""

    about: str
    scheme: str
    created_at: datetime
    not_before: datetime
    attempts: int
    delivered_at: datetime | None
    given_up_at: datetime | None
    error: str | None

    @property
    def to(self) -> str:
        """The address with its secrets masked."""
        return f"{self.scheme}://…"


async def messages_of_alert(database: Queries, alert_id: int, limit: int) -> list[AlertMessage]:
    """Returns the messages about an alert, the newest first; one message may be about several alerts."""
    return [AlertMessage(*row) for row in await database.fetch(_READ, alert_id, limit)]


# messages_of_alert.read
_READ: Final = """
SELECT m.about, a.scheme, m.created_at, m.not_before, m.attempts, m.delivered_at, m.given_up_at, m.error
FROM notify_messages m JOIN notify_addresses a ON a.id = m.address_id
WHERE m.alert_ids @> ARRAY[$1::bigint] ORDER BY m.id DESC LIMIT $2
"""
