from __future__ import annotations

import asyncio
import logging
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.errors import SettingsError
from poller.core.secret import Secret
from poller.notify.checks import check_addresses
from poller.notify.errors import DeliveryError
from poller.notify.message import Message
from poller.notify.send import send
from poller.notify.trial import send_trial
from tests.notify.receivers import Mailbox, Webhook, mail_server, secret_url, webhook
from tests.worker.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ALERT: dict[str, Any] = {
    "id": 12,
    "rule": "seats_used",
    "org": "Castle Foods",
    "state": "firing",
    "severity": "warning",
    "since": "2026-11-27T10:00:00+00:00",
    "resolved_at": None,
    "message": "96 % of the seats are used",
    "remedy": "buy seats",
}
MESSAGE = Message("5a0b3c7e", "firing", "[warning] Café", "96 % <b>", "<p>96 %</p>", (ALERT,), "warning")


@pytest.fixture
async def hook() -> AsyncIterator[Webhook]:
    async with webhook() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as mailbox:
        yield mailbox


async def error_of(url: Secret, seconds: float = 30) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(url, MESSAGE, deadline_seconds=seconds)
    secret = url.reveal().partition("://")[2]
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value)
    return caught.value


async def test_a_webhook_gets_the_alert_as_json_with_the_id_of_the_message(hook: Webhook) -> None:
    await send(hook.url(), MESSAGE)
    await send(hook.url(), MESSAGE)
    first, second = hook.accepted
    assert first == second == {**ALERT, "message_id": "5a0b3c7e", "about": "firing", "title": "[warning] Café"}
    assert {headers["Idempotency-Key"] for headers in hook.headers} == {"5a0b3c7e"}


async def test_a_webhook_logs_in_with_the_user_and_password_of_its_address(hook: Webhook) -> None:
    await send(secret_url(f"webhook+http://noc:p%40ss-word-long@127.0.0.1:{hook.port}/a"), MESSAGE)
    assert hook.headers[0]["Authorization"] == "Basic bm9jOnBAc3Mtd29yZC1sb25n"


async def test_an_alertmanager_gets_the_alert_in_its_own_form(hook: Webhook) -> None:
    await send(hook.url("/prefix", "alertmanager+http"), MESSAGE)
    over = {**ALERT, "state": "resolved", "resolved_at": "2026-11-27T12:00:00+00:00"}
    await send(hook.url("", "alertmanager+http"), Message("6", "resolved", "", "", "", (over,)))
    assert hook.paths == ["/prefix/api/v2/alerts", "/api/v2/alerts"]
    fires, resolved = (posted[0] for posted in hook.accepted)
    assert fires["labels"] == resolved["labels"]
    assert fires["labels"]["alertname"] == "seats_used"
    assert fires["labels"]["alert_id"] == "12"
    assert fires["endsAt"] > "2027"
    assert resolved["endsAt"] == "2026-11-27T12:00:00+00:00"


async def test_a_mail_has_title_html_and_the_id_of_the_message(mailbox: Mailbox) -> None:
    await send(mailbox.url(), MESSAGE)
    mail = mailbox.mails[-1]
    assert str(make_header(decode_header(mail["Subject"]))) == "[warning] Café"
    assert mail["X-Poller-Message-Id"] == "5a0b3c7e"
    assert "<p>96 %</p>" in mailbox.text()
    assert "Message 5a0b3c7e" in mailbox.text()


@pytest.mark.parametrize(
    ("status", "permanent"), [(500, False), (503, False), (408, False), (404, True), (401, True), (410, True)]
)
@pytest.mark.parametrize("scheme", ["webhook+http", "json"])
async def test_a_status_says_whether_the_receiver_may_take_it_later(
    hook: Webhook, scheme: str, status: int, permanent: bool
) -> None:
    hook.always = status
    error = await error_of(hook.url(scheme=scheme))
    assert (error.permanent, str(status) in error.what) == (permanent, True)


@pytest.mark.parametrize("scheme", ["webhook+http", "json"])
async def test_the_pause_that_a_busy_receiver_asks_for_is_read(hook: Webhook, scheme: str) -> None:
    hook.always, hook.retry_after = 429, "37"
    error = await error_of(hook.url(scheme=scheme))
    assert (error.retry_after, error.permanent) == (37.0, False)


@pytest.mark.parametrize("scheme", ["webhook+http", "json"])
async def test_a_receiver_that_closes_the_connection_or_is_down_may_take_it_later(hook: Webhook, scheme: str) -> None:
    hook.always = "close"
    error = await error_of(hook.url(scheme=scheme))
    assert "closed the connection" in error.what
    assert not error.permanent
    down = secret_url(f"{scheme}://127.0.0.1:9/hook/quite-secret-path")
    assert not (await error_of(down)).permanent


