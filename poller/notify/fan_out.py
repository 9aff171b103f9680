"""Fan-out: writes the messages about changed alerts to the outbox, in the transaction that changes the alerts.

A message that an alert fires goes to the rule's own addresses; if the rule has none, to those of POLLER_NOTIFY_URLS. A
message that it is over goes to those that got, or will get, the message that it fires; if all of these addresses were
replaced since, to those that a message of the alert would go to now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.alerts import AlertState, Severity
from poller.core.quiet_hours import quiet_until
from poller.notify.message import Message
from poller.notify.schemes import is_for_programs
from poller.notify.wording import words_of_many, words_of_one
from poller.store.queue.addresses import default_addresses, list_addresses, list_schemes
from poller.store.queue.outbox import NewMessage, insert_messages, receivers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from poller.core.alerts import AlertTransition
    from poller.core.secret import Secret
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Connection

MOST_SINGLE: Final = 20
"""If an evaluation has more messages for an address than this, they become one; for a program, one per 500 alerts."""
MOST_OBJECTS: Final = 500
"""Alerts in one message to a program: many servers take no more than a megabyte."""
_URGENCY: Final = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


async def enqueue_messages(
    connection: Connection,
    transitions: Sequence[AlertTransition],
    *,
    keyring: Keyring,
    default_urls: Sequence[Secret],
    web_origin: str | None,
    now: datetime,
) -> None:
    """Writes a message per address for each transition with `announce`; many at once become one message per address."""
    announced = [one for one in transitions if one.announce]
    if not announced:
        return
    receivers = await _receivers(connection, announced, keyring, default_urls)
    schemes = await list_schemes(connection)
    by_address: dict[tuple[int, str, datetime | None], list[AlertTransition]] = {}
    quiet = {
        one.rule.quiet: quiet_until(one.rule.quiet, now) for one in {one.rule.id: one for one in announced}.values()
    }
    for one in announced:
        about = "resolved" if one.to_state is AlertState.RESOLVED else "firing"
        not_before = quiet[one.rule.quiet]
        for address_id in receivers.get(one.alert.id, ()):
            by_address.setdefault((address_id, about, not_before), []).append(one)
    messages = [
        message
        for (address_id, about, not_before), changed in by_address.items()
        if address_id in schemes
        for message in _messages(
            address_id, about, not_before, changed, web_origin, objects=is_for_programs(schemes[address_id])
        )
    ]
    await insert_messages(connection, messages)


async def enqueue_digest(
    connection: Connection, message: Message, occasion: str, *, keyring: Keyring, urls: Sequence[Secret]
) -> int:
    """Writes one digest to the outbox of each address; returns to how many.

    `occasion`, such as `daily 2026-10-31`: a digest of the same occasion goes to an address once.
    """
    addresses = await default_addresses(connection, urls, keyring)
    content = message.content()
    return await insert_messages(
        connection, [NewMessage(address.id, "digest", occasion, content) for address in addresses]
    )


async def _receivers(
    connection: Connection, announced: Sequence[AlertTransition], keyring: Keyring, default_urls: Sequence[Secret]
) -> dict[int, Sequence[int]]:
    """By alert: the ids of the addresses that its message goes to."""
    over = [one.alert.id for one in announced if one.to_state is AlertState.RESOLVED]
    receivers: dict[int, Sequence[int]] = dict(await receivers_of(connection, over)) if over else {}
    others = [one for one in announced if one.alert.id not in receivers and _is_heard_of(one)]
    if others:
        own: dict[int, list[int]] = {}
        for address in await list_addresses(connection, sorted({one.rule.id for one in others})):
            own.setdefault(address.rule_id or 0, []).append(address.id)
        defaults = [address.id for address in await default_addresses(connection, default_urls, keyring)]
        receivers |= {one.alert.id: own.get(one.rule.id, defaults) for one in others}
    return receivers


def _is_heard_of(one: AlertTransition) -> bool:
    """Whether the alert fires, or a message of it arrived at an address that was replaced since."""
    return one.to_state is not AlertState.RESOLVED or one.alert.delivered_at is not None


def _messages(
    address_id: int,
    about: str,
    not_before: datetime | None,
    changed: Sequence[AlertTransition],
    web_origin: str | None,
    *,
    objects: bool,
) -> Iterator[NewMessage]:
    """One message per alert, or a single one about many. `objects`: the receiver reads the alerts as JSON."""
    size = (MOST_OBJECTS if objects else len(changed)) if len(changed) > MOST_SINGLE else 1
    for start in range(0, len(changed), size):
        group = changed[start : start + size]
        words = words_of_one(group[0], web_origin) if len(group) == 1 else words_of_many(group, web_origin)
        alerts = [one.alert.fields() for one in group] if objects else ()
        severity = min((one.alert.severity for one in group), key=_URGENCY.__getitem__)
        message = Message("", about, words.title, words.text, words.html, alerts, severity.value)
        yield NewMessage(
            address_id,
            about,
            # A single alert is told apart by its id, a group by the first of its alerts.
            f"{group[0].at.isoformat()}" if len(group) == 1 else f"{group[0].at.isoformat()} {group[0].alert.id}",
            message.content(),
            [one.alert.id for one in group],
            not_before,
        )
