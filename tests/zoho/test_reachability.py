from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from poller.core.reply import Failure
from poller.zoho.reachability import is_reachable
from tests.zoho.test_client import client, saying, standin


def front_page(date: str, status: str = "200 OK") -> bytes:
    """The reply of a front page to HEAD, with a content length."""
    return f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: 123456\r\nContent-Type: text/html\r\n\r\n".encode()


async def test_any_reply_proves_that_a_server_is_reachable_and_gives_its_time() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    async with standin(saying(front_page(date, "404 Not Found"))) as zoho, client() as asking:
        found = (await is_reachable(asking, [zoho.base]))[zoho.base]
    assert (found.status, found.failure) == (404, None)
    assert found.ahead_seconds is not None
    assert abs(found.ahead_seconds - 3_600) <= found.doubt_seconds + 0.01
    (request,) = zoho.requests
    assert request.startswith("HEAD / HTTP/1.1\r\n")
    assert "Authorization" not in request


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Nov 2026 25:61:61 GMT", "9" * 100])
async def test_an_invalid_date_header_is_ignored(date: str) -> None:
    async with standin(saying(front_page(date))) as zoho, client() as asking:
        found = (await is_reachable(asking, [zoho.base]))[zoho.base]
    assert (found.status, found.ahead_seconds) == (200, None)


async def test_servers_are_probed_concurrently_and_each_has_its_result() -> None:
    async def silence(*_: object) -> None:
        await over.over.wait()

    async with standin(silence) as over, standin(saying(front_page(""))) as zoho, client(0.3) as asking:
        found = await is_reachable(asking, [over.base, zoho.base, "http://127.0.0.1:1"])
    assert [one.failure for one in found.values()] == [Failure.TIMEOUT, None, Failure.REFUSED]
