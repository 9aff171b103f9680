"""Browser sessions: log-in, log-out, their ends, and what stands in the way of guessing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, strategies as st
from pydantic import SecretStr

from poller.admin.access import revoke_key
from poller.core.callers import Right
from poller.web import access_from
from poller.web.log_in_limit import LogInLimit
from poller.web.pages.login import NOT_KEPT, own_path
from tests.web.doors import COOKIE, HTML, Doors, cookie_of, doors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

ORIGIN = "https://poller.example.org"
ENVIRONMENT = "0123456789abcdef-environment-key"


@pytest.fixture
async def opened(database: Database, database_url: str, keyring: Keyring) -> AsyncIterator[Doors]:
    """A server on loopback."""
    async with doors(database, database_url, keyring) as made:
        yield made


async def test_a_key_is_exchanged_for_a_session_in_a_cookie_that_no_script_and_no_other_site_gets(
    opened: Doors,
) -> None:
    key = await opened.key("noc", Right.OPERATE, ["gold"])
    reply = await opened.log_in(key, "/?state=parked")
    assert (reply.status, reply.headers["Location"]) == (303, "/?state=parked")
    morsel = reply.cookies[COOKIE]
    assert (morsel["secure"], morsel["httponly"], morsel["samesite"], morsel["path"], morsel["domain"]) == (
        True,
        True,
        "Strict",
        "/",
        "",
    )
    assert morsel["max-age"] == "43200"
    page = await opened.page("/", morsel.value)
    text = await page.text()
    assert page.status == 200
    assert "noc · operate" in text
    assert "gold" in text
    assert 'action="/logout"' in text
    stored = str(await opened.database.fetch("SELECT * FROM web_sessions"))
    assert morsel.value not in stored
    assert [action for _, action, _ in await opened.actions()] == ["key_added", "log_in", "seen"]


async def test_a_log_out_ends_the_session_and_another_log_in_makes_a_new_one(opened: Doors) -> None:
    key = await opened.key("noc")
    first = cookie_of(await opened.log_in(key))
    second = cookie_of(await opened.log_in(key, Cookie=f"{COOKIE}={first}"))
    assert first != second
    assert (await opened.page("/", first)).status == 303, "the id from before the log-in must not work after it"
    assert (await opened.page("/", second)).status == 200
    out = await opened.ask(
        "/logout", method="POST", headers={"Origin": opened.url, "Cookie": f"{COOKIE}={second}", **HTML}
    )
    assert (out.status, out.headers["Location"]) == (303, "/login")
    assert out.cookies[COOKIE].value == ""
    assert (await opened.page("/", second)).status == 303
    assert await opened.database.fetchval("SELECT count(*) FROM web_sessions") == 0
    assert (await opened.actions())[-1][:2] == ("noc", "log_out")


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE web_sessions SET created_at = created_at - interval '12 hours'",
        "UPDATE web_sessions SET seen_at = seen_at - interval '30 minutes'",
        "UPDATE access_keys SET expires_at = now()",
        "UPDATE access_keys SET revoked_at = now()",
        "DELETE FROM web_sessions",
    ],
)
async def test_a_session_ends_with_its_time_and_with_its_key(opened: Doors, end: str) -> None:
    cookie = cookie_of(await opened.log_in(await opened.key("noc")))
    assert (await opened.page("/", cookie)).status == 200
    await opened.database.execute(end)
    assert (await opened.page("/", cookie)).status == 303
    assert (await opened.page("/", cookie, Accept="*/*")).status == 401, "a script on the page must learn of it"


async def test_requests_keep_a_session_alive_with_one_write_a_minute(opened: Doors) -> None:
    cookie = cookie_of(await opened.log_in(await opened.key("noc")))
    await opened.database.execute("UPDATE web_sessions SET seen_at = now() - interval '20 minutes'")
    await opened.page("/", cookie)
    seen = await opened.database.fetchval("SELECT seen_at FROM web_sessions")
    assert await opened.database.fetchval("SELECT now() - $1::timestamptz < interval '1 minute'", seen)
    await opened.page("/", cookie)
    assert await opened.database.fetchval("SELECT seen_at FROM web_sessions") == seen


async def test_revoking_a_key_ends_all_its_sessions_and_no_other(opened: Doors) -> None:
    mine, other = await opened.key("mine"), await opened.key("other")
    sessions = [cookie_of(await opened.log_in(key)) for key in (mine, mine, other)]
    await revoke_key(opened.database, "mine")
    assert [(await opened.page("/", cookie)).status for cookie in sessions] == [303, 303, 200]


async def test_wrong_expired_and_revoked_keys_get_the_same_page_and_are_noted(opened: Doors) -> None:
    expired, revoked = await opened.key("expired", seconds=9), await opened.key("revoked")
    await opened.database.execute("UPDATE access_keys SET expires_at = now() WHERE name = 'expired'")
    await revoke_key(opened.database, "revoked")
    pages = []
    for key in (expired, revoked, "nonsense"):
        reply = await opened.log_in(key)
        assert (reply.status, COOKIE in reply.cookies) == (401, False)
        pages.append((await reply.text()).split('id="content"')[1])
    assert len(set(pages)) == 1
    assert "wrong, expired or revoked" in pages[0]
    assert ("nobody", "log_in_refused", None) in await opened.actions()


async def test_the_sixth_log_in_of_a_minute_waits(opened: Doors) -> None:
    key = await opened.key("noc")
    for _ in range(5):
        assert (await opened.log_in("wrong")).status == 401
    reply = await opened.log_in(key)
    assert reply.status == 429
    assert 0 < int(reply.headers["Retry-After"]) <= 60
    assert "Too many log-ins" in await reply.text()
    rows = await opened.database.fetch("SELECT detail FROM audit WHERE action = 'log_in_refused'")
    assert len(rows) == 2, "what strangers can cause is noted within limits"


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nno header\r\n\r\nz\r\n--x--", 415),
        ("multipart/form-data", b"", 415),
        ("application/json", b"{}", 415),
        ("\xff", b"key=a", 415),
        ("application/x-www-form-urlencoded; charset=utf-16", b"key=a&next=%2F", 401),
        ("application/x-www-form-urlencoded; charset=nosuch", b"key=a&key=b", 401),
        ("application/x-www-form-urlencoded", b"key=%00\xff", 400),
        ("application/x-www-form-urlencoded", b"key=%ED%A0%80", 400),
        ("application/x-www-form-urlencoded", b"&".join([b"key=a"] * 200), 400),
        ("application/x-www-form-urlencoded", b"", 401),
    ],
)
async def test_a_log_in_that_is_no_form_is_refused(opened: Doors, kind: str, body: bytes, status: int) -> None:
    headers = {"Origin": opened.url, "Content-Type": kind, **HTML}
    refused = await opened.ask("/login", method="POST", headers=headers, data=body)
    assert refused.status == status
    assert "Traceback" not in await refused.text()


def test_log_ins_are_limited_by_source_in_all_and_for_a_minute() -> None:
    limit = LogInLimit()
    assert [limit.take("192.0.2.1", n) for n in range(6)] == [0, 0, 0, 0, 0, 55]
    assert limit.take("192.0.2.2", 6) == 0
    assert limit.take("192.0.2.1", 60) == 0
    limit = LogInLimit()
    assert sum(limit.take(f"192.0.2.{n}", n / 100) == 0 for n in range(100)) == 60
    limit = LogInLimit()
    assert [bool(limit.take(f"2001:db8:0:1::{n}", n)) for n in range(6)] == [False] * 5 + [True]


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null"])
async def test_a_log_in_from_another_site_is_refused(opened: Doors, origin: str | None) -> None:
    key = await opened.key("noc")
    headers = HTML if origin is None else {**HTML, "Origin": origin}
    reply = await opened.ask("/login", method="POST", data={"key": key}, headers=headers)
    assert (reply.status, COOKIE in reply.cookies) == (403, False)


async def test_a_write_with_a_session_needs_our_own_origin(opened: Doors) -> None:
    cookie = cookie_of(await opened.log_in(await opened.key("noc", Right.OPERATE)))
    for origin, statuses in ((None, {403}), ("https://evil.example", {403}), (opened.url, {404, 405})):
        headers = {"Cookie": f"{COOKIE}={cookie}", **({} if origin is None else {"Origin": origin})}
        assert (await opened.ask("/api/v1/nothing", method="POST", headers=headers)).status in statuses, origin


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/login", "/a\nb", "", "é"],
)
def test_nobody_is_sent_to_another_site_after_the_log_in(target: str) -> None:
    assert own_path(target) == "/"


@given(st.text(max_size=30))
def test_a_target_after_the_log_in_is_a_path_of_this_service(target: str) -> None:
    path = own_path(target)
    assert path == "/" or (path == target and path[0] == "/" and path[1:2] not in {"/", "\\"})


@pytest.mark.parametrize(
    ("host", "headers", "kept"),
    [
        ("127.0.0.1:8080", {}, True),
        ("localhost:8080", {}, True),
        ("[::1]:8080", {}, True),
        ("poller.example.org", {}, True),
        ("192.0.2.7:8080", {}, False),
        ("192.0.2.7:8080", {"X-Forwarded-Proto": "https"}, False),
        ("", {}, False),
    ],
)
def test_a_session_is_only_offered_where_a_browser_keeps_its_cookie(
    host: str, headers: dict[str, str], *, kept: bool
) -> None:
    access = access_from("127.0.0.1", None, ORIGIN, stored_keys=True)
    assert access.keeps_cookies(make_mocked_request("GET", "/login", {"Host": host, **headers})) is kept


async def test_behind_a_proxy_the_log_in_comes_from_the_public_origin(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    access = access_from("127.0.0.1", None, ORIGIN, stored_keys=True)
    async with doors(database, database_url, keyring, access) as opened:
        key, public = await opened.key("noc"), {"Host": "poller.example.org"}
        assert (await opened.log_in(key, Origin=ORIGIN, **public)).status == 303
        assert (await opened.log_in(key, Origin="http://poller.example.org", **public)).status == 403
        assert NOT_KEPT not in await (await opened.ask("/login", headers={**HTML, **public})).text()


async def test_the_key_of_the_environment_logs_in_until_it_is_another_one(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    async with doors(
        database, database_url, keyring, access_from("127.0.0.1", SecretStr(ENVIRONMENT), ORIGIN)
    ) as opened:
        cookie = cookie_of(await opened.log_in(ENVIRONMENT, Origin=ORIGIN))
        page = await opened.page("/", cookie)
        assert page.status == 200
        assert "environment · read" in await page.text()
        assert 'action="/logout"' in await page.text()
    other = SecretStr(ENVIRONMENT + "2")
    async with doors(database, database_url, keyring, access_from("127.0.0.1", other, ORIGIN)) as opened:
        assert (await opened.page("/", cookie)).status == 303


async def test_whoever_is_logged_in_or_needs_no_log_in_is_sent_on(opened: Doors) -> None:
    assert (await opened.ask("/login?next=/seats", headers=HTML)).headers["Location"] == "/seats"
    cookie = cookie_of(await opened.log_in(await opened.key("noc")))
    assert (await opened.ask("/login", headers=HTML)).status == 200
    assert (await opened.page("/login?next=/seats", cookie)).headers["Location"] == "/seats"


async def test_a_database_that_is_away_is_shown_as_a_page_to_people(opened: Doors) -> None:
    cookie = cookie_of(await opened.log_in(await opened.key("noc")))
    opened.database.terminate()
    page = await opened.page("/", cookie)
    assert page.status == 503
    assert "The database does not answer" in await page.text()
    assert (await opened.page("/", cookie, Accept="*/*")).status == 503
