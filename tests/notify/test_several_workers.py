"""Several processes deliver from one outbox, one of them is killed, and PostgreSQL is restarted."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from poller.store import schema
from poller.store.database import connect
from poller.store.orgs.encryption import KEY_BYTES
from tests.breakage.server import Server
from tests.notify.alerts import Alerts, deliverer, delivering
from tests.notify.receivers import Webhook, mail_server, webhook
from tests.witness import WITNESS
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

KEYS = f"k1:{base64.b64encode(bytes(range(KEY_BYTES))).decode()}"
"""Those of the fixture `keyring`."""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short path, which other users may enter: PostgreSQL refuses to run as root."""
    with tempfile.TemporaryDirectory(prefix="poller-notify-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "server"


@asynccontextmanager
async def processes(dsn: str, number: int) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Processes that deliver until the end of the block; their output must not show an address."""
    environ = {**os.environ, "POLLER_DATABASE_URL": dsn, "POLLER_SECRET_KEYS": KEYS}
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.notify.deliver"),
            cwd=ROOT,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        for _ in range(number)
    ]
    outputs: list[bytes] = []
    try:
        yield started
    finally:
        for process in started:
            if process.returncode is None:
                process.terminate()
        outputs += [(await process.communicate())[0] for process in started]
        for output in outputs:
            WITNESS.hear("a process that delivers", output)
    assert all(process.returncode in {0, -signal.SIGKILL} for process in started), outputs


async def test_three_processes_deliver_every_alert_once_to_every_receiver_whatever_it_answers(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    random_answers = random.Random(7)
    async with webhook() as steady, webhook() as moody, webhook() as limited:
        moody.statuses = random_answers.choices([200, 500, 503, "close"], weights=[4, 1, 1, 1], k=60)
        limited.statuses, limited.retry_after = [429, 200, 429], "0"
        with mail_server() as mailbox:
            mailbox.answers = ["451 later", "250 OK", "421 busy"]
            alerts = Alerts(database, keyring, [steady.url(), moody.url(), limited.url(), mailbox.url()])
            async with processes(database_url, 3):
                fired = []
                for _ in range(4):
                    fired += await alerts.fire(4)
                await alerts.all_sent()
            wanted = {(alert.id, "firing"): 1 for alert in fired}
            for receiver in (steady, moody, limited):
                assert receiver.times() == wanted
                assert receiver.most_at_once == 1
                assert [body["id"] for body in receiver.accepted] == [alert.id for alert in fired]
            assert len({mail["X-Poller-Message-Id"] for mail in mailbox.mails}) == len(mailbox.mails) == 16


async def test_after_kill_9_another_process_sends_the_message_again_with_the_same_id(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    async with webhook() as receiver:
        receiver.seconds = 0.5
        alerts = Alerts(database, keyring, [receiver.url()])
        fired = await alerts.fire(3)
        async with processes(database_url, 1) as (killed,):
            await eventually(lambda: bool(receiver.received))
            killed.kill()
            await killed.wait()
        receiver.seconds = 0.0
        # As if the lease had ended.
        await database.execute("UPDATE notify_addresses SET leased_until = NULL")
        async with processes(database_url, 1):
            await alerts.all_sent()
        ids: dict[Any, set[str]] = {}
        for body in receiver.received:
            ids.setdefault(body["id"], set()).add(body["message_id"])
        assert {alert_id: len(messages) for alert_id, messages in ids.items()} == {alert.id: 1 for alert in fired}
        assert len(receiver.received) == 4
        assert sorted(receiver.times().values()) in ([1, 1, 1], [1, 1, 2])


async def test_a_message_that_was_sent_while_postgresql_was_restarted_is_not_sent_again(
    home: Path, keyring: Keyring
) -> None:
    server = Server(home)
    server.make()
    server.start()
    try:
        await schema.upgrade(server.dsn)
        async with await connect(server.dsn, max_size=2) as first, await connect(server.dsn, max_size=2) as second:
            await deliver_through_a_restart(server, first, second, keyring)
    finally:
        server.stop(signal.SIGQUIT)


async def deliver_through_a_restart(server: Server, first: Database, second: Database, keyring: Keyring) -> None:
    receiver: Webhook
    async with webhook() as receiver:
        receiver.seconds = 0.3
        alerts = Alerts(first, keyring, [receiver.url()])
        fired = await alerts.fire()
        async with delivering(deliverer(first, keyring, alerts.urls)):
            await eventually(lambda: bool(receiver.received))
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            await eventually(lambda: bool(receiver.accepted))
            async with delivering(deliverer(second, keyring, alerts.urls)):
                await asyncio.to_thread(server.start)
                # As after a long outage: every lease has ended, but no other worker takes the address at once.
                async with await connect(server.dsn) as other:
                    await other.execute("UPDATE notify_addresses SET leased_until = now() - interval '1 hour'")
                    alerts.database = other
                    await alerts.all_sent()
        assert receiver.times() == {(alert.id, "firing"): 1 for alert in fired}


async def test_statements_and_the_event_loop_are_as_quick_while_receivers_hang(
    database: Database, keyring: Keyring
) -> None:
    """What a poll needs of the event loop is measured without messages, and again while eight receivers hang."""
    async with webhook() as hanging:
        hanging.always = "hang"
        urls = [hanging.url(f"/hanging-receiver-{number}", "json") for number in range(8)]
        alerts = Alerts(database, keyring, urls)
        async with delivering(deliverer(database, keyring, urls, deadline_seconds=600, finish_seconds=0.1)):
            control = await loop_seconds(database)
            await alerts.fire(3)
            await eventually(lambda: hanging.under_way == 8)
            busy = await loop_seconds(database)
            assert hanging.under_way == 8
    assert busy < 3 * control


async def loop_seconds(database: Database) -> float:
    """The processor time of thirty statements and of all else on the event loop meanwhile: the least of five."""
    taken = []
    for _ in range(5):
        begun = time.thread_time()
        for _ in range(30):
            assert await database.fetchval("SELECT 1") == 1
            await asyncio.sleep(0)
        taken.append(time.thread_time() - begun)
    return min(taken)
