"""The digest is sent when it is due, once per period however many workers there are, and later if none ran."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from poller.admin.digests import TASK, DigestTask
from poller.core.digest_schedule import DigestSchedule
from poller.core.secret import Secret
from poller.reports.digest import make_digest
from poller.store.queue.maintenance import record_task_end, record_task_start
from tests.notify.alerts import Alerts, deliverer, delivering
from tests.notify.receivers import mail_server, webhook
from tests.store.fleet import added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

DUE = datetime(2026, 11, 27, 7, tzinfo=UTC)
"""08:00 in Berlin."""
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
URLS = (Secret("mailto://a:b@mail.example"), Secret("webhook+https://hook.example/x"))


def task(keyring: Keyring, written: str = "daily 08:00 Europe/Berlin") -> DigestTask:
    schedule = DigestSchedule.parse(written)
    return DigestTask(schedule, URLS, keyring, lambda facts: make_digest(facts, schedule.zone, None).message())


async def run(database: Database, do: DigestTask, now: datetime) -> str:
    """Runs the task as a worker does, with its record of the last run."""
    await record_task_start(database, TASK)
    said = await do(database, now)
    await record_task_end(database, TASK, now, detail=said)
    return said


async def sent(database: Database) -> int:
    found: int = await database.fetchval("SELECT count(*) FROM notify_messages WHERE about = 'digest'")
    return found


async def test_a_digest_is_sent_at_its_hour_once_to_each_address(database: Database, keyring: Keyring) -> None:
    do = task(keyring)
    # The first run on a new installation sends nothing.
    assert "not due" in await run(database, do, DUE - HOUR)
    assert "not due" in await run(database, do, DUE - 5 * MINUTE)
    assert await sent(database) == 0
    assert await run(database, do, DUE) == "daily 08:00 Europe/Berlin, 2026-11-27: to 2 addresses"
    for later in (5 * MINUTE, 10 * MINUTE, 23 * HOUR):
        await run(database, do, DUE + later)
    assert await sent(database) == 2
    await run(database, do, DUE + DAY)
    assert await sent(database) == 4


async def test_three_workers_send_it_once(database: Database, keyring: Keyring) -> None:
    await run(database, task(keyring), DUE - MINUTE)
    async with asyncio.TaskGroup() as workers:
        for _ in range(3):
            workers.create_task(task(keyring)(database, DUE + MINUTE))
    assert await sent(database) == 2


async def test_a_digest_that_no_worker_sent_is_sent_later_and_only_the_last(
    database: Database, keyring: Keyring
) -> None:
    do = task(keyring)
    await run(database, do, DUE - 3 * DAY)
    assert "2026-11-27: to 2 addresses" in await run(database, do, DUE + 5 * HOUR)
    assert "not due" in await run(database, do, DUE + 6 * HOUR)
    assert await sent(database) == 2


async def test_a_run_that_began_before_the_hour_and_ended_after_it_loses_no_digest(
    database: Database, keyring: Keyring
) -> None:
    do = task(keyring)
    await run(database, do, DUE - HOUR)
    await record_task_start(database, TASK)
    said = await do(database, DUE - timedelta(milliseconds=1))
    await record_task_end(database, TASK, DUE + timedelta(seconds=1), detail=said)
    assert "to 2 addresses" in await run(database, do, DUE + 5 * MINUTE)


async def test_a_new_installation_waits_for_its_first_hour(database: Database, keyring: Keyring) -> None:
    do = task(keyring, "monday 08:00 Europe/Berlin")
    assert "not due" in await run(database, do, DUE)
    assert await sent(database) == 0
    assert "to 2 addresses" in await run(database, do, DUE + 3 * DAY)


async def test_a_digest_reaches_a_mailbox_and_a_webhook_with_what_needs_a_person(
    database: Database, keyring: Keyring
) -> None:
    await added(database, keyring, entry("Acme <Foods>"))
    await database.execute(
        "UPDATE orgs SET parked_at = now(), parked_code = 'invalid_code', parked_outcome = 'unauthorized'"
    )
    schedule = DigestSchedule.parse("daily 08:00 Europe/Berlin")
    with mail_server() as mailbox:
        async with webhook() as hook:
            urls = [mailbox.url(), hook.url()]
            origin = "https://poller.example"
            do = DigestTask(schedule, urls, keyring, lambda facts: make_digest(facts, schedule.zone, origin).message())
            await run(database, do, DUE - MINUTE)
            assert (await run(database, do, DUE)).endswith("to 2 addresses")
            async with delivering(deliverer(database, keyring, urls)):
                await Alerts(database, keyring).all_sent()
            (posted,) = hook.accepted
            (_,) = mailbox.mails
            assert posted["title"] in mailbox.text()
            assert "invalid_code" in posted["text"]
            assert "Acme <Foods>" in posted["text"]
            assert "Acme &lt;Foods&gt;" in mailbox.text()
            assert f"{origin}/" in mailbox.text()