@pytest.mark.parametrize("scheme", ["webhook+http", "json"])
async def test_a_receiver_that_never_answers_is_left_at_the_deadline(hook: Webhook, scheme: str) -> None:
    hook.always = "hang"
    async with asyncio.timeout(PATIENCE_SECONDS):
        error = await error_of(hook.url("/hangs-for-ever", scheme), seconds=0.3)
    assert "within 0.3 s" in error.what


async def test_while_a_receiver_hangs_nothing_else_is_sent_to_it_and_others_get_theirs(hook: Webhook) -> None:
    hook.statuses = ["hang"]
    url = hook.url("/hangs-for-a-while", "json")
    await error_of(url, seconds=0.2)
    assert "still being sent" in (await error_of(url)).what
    await send(hook.url("/another-receiver", "json"), MESSAGE)
    assert len(hook.received) == 2


@pytest.mark.parametrize(
    ("answer", "permanent"), [("550 no such user", True), ("451 try again", False), ("554 spam", True)]
)
async def test_the_code_of_a_mail_server_says_whether_it_may_take_it_later(
    mailbox: Mailbox, answer: str, permanent: bool
) -> None:
    mailbox.answers = [answer]
    error = await error_of(mailbox.url())
    assert answer[:3] in error.what, error
    assert error.permanent is permanent


async def test_messages_one_after_the_other_to_one_address_are_all_sent(mailbox: Mailbox) -> None:
    before = len(mailbox.mails)
    for _ in range(20):
        await send(mailbox.url(), MESSAGE)
    assert len(mailbox.mails) == before + 20


@pytest.mark.parametrize("level", [logging.DEBUG, 1])
async def test_no_log_of_a_library_shows_an_address(
    hook: Webhook, mailbox: Mailbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], level: int
) -> None:
    hook.always = 500
    with caplog.at_level(level):
        await error_of(hook.url("/a-path-that-is-secret", "json"))
        await error_of(hook.url("/a-path-that-is-secret"))
        await send(mailbox.url(), MESSAGE)
        with pytest.raises(SettingsError):
            await check_addresses([secret_url("mailto://user-name:secret-word@host:99999")], "--url")
    shown = caplog.text + "".join(capfd.readouterr())
    for part in ("a-path-that-is-secret", "noc-very-private", "secret-word"):
        assert part not in shown


@pytest.mark.parametrize(
    "text",
    [
        "nothing-of-the-kind://host-secret-1",
        "mailto://user:password-1234@mail.example:99999",
        "json://localhost:not-a-port-123",
        "webhook+https://:8080/secret-path",
        "webhook+https://host-name-1234:99999/",
        "alertmanager+http://host-name-1234:none/",
        "slack://incomplete-12",
    ],
)
async def test_an_address_that_cannot_be_used_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        await check_addresses([Secret("webhook+http://host/ok"), secret_url(text)], "POLLER_NOTIFY_URLS")
    line = str(caught.value)
    assert line.startswith("POLLER_NOTIFY_URLS, address 2: ")
    assert text.partition("://")[2] not in line
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    assert "\n" not in line


@pytest.mark.parametrize(
    "text",
    [
        "mailtos://user:password@mail.example?to=noc@msp.example",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
        "workflows://host:443/workflow-id/signature-1",
        "webhook+https://user:p%40ss@host/path?token=1",
        "alertmanager+http://[::1]:9093",
    ],
)
async def test_addresses_of_the_documentation_are_accepted(text: str) -> None:
    await check_addresses([secret_url(text)], "--url")


async def test_a_test_message_is_sent_at_once_and_its_id_returned(hook: Webhook, mailbox: Mailbox) -> None:
    sent = await send_trial(hook.url(), web_origin="https://poller.example")
    assert hook.accepted[0]["id"] == sent
    await send_trial(mailbox.url(), web_origin="https://poller.example")
    assert "https://poller.example/alerts" in mailbox.text()


async def test_a_message_that_is_being_sent_does_not_hold_the_event_loop(hook: Webhook) -> None:
    hook.seconds = 0.2
    sending = asyncio.ensure_future(send(hook.url("/slow-but-works", "json"), MESSAGE))
    ticks = 0
    while not sending.done():
        await asyncio.sleep(0.01)
        ticks += 1
    await sending
    assert ticks > 5
