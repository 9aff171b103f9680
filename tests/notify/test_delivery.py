"""Delivery to real receivers that refuse, fail, hang, ask for a pause, close connections, and come back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time as clock
from typing import TYPE_CHECKING

import pytest

from poller.core.alerts import QuietHours
from poller.notify.fan_out import enqueue_digest
from poller.notify.message import Message
from tests.notify.alerts import NOW, Alerts, deliverer, delivering
from tests.notify.receivers import Mailbox, Webhook, mail_server, secret_url, webhook
from tests.ports import free_port
from tests.worker.waiting import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring


@pytest.fixture
async def hook() -> AsyncIterator[Webhook]:
    async with webhook() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as mailbox:
        yield mailbox


async def test_an_alert_is_sent_once_to_each_address_and_so_is_its_end(
    database: Database, keyring: Keyring, hook: Webhook, mailbox: Mailbox
) -> None:
    alerts = Alerts(database, keyring, [hook.url(), mailbox.url(), hook.url()])
    before = len(mailbox.mails)
    async with delivering(deliverer(database, keyring, alerts.urls)):
        fired = await alerts.fire(3)
        await alerts.all_sent()
        await alerts.resolve(fired)
        await alerts.all_sent()
    assert hook.times() == {(alert.id, state): 1 for alert in fired for state in ("firing", "resolved")}
    subjects = [mail["Subject"] for mail in mailbox.mails[before:]]
    assert sorted(subject.partition("]")[0] for subject in subjects) == ["[resolved"] * 3 + ["[warning"] * 3
    delivered = await database.fetch("SELECT delivered_at FROM alert_states WHERE delivered_at IS NOT NULL")
    assert len(delivered) == 3


async def test_a_mail_says_what_is_wrong_since_when_what_to_do_and_where_to_look(
    database: Database, keyring: Keyring, mailbox: Mailbox
) -> None:
    alerts = Alerts(database, keyring, [mailbox.url()])
    async with delivering(deliverer(database, keyring, alerts.urls)):
        (alert,) = await alerts.fire(org="Castle <Foods>")
        await alerts.all_sent()
    text = mailbox.text()
    assert text.count(f"https://poller.example/alerts/{alert.id}") == 3, "the plain part must have the link too"
    for part in (
        "96 % of seats are used", "Castle &lt;Foods&gt;", "96 %", "&gt;= 95 %", "2026-11-27 12:00 UTC", "buy seats",
        f"https://poller.example/alerts/{alert.id}",
    ):  # fmt: skip
        assert part in text
    assert mailbox.mails[-1]["Subject"] == "[warning] Castle <Foods>: 96 % of seats are used"


async def test_the_addresses_of_a_rule_replace_those_of_the_setting(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    async with webhook() as own:
        alerts = Alerts(database, keyring, [hook.url()])
        await alerts.send_to([own.url()])
        async with delivering(deliverer(database, keyring, alerts.urls)):
            fired = await alerts.fire()
            await alerts.all_sent()
            # Its end goes to those that know of the alert, whatever the rule says by now.
            await alerts.send_to([own.url(), hook.url("/another")])
            await alerts.resolve(fired)
            await alerts.all_sent()
    assert len(own.accepted) == 2
    assert hook.received == []


async def test_rules_with_the_same_address_both_reach_it_at_the_first_attempt(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    hook.seconds = 0.3
    address = hook.url("/of-a-rule-and-the-setting", "json")
    alerts = Alerts(database, keyring, [address])
    await alerts.fire()
    await alerts.send_to([address])
    await alerts.fire()
    async with delivering(deliverer(database, keyring, alerts.urls)):
        await alerts.all_sent()
    assert await database.fetchval("SELECT array_agg(attempts) FROM notify_messages") == [1, 1]
    assert len(hook.accepted) == 2


async def test_many_alerts_at_once_are_one_message_that_lists_them(
    database: Database, keyring: Keyring, hook: Webhook, mailbox: Mailbox
) -> None:
    alerts = Alerts(database, keyring, [hook.url(), mailbox.url()])
    async with delivering(deliverer(database, keyring, alerts.urls)):
        fired = await alerts.fire(70)
        await alerts.all_sent()
        await alerts.resolve(fired[:2])
        await alerts.all_sent()
    storm, *ends = hook.accepted
    assert {alert["id"] for alert in storm["alerts"]} == {alert.id for alert in fired}
    assert [end["id"] for end in ends] == [alert.id for alert in fired[:2]]
    text = mailbox.text(-3)
    assert "70 alerts fire: 70 warning" in text
    assert "and 20 more" in text
    assert not await database.fetch("SELECT FROM alert_states WHERE delivered_at IS NULL")


async def test_thousands_of_alerts_at_once_reach_a_program_in_messages_that_servers_take(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    alerts = Alerts(database, keyring, [hook.url(), hook.url("/for-people", "json")])
    async with delivering(deliverer(database, keyring, alerts.urls)):
        fired = await alerts.fire(1_200)
        await alerts.all_sent()
    told = [body for body in hook.accepted if "alerts" in body]
    assert sorted(len(body["alerts"]) for body in told) == [200, 500, 500]
    assert {alert["id"] for body in told for alert in body["alerts"]} == {alert.id for alert in fired}
    assert len({body["message_id"] for body in told}) == 3
    assert len(hook.accepted) == 4


@pytest.mark.parametrize("scheme", ["webhook+http", "json"])
async def test_a_receiver_that_fails_and_recovers_gets_every_alert_once_in_order(
    database: Database, keyring: Keyring, hook: Webhook, scheme: str
) -> None:
    hook.statuses = [500, "close", 503, 200, 404, 500]
    alerts = Alerts(database, keyring, [hook.url(scheme=scheme)])
    async with delivering(deliverer(database, keyring, alerts.urls)):
        fired = await alerts.fire(3)
        await alerts.all_sent()
    assert len(hook.accepted) == 3
    assert len(hook.received) == 8
    if scheme == "webhook+http":
        assert [body["id"] for body in hook.accepted] == [alert.id for alert in fired]
        attempts: dict[int, set[str]] = {}
        for body in hook.received:
            attempts.setdefault(body["id"], set()).add(body["message_id"])
        assert {alert_id: len(ids) for alert_id, ids in attempts.items()} == {alert.id: 1 for alert in fired}


async def test_a_receiver_that_is_down_gets_its_alerts_when_it_is_back(database: Database, keyring: Keyring) -> None:
    receiver = Webhook(port=free_port())
    alerts = Alerts(database, keyring, [receiver.url()])
    async with delivering(deliverer(database, keyring, alerts.urls)):
        fired = await alerts.fire(2)
        error = await eventually(lambda: database.fetchval("SELECT max(error) FROM notify_messages"))
        assert error == "the receiver did not take it: no connection"
        async with webhook(receiver.port, receiver):
            await alerts.all_sent()
    assert receiver.times() == {(alert.id, "firing"): 1 for alert in fired}


async def test_a_pause_that_a_receiver_asks_for_is_kept(database: Database, keyring: Keyring, hook: Webhook) -> None:
    hook.statuses, hook.retry_after = [429], "1"
    alerts = Alerts(database, keyring, [hook.url()])
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with delivering(deliverer(database, keyring, alerts.urls)):
        await alerts.fire()
        await alerts.all_sent()
    assert loop.time() - begun >= 1
    assert len(hook.received) == 2


async def test_a_refused_message_is_tried_a_few_times_and_given_up(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    hook.always = 404
    alerts = Alerts(database, keyring, [hook.url()])
    async with delivering(deliverer(database, keyring, alerts.urls)):
        fired = await alerts.fire()
        await alerts.all_sent()
        # A receiver that never heard of the alert does not hear that it is over.
        await alerts.resolve(fired)
        assert await alerts.waiting() == 0
    assert len(hook.received) == 4
    row = await database.fetchrow("SELECT given_up_at, attempts, error FROM notify_messages")
    assert row is not None
    assert row["given_up_at"] is not None
    assert (row["attempts"], row["error"]) == (4, "the receiver answered 404")


async def test_a_message_is_given_up_after_three_days(database: Database, keyring: Keyring, hook: Webhook) -> None:
    hook.always = 503
    alerts = Alerts(database, keyring, [hook.url()])
    await alerts.fire()
    await database.execute("UPDATE notify_messages SET not_before = now() - interval '3 days'")
    async with delivering(deliverer(database, keyring, alerts.urls)):
        await alerts.all_sent()
    assert len(hook.received) == 1


async def test_a_receiver_that_hangs_does_not_delay_others(database: Database, keyring: Keyring, hook: Webhook) -> None:
    hook.always = "hang"
    async with webhook() as quick:
        hanging = [hook.url(f"/hangs-without-an-end-{number}", "json") for number in range(3)]
        alerts = Alerts(database, keyring, [*hanging, quick.url()])
        async with delivering(deliverer(database, keyring, alerts.urls, deadline_seconds=600, finish_seconds=0.1)):
            fired = await alerts.fire(5)
            # Nobody waits for the three, which hang for ten minutes.
            await eventually(lambda: len(quick.accepted) == 5 and hook.under_way == 3)
        assert quick.times() == {(alert.id, "firing"): 1 for alert in fired}


async def test_a_shutdown_lets_a_running_send_finish_and_does_not_wait_for_one_that_hangs(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    hook.seconds = 0.3
    async with webhook() as hanging:
        hanging.always = "hang"
        alerts = Alerts(database, keyring, [hook.url(), hanging.url("/hangs-without-an-end", "json")])
        patient = deliverer(database, keyring, alerts.urls, deadline_seconds=600, finish_seconds=4)
        async with asyncio.timeout(PATIENCE_SECONDS), delivering(patient) as stopping:
            await alerts.fire(2)
            await eventually(lambda: bool(hook.received and hanging.received))
            stopping.set()
    # One, or both where the other receiver was slow to be asked.
    assert len(hook.received) == len(hook.accepted) in {1, 2}
    delivered = await database.fetchval("SELECT count(*) FROM notify_messages WHERE delivered_at IS NOT NULL")
    assert delivered == len(hook.accepted)


async def test_a_shutdown_does_not_wait_for_as_many_receivers_that_hang_as_a_worker_sends_to_at_a_time(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    hook.always = "hang"
    alerts = Alerts(database, keyring, [hook.url(f"/hangs-till-the-end-{number}") for number in range(2)])
    few = deliverer(database, keyring, alerts.urls, concurrency=2, deadline_seconds=600, finish_seconds=0.1)
    async with asyncio.timeout(PATIENCE_SECONDS), delivering(few) as stopping:
        await alerts.fire()
        await eventually(lambda: hook.under_way == 2)
        stopping.set()


async def test_messages_wait_for_the_end_of_quiet_hours(database: Database, keyring: Keyring, hook: Webhook) -> None:
    alerts = Alerts(database, keyring, [hook.url()])
    alerts.quiet = QuietHours(clock(12, 30), clock(7), "Europe/Berlin")
    begun = await database.fetchval("SELECT now()")
    await alerts.fire()
    # 12:00 UTC is 13:00 in Berlin. A message is not planned for a moment that is over.
    end, now = datetime(2026, 11, 28, 6, tzinfo=UTC), await database.fetchval("SELECT now()")
    not_before = await database.fetchval("SELECT not_before FROM notify_messages")
    assert max(end, begun) <= not_before <= max(end, now)


async def test_a_digest_of_an_occasion_is_sent_once(database: Database, keyring: Keyring, hook: Webhook) -> None:
    message = Message("", "digest", "Monday's digest", "nothing changed", "<p>nothing changed</p>")
    async with delivering(deliverer(database, keyring, [hook.url()])):
        for _ in range(2):
            async with database.transaction() as connection:
                await enqueue_digest(connection, message, "daily 2026-11-27", keyring=keyring, urls=[hook.url()])
        await Alerts(database, keyring).all_sent()
    assert [body["title"] for body in hook.accepted] == ["Monday's digest"]


async def test_addresses_that_are_no_longer_set_get_nothing(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    alerts = Alerts(database, keyring, [secret_url("webhook+http://127.0.0.1:9/not-set-any-more"), hook.url()])
    await alerts.fire()
    async with delivering(deliverer(database, keyring, [hook.url()])):
        await alerts.all_sent()
    assert len(hook.accepted) == 1
    assert await database.fetchval("SELECT count(*) FROM notify_messages") == 1


async def test_the_end_of_an_alert_goes_to_the_address_that_replaced_the_one_that_got_it(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    old, new = hook.url("/old"), hook.url("/new")
    alerts = Alerts(database, keyring, [old])
    known, unknown = await alerts.fire(2)
    async with delivering(deliverer(database, keyring, [old])):
        await alerts.all_sent()
    alerts.urls = [new]
    async with delivering(deliverer(database, keyring, [new])):
        await eventually(lambda: _has_no_messages(database))
        await alerts.resolve([known], delivered_at=NOW)
        await alerts.resolve([unknown])
        await alerts.all_sent()
    assert hook.times() == {(known.id, "firing"): 1, (unknown.id, "firing"): 1, (known.id, "resolved"): 1}


async def _has_no_messages(database: Database) -> bool:
    return bool(await database.fetchval("SELECT NOT EXISTS (SELECT FROM notify_messages)"))


async def test_an_address_that_no_key_decrypts_is_reported_and_does_not_stop_others(
    database: Database, keyring: Keyring, hook: Webhook
) -> None:
    alerts = Alerts(database, keyring, [hook.url("/cannot-be-decrypted"), hook.url()])
    await alerts.fire()
    await database.execute(
        "UPDATE notify_addresses SET key_id = 'lost' WHERE id = (SELECT min(id) FROM notify_addresses)"
    )
    async with delivering(deliverer(database, keyring, alerts.urls)):
        await eventually(lambda: bool(hook.accepted))
    error = await database.fetchval("SELECT max(error) FROM notify_messages")
    assert "encrypted with the key 'lost'" in error


async def test_no_table_and_no_log_shows_an_address(
    database: Database, keyring: Keyring, hook: Webhook, capfd: pytest.CaptureFixture[str]
) -> None:
    hook.always = 404
    alerts = Alerts(database, keyring, [hook.url("/a-very-secret-path"), hook.url("/a-very-secret-path", "json")])
    working = deliverer(database, keyring, alerts.urls)
    async with delivering(working):
        await alerts.fire()
        await alerts.all_sent()
    rows = [
        *await database.fetch("SELECT * FROM notify_addresses"),
        *await database.fetch("SELECT * FROM notify_messages"),
    ]
    shown = repr(working) + "".join(capfd.readouterr()) + repr([dict(row) for row in rows])
    assert "message.given_up" in shown
    assert "a-very-secret-path" not in shown
