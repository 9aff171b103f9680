"""Messages that wait for an address which is replaced: in the setting, during a rolling change of it, and of a rule."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from poller.core.alerts import AlertState
from poller.store.queue.addresses import default_addresses, delete_other_defaults
from tests.notify.alerts import Alerts, deliverer, delivering
from tests.notify.receivers import Webhook, secret_url, webhook
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.core.secret import Secret
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


@pytest.fixture
async def hook() -> AsyncIterator[Webhook]:
    async with webhook() as receiver:
        yield receiver


def down(path: str, scheme: str = "webhook+http") -> Secret:
    """An address at which nobody answers."""
    return secret_url(f"{scheme}://127.0.0.1:9{path}")


async def test_messages_that_wait_for_an_address_go_to_those_that_replace_it(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    async with webhook() as other:
        alerts = Alerts(database, keyring, [down("/misspelt"), down("/misspelt-for-people", "json")])
        fired = await alerts.fire(2)
        await alerts.resolve(fired[:1])
        async with delivering(deliverer(database, keyring, [hook.url(), other.url()])):
            await alerts.all_sent()
        wanted = {(fired[0].id, "firing"): 1, (fired[0].id, "resolved"): 1, (fired[1].id, "firing"): 1}
        assert hook.times() == other.times() == wanted
        assert [body["about"] for body in hook.accepted] == ["firing", "firing", "resolved"]
        assert hook.accepted[0]["rule"] == "seats_used"


async def test_a_program_gets_the_alerts_of_messages_that_were_written_for_people(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    alerts = Alerts(database, keyring, [down("/for-people-only", "json")])
    (alert,) = await alerts.fire()
    async with delivering(deliverer(database, keyring, [hook.url()])):
        await alerts.all_sent()
    (body,) = hook.accepted
    assert (body["id"], body["rule"], body["state"], body["remedy"]) == (alert.id, "seats_used", "firing", "buy seats")


async def test_an_address_that_has_the_alerts_does_not_get_them_again_from_one_that_is_removed(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    people = hook.url("/people-who-have-it", "json")
    alerts = Alerts(database, keyring, [down("/a-removed-program"), people])
    # The program's messages have 500 alerts at most; people get one message.
    await alerts.fire(600)
    await alerts.fire(1)
    async with delivering(deliverer(database, keyring, [people])):
        await alerts.all_sent()
    assert len(hook.accepted) == 2


async def test_no_alert_is_lost_or_sent_twice_while_workers_with_the_old_and_the_new_setting_run(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    before = Alerts(database, keyring, [hook.url("/before-the-change")])
    after = Alerts(database, keyring, [hook.url("/after-the-change")])
    fired = await before.fire(3)
    async with delivering(deliverer(database, keyring, before.urls), deliverer(database, keyring, after.urls)):
        fired += await before.fire(2)
        fired += await after.fire(2)
        await before.all_sent()
        await before.resolve(fired)
        await before.all_sent()
    assert {(body["id"], body["about"]) for body in hook.accepted} >= {(alert.id, "firing") for alert in fired}
    sent = list(zip(hook.paths, (body["message_id"] for body in hook.received), strict=True))
    assert sorted(set(sent)) == sorted(sent)


async def test_a_message_that_is_written_while_its_address_is_removed_is_not_lost(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    old = down("/removed-at-this-moment")
    alerts = Alerts(database, keyring, [old])
    async with database.transaction() as connection:
        await default_addresses(connection, [old], keyring)
    removing = asyncio.create_task(remove_others(database, keyring, hook.url()))
    async with database.transaction() as connection:
        address_id = await connection.fetchval("SELECT id FROM notify_addresses FOR KEY SHARE")
        await eventually(lambda: waits_for_a_lock(database))
        await connection.execute(
            "INSERT INTO notify_messages (address_id, about, occasion, content)"
            " VALUES ($1, 'digest', 'monday', '{\"title\": \"the digest\"}')",
            address_id,
        )
    assert await removing == 1
    async with delivering(deliverer(database, keyring)):
        await alerts.all_sent()
    assert [body["title"] for body in hook.accepted] == ["the digest"]


async def remove_others(database: Database, keyring: Keyring, kept: Secret) -> int:
    # Not before the other transaction has the address.
    await eventually(lambda: locked(database))
    async with database.transaction() as connection:
        return await delete_other_defaults(connection, [kept], keyring)


async def locked(database: Database) -> bool:
    return not await database.fetch("SELECT FROM notify_addresses FOR UPDATE SKIP LOCKED")


async def waits_for_a_lock(database: Database) -> bool:
    waiting: bool = await database.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    return waiting


async def test_messages_that_wait_for_an_address_of_a_rule_go_to_its_new_addresses(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    async with webhook() as default:
        alerts = Alerts(database, keyring, [default.url()])
        await alerts.send_to([down("/misspelt-by-the-rule")])
        fired = await alerts.fire()
        await alerts.send_to([hook.url()])
        async with delivering(deliverer(database, keyring, alerts.urls)):
            await alerts.all_sent()
            assert hook.times() == {(fired[0].id, "firing"): 1}
            # A rule without addresses of its own uses those of the setting.
            hook.always = 503
            await alerts.enqueue(fired, AlertState.FIRING, fired[0].since.replace(hour=13))
            await alerts.send_to([])
            await alerts.all_sent()
        assert default.times() == {(fired[0].id, "firing"): 1}
