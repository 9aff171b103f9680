from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poller.core.checks import CheckResult, CheckStatus
from poller.core.fleet import MessageBacklog
from poller.core.message_health import FailingAddress, OutboxFacts, check_messages
from poller.store.fleet_stats import fleet_stats
from poller.store.queue.outbox import delete_expired_messages
from poller.store.queue.outbox_health import read_outbox
from tests.notify.alerts import NOW, Alerts, deliverer, delivering
from tests.notify.receivers import Webhook, webhook
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


@pytest.fixture
async def hook() -> AsyncIterator[Webhook]:
    async with webhook() as receiver:
        yield receiver


async def checked(database: Database) -> CheckResult:
    await database.read_clock()
    return check_messages(await read_outbox(database), database.clock.now())


async def test_a_message_that_was_given_up_is_wrong_until_a_later_one_arrives(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    assert "sent to nobody" in (await checked(database)).what
    hook.always = 404
    alerts = Alerts(database, keyring, [hook.url()])
    async with delivering(deliverer(database, keyring, alerts.urls)):
        await alerts.fire()
        await alerts.all_sent()
        lost = await checked(database)
        assert lost.status is CheckStatus.WRONG
        what = "given up in a week: 1 message to webhook+http://… of POLLER_NOTIFY_URLS: the receiver answered 404"
        assert lost.what == what
        assert "poller alerts test" in lost.remedy
        hook.always = 200
        await alerts.fire()
        await alerts.all_sent()
    assert await checked(database) == CheckResult("messages", CheckStatus.OK, "1 delivered in 24 hours, 0 wait")


async def test_a_receiver_that_fails_for_ten_minutes_is_a_warning(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    hook.always = 503
    alerts = Alerts(database, keyring)
    await alerts.send_to([hook.url()])
    async with delivering(deliverer(database, keyring)):
        await alerts.fire(2)
        await eventually(lambda: database.fetchval("SELECT max(failures) >= 2 FROM notify_addresses"))
        assert (await checked(database)).status is CheckStatus.OK
    await database.execute("UPDATE notify_messages SET not_before = now() - interval '3 hours'")
    late = await checked(database)
    assert late.status is CheckStatus.WARNING
    what = "2 messages to webhook+http://… of the rule seats_used for 3h: the receiver answered 503"
    assert late.what == f"not delivered yet: {what}"


def test_only_the_first_failing_addresses_are_named() -> None:
    failing = [FailingAddress("slack", None, 0, 1, None, "404") for _ in range(5)]
    assert check_messages(OutboxFacts(5, 0, 0, failing), NOW).what.endswith("; and 2 more addresses")


async def test_the_metrics_of_messages_count_those_that_wait_and_those_that_were_given_up(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    assert await backlog(database) == MessageBacklog()
    alerts = Alerts(database, keyring)
    await alerts.send_to([hook.url()])
    await alerts.fire(4)
    rows = await database.fetch("SELECT id FROM notify_messages ORDER BY id")
    assert len(rows) == 4
    for row, change in zip(
        rows,
        (
            "not_before = now() - interval '1 hour'",
            "not_before = now() + interval '1 hour'",
            "delivered_at = now() - interval '2 hours', not_before = now() - interval '3 hours'",
            "given_up_at = now() - interval '1 hour', not_before = now() - interval '4 hours'",
        ),
        strict=True,
    ):
        await database.execute(f"UPDATE notify_messages SET {change} WHERE id = $1", row["id"])
    found = await backlog(database)
    assert (found.waiting, found.given_up) == (1, 1), "quiet hours hold one back, and one is delivered"
    assert 3_600 <= found.oldest_seconds < 3_700
    await database.execute("UPDATE notify_messages SET delivered_at = now() WHERE id = $1", rows[0]["id"])
    assert await backlog(database) == MessageBacklog(), "a later message arrived"


async def backlog(database: Database) -> MessageBacklog:
    return (await fleet_stats(database, database.clock.now())).messages


async def test_old_messages_are_deleted_once_their_alert_is_over(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    alerts = Alerts(database, keyring, [hook.url()])
    async with delivering(deliverer(database, keyring, alerts.urls)):
        fired = await alerts.fire(2)
        await alerts.all_sent()
    await database.execute("UPDATE notify_messages SET delivered_at = now() - interval '31 days'")
    await database.execute("UPDATE alert_states SET state = 'resolved', resolved_at = now() WHERE id = $1", fired[0].id)
    assert await delete_expired_messages(database) == 1
    assert await database.fetchval("SELECT alert_id FROM notify_messages") == fired[1].id
