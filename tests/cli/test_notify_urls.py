"""POLLER_NOTIFY_URLS: wrong addresses, what commands import, and an alert that the service sends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from poller.store.database import connect
from tests.command import start
from tests.notify.receivers import Webhook, secret_url, webhook
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.command import Ended

    Process = Callable[..., Awaitable[Ended]]

KEYS: Final = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PARKED: Final = """
INSERT INTO orgs (name, data_center, parked_at, parked_code, parked_remedy, parked_outcome, probe_at, probes)
VALUES ('Castle Foods', 'eu', now(), 'invalid_code', 'make a new token', 'unauthorized', now() + interval '1 day', 1)
"""
LOADED: Final = """
import importlib, sys
for name in ("poller.cli", "poller.worker", "poller.web", "poller.notify.checks", "poller.notify.delivery",
             "poller.notify.trial", "poller.cli.commands.status", "poller.cli.commands.service"):
    importlib.import_module(name)
print(sorted({"apprise", "requests", "urllib3"} & set(sys.modules)))
"""


@pytest.fixture
async def hook() -> AsyncIterator[Webhook]:
    async with webhook() as receiver:
        yield receiver


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("nothing-like-it://a-secret-token-1", "is not a scheme"),
        ("mailto://user:secret-password-2@mail.example:99999", "the port"),
        ("webhook+https://secret-host-3.example:0/hook", "port 0"),
    ],
)
async def test_the_service_does_not_start_with_an_address_that_cannot_be_used(
    process: Process, url: str, what: str
) -> None:
    ended = await process("run", environ=environ(url))
    assert (ended.code, ended.out) == (2, "")
    (line,) = [line for line in ended.err.splitlines() if "POLLER_NOTIFY_URLS" in line]
    assert what in line
    assert "write" in line or "documentation" in line
    assert "secret" not in ended.err


async def test_the_doctor_names_an_address_that_cannot_be_used_by_its_number(process: Process) -> None:
    ended = await process(
        "doctor", "--json", environ=environ("webhook+https://host.example/a-secret-path,nothing-like-it://a-secret-1")
    )
    found = {check["check"]: check for check in map(json.loads, ended.out.splitlines())}
    assert ended.code == 1
    assert found["addresses"]["verdict"] == "wrong"
    assert found["addresses"]["what"].startswith("POLLER_NOTIFY_URLS, address 2: ")
    assert "a-secret" not in ended.out + ended.err


async def test_the_service_sends_an_alert_to_the_addresses_of_the_setting_and_stops_in_order(
    on_database: str, hook: Webhook
) -> None:
    async with await connect(on_database) as database:
        await database.execute(PARKED)
        settings = environ(f"{hook.url('/a-path-nobody-sees').reveal()},{hook.url('/another-secret', 'json').reveal()}")
        running = await start("run", "--no-web", environ=settings | {"POLLER_DATABASE_URL": on_database})
        try:
            await eventually(lambda: len(hook.accepted) == 2)
            # The row is written after the receiver's answer.
            await eventually(
                lambda: database.fetchval("SELECT count(*) = 2 FROM notify_messages WHERE delivered_at IS NOT NULL")
            )
            running.send_signal(signal.SIGTERM)
            out, err = await running.communicate()
        finally:
            if running.returncode is None:
                await running.end()
    assert running.returncode == 0, err
    (alert,) = [body for body in hook.accepted if "rule" in body]
    assert (alert["rule"], alert["org"], alert["state"]) == ("org_parked", "Castle Foods", "firing")
    assert b"message.delivered" in err
    assert b"nobody-sees" not in out + err
    assert b"another-secret" not in out + err


def environ(urls: str) -> dict[str, str]:
    return {
        "POLLER_NOTIFY_URLS": secret_url(urls).reveal(),
        "POLLER_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
        "POLLER_SECRET_KEYS": KEYS,
        "POLLER_PROXY": "http://127.0.0.1:1",
    }


def test_no_module_of_the_poller_imports_apprise_before_a_message_is_sent() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
