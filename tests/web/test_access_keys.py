"""Access keys over real sockets: which are accepted, what they see, and what is noted of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import SecretStr

from poller.admin.access import AccessStore, list_keys, revoke_key
from poller.admin.keys import list_keys as list_encryption_keys
from poller.admin.writer import Writer
from poller.core.access_key import ShownKey
from poller.core.callers import Caller, Right
from poller.core.errors import DatabaseError, OperationError, UsageError
from poller.core.secret import Secret
from poller.log import redact
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from poller.web import Access, access_from
from poller.web.audit_trail import audit_trail
from poller.web.callers import CALLER
from tests.web.doors import HTML, Doors, doors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

    from poller.store.database import Database

ORIGIN = "https://poller.example.org"
API = "/api/v1/trend"


@pytest.fixture
async def opened(database: Database, database_url: str, keyring: Keyring) -> AsyncIterator[Doors]:
    """A server on loopback."""
    async with doors(database, database_url, keyring) as made:
        yield made


@pytest.fixture
async def published(database: Database, database_url: str, keyring: Keyring) -> AsyncIterator[Doors]:
    """A server that a proxy passes requests on to."""
    access = access_from("127.0.0.1", None, ORIGIN, stored_keys=True)
    async with doors(database, database_url, keyring, access) as made:
        yield made


@given(key_id=st.integers(1, 2**31 - 1), secret=st.binary(min_size=32, max_size=32))
def test_a_key_is_read_back_from_its_own_text(key_id: int, secret: bytes) -> None:
    shown = ShownKey(key_id, Secret(secret.hex()))
    assert ShownKey.parse(shown.text().reveal()) == shown
    assert secret.hex() not in f"{shown!r} {shown.text()!r} {shown.text()}"


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    for wrong in (text, f"poller_1_{text}", f"poller_{text}_{'0' * 64}"):
        shown = ShownKey.parse(wrong)
        assert shown is None or shown.text().reveal() == wrong


async def test_without_a_key_the_service_is_open_to_this_machine_and_the_first_key_closes_it(opened: Doors) -> None:
    assert (await opened.ask("/", headers=HTML)).status == 200
    key = await opened.key("first")
    closed = await opened.ask("/?state=parked", headers=HTML)
    assert (closed.status, closed.headers["Location"]) == (303, "/login?next=%2F%3Fstate%3Dparked")
    assert (await opened.ask(API)).status == 401
    assert (await opened.ask(API, key)).status == 200
    assert (await opened.ask("/", key, headers=HTML)).status == 200
    await revoke_key(opened.database, "first")
    assert (await opened.ask("/", headers=HTML)).status == 303, "a revoked key must not open the door to everybody"


async def test_programs_get_401_and_browsers_the_log_in(published: Doors) -> None:
    for path, headers in ((API, HTML), ("/", {"Accept": "application/json"}), ("/?format=csv", HTML), ("/", {})):
        reply = await published.ask(path, headers=headers)
        assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer"), path
    assert (await published.ask("/", headers=HTML)).status == 303
    assert (await published.ask("/nothing", headers=HTML)).status == 303
    for path in ("/healthz", "/login"):
        assert (await published.ask(path)).status == 200


async def test_wrong_expired_and_revoked_keys_are_refused_alike(opened: Doors) -> None:
    good = await opened.key("good")
    for name in ("expired", "revoked"):
        await opened.key(name, seconds=60)
    expired, revoked = await opened.key("expired2", seconds=60), await opened.key("revoked2")
    await opened.database.execute("UPDATE access_keys SET expires_at = now() WHERE name = 'expired2'")
    await revoke_key(opened.database, "revoked2")
    flipped = good[:-1] + ("0" if good[-1] != "0" else "1")
    of_another = f"poller_{good.split('_')[1]}_{revoked.rsplit('_', 1)[1]}"
    unknown = f"poller_999_{'0' * 64}"
    refusals = set()
    for key in (expired, revoked, flipped, of_another, unknown, "", "poller_1_", "x" * 500):
        reply = await opened.ask(API, key)
        refusals.add((reply.status, await reply.text()))
    assert {status for status, _ in refusals} == {401}
    assert len(refusals) == 1
    assert (await opened.ask(API, good)).status == 200


async def test_a_revoked_key_ends_at_the_next_request(opened: Doors) -> None:
    key = await opened.key("noc")
    assert (await opened.ask(API, key)).status == 200
    await revoke_key(opened.database, "noc")
    assert (await opened.ask(API, key)).status == 401
    again = await opened.key("noc")
    assert (await opened.ask(API, again)).status == 200
    assert (await opened.ask(API, key)).status == 401


async def test_several_keys_work_at_once_and_two_of_one_name_do_not_exist(opened: Doors) -> None:
    keys = [await opened.key(f"key {n}") for n in range(3)]
    assert [(await opened.ask(API, key)).status for key in keys] == [200] * 3
    with pytest.raises(UsageError, match="there is a key named 'key 1'"):
        await opened.key("key 1")
    with pytest.raises(UsageError):
        await opened.key("\x00")


async def test_the_last_use_is_noted_at_most_once_a_minute(opened: Doors) -> None:
    key = await opened.key("noc")
    used = "SELECT last_used_at, xmin::text FROM access_keys"
    assert (await opened.database.fetch(used))[0][0] is None
    await opened.ask(API, key)
    first = tuple((await opened.database.fetch(used))[0])
    await opened.ask(API, key)
    assert tuple((await opened.database.fetch(used))[0]) == first
    await opened.database.execute("UPDATE access_keys SET last_used_at = last_used_at - interval '61 seconds'")
    await opened.ask(API, key)
    assert (await opened.database.fetch(used))[0][0] > first[0]


async def test_the_key_of_the_environment_works_beside_stored_keys_and_reads_only(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    environment = "0123456789abcdef-environment-key"
    async with doors(database, database_url, keyring, Access(SecretStr(environment))) as opened:
        stored = await opened.key("noc", Right.OPERATE)
        for key in (environment, stored):
            assert (await opened.ask(API, key)).status == 200
        assert (await opened.ask(API)).status == 401
        await opened.ask("/", environment, headers=HTML)
        assert ("environment", "seen", None) in await opened.actions()


async def test_metrics_are_open_on_this_machine_and_otherwise_need_a_key_without_tags(
    opened: Doors, published: Doors
) -> None:
    key = await opened.key("prometheus")
    tagged = await opened.key("north", tags=["customer:north"])
    assert (await opened.ask("/metrics")).status == 200
    assert (await published.ask("/metrics")).status == 401
    assert (await published.ask("/metrics", key)).status == 200
    refused = await published.ask("/metrics", tagged)
    assert refused.status == 403
    assert "without tags" in await refused.text()


async def test_a_request_from_a_page_of_another_site_changes_nothing(opened: Doors) -> None:
    key = await opened.key("noc", Right.OPERATE)
    port = opened.url.rpartition(":")[2]
    for origin in (
        "https://evil.example",
        "null",
        f"https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        opened.url + "/x",
    ):
        reply = await opened.ask("/api/v1/nothing", key, method="POST", headers={"Origin": origin})
        assert reply.status == 403, origin
    assert (await opened.ask("/api/v1/nothing", key, method="POST", headers={"Origin": opened.url})).status in {
        404,
        405,
    }
    assert (await opened.ask("/api/v1/nothing", key, method="POST")).status in {404, 405}
    assert (await opened.ask("/logout", key, method="POST")).status == 403


async def test_an_open_service_refuses_writes_that_do_not_come_from_its_own_page(opened: Doors) -> None:
    assert (await opened.ask("/api/v1/nothing", method="POST")).status == 403
    assert (await opened.ask("/api/v1/nothing", method="POST", headers={"Origin": opened.url})).status in {404, 405}


async def test_the_public_origin_is_ours_and_its_plain_form_is_not(published: Doors) -> None:
    key = await published.key("noc")
    host = {"Host": "poller.example.org"}
    for origin, status in ((ORIGIN, {404, 405}), ("http://poller.example.org", {403}), (published.url, {403})):
        headers = {**host, "Origin": origin}
        assert (await published.ask("/api/v1/nothing", key, method="POST", headers=headers)).status in status, origin


async def test_after_a_rotation_a_key_moves_to_the_first_encryption_key_when_it_is_used(
    database: Database, database_url: str
) -> None:
    old, new = (bytes([n]) * KEY_BYTES for n in (1, 2))
    before, between, after = Keyring({"k1": old}), Keyring({"k2": new, "k1": old}), Keyring({"k2": new})
    async with doors(database, database_url, before) as opened:
        used, unused = await opened.key("used"), await opened.key("unused")
    async with doors(database, database_url, between) as opened:
        assert {key.key_id: key.rows["access_keys"] for key in await list_encryption_keys(database, between)} == {
            "k2": 0,
            "k1": 2,
        }
        assert (await opened.ask(API, used)).status == 200
        assert {key.key_id: key.rows["access_keys"] for key in await list_encryption_keys(database, between)} == {
            "k2": 1,
            "k1": 1,
        }
    with structlog.testing.capture_logs() as logs:
        async with doors(database, database_url, after) as opened:
            assert (await opened.ask(API, used)).status == 200
            assert (await opened.ask(API, unused)).status == 401
    (told,) = [one for one in logs if one["event"] == "web.key_unusable"]
    assert "add k1 to POLLER_SECRET_KEYS" in told["remedy"]
    now = database.clock.now()
    states = {key.name: key.state(now, after.ids) for key in await list_keys(database)}
    assert states == {"used": "active", "unused": "unusable"}


async def test_no_key_stands_in_the_database_a_log_or_a_page(opened: Doors, caplog: pytest.LogCaptureFixture) -> None:
    with structlog.testing.capture_logs() as logs:
        key = await opened.key("noc")
        secret = key.rsplit("_", 1)[1]
        texts = [await (await opened.ask(path, key, headers=HTML)).text() for path in ("/", API, "/nothing")]
        await opened.ask(API, key[:-1])
        texts.append(await (await opened.log_in(key[:-1])).text())
    stored = await opened.database.fetch("SELECT row_to_json(k)::text FROM access_keys k")
    noted = await opened.database.fetch("SELECT row_to_json(a)::text FROM audit a")
    told = " ".join([*texts, str(logs), caplog.text, *(row[0] for row in (*stored, *noted))])
    assert secret[:30] not in told
    assert secret not in str(redact(f"somebody logged {key}"))


async def test_what_is_looked_at_is_noted_once_a_day(opened: Doors) -> None:
    key = await opened.key("noc")
    for _ in range(3):
        assert (await opened.ask("/", key, headers=HTML)).status == 200
    assert [action for action in await opened.actions() if action[0] == "noc"] == [("noc", "seen", None)]


async def test_an_export_is_noted_each_time_with_what_was_asked_for(database: Database, keyring: Keyring) -> None:
    @web.middleware
    async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[CALLER] = Caller("noc", source="192.0.2.1", key_id=7)
        return await handler(request)

    async def export(_request: web.Request) -> web.Response:
        return web.Response(text="org\n", content_type="text/csv")

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text="{}", content_type="application/json")

    app = web.Application(middlewares=[known, audit_trail(Writer(database, keyring))])
    app.add_routes([web.get("/orgs/{org_id}", export), web.get("/api/v1/orgs/{org_id}/series", show)])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        for path in ("/orgs/3?format=csv", "/orgs/3?format=csv", *["/api/v1/orgs/4/series"] * 2, "/orgs/x%00"):
            async with session.get(server.make_url(path)) as reply:
                assert reply.status == 200
    rows = await database.fetch("SELECT caller, key_id, source, action, org_id, detail FROM audit ORDER BY id")
    export_row = ("noc", 7, "192.0.2.1", "export", 3, {"path": "/orgs/3", "query": "format=csv"})
    assert [tuple(row) for row in rows[:3]] == [export_row, export_row, ("noc", 7, "192.0.2.1", "seen", 4, None)]


async def test_a_slow_database_is_not_waited_for_longer_than_a_few_seconds(
    database: Database, database_url: str, keyring: Keyring
) -> None:
    async with doors(database, database_url, keyring) as opened, database.transaction() as other:
        key = ShownKey.parse(await opened.key("noc"))
        assert key is not None
        store = AccessStore(database, keyring, patience_seconds=0.2)
        assert await store.caller_of_key(key) is not None
        await other.execute("LOCK TABLE access_keys IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseError, match="the database does not answer"):
            await store.caller_of_key(key)


async def test_the_audit_log_refuses_changes_and_keeps_a_year(database: Database) -> None:
    await database.execute("INSERT INTO audit (caller, source, action) VALUES ('a', 'b', 'seen')")
    await database.execute(
        "INSERT INTO audit (at, caller, source, action) VALUES (now() - interval '400 days', 'a', 'b', 'seen')"
    )
    for statement in ("UPDATE audit SET caller = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(OperationError, match="never changed"):
            await database.execute(statement)
    from poller.store.access.audit import delete_expired_entries

    assert await delete_expired_entries(database) == 1
    assert await database.fetchval("SELECT count(*) FROM audit") == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shown=st.binary(max_size=80))
async def test_no_sequence_of_bytes_in_place_of_a_key_is_an_error_of_the_service(opened: Doors, shown: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(opened.url.rpartition(":")[2]))
    host = opened.url.removeprefix("http://").encode()
    line = b"poller_1_" + shown.replace(b"\r", b"").replace(b"\n", b"")
    writer.write(b"GET /api/v1/trend HTTP/1.1\r\nHost: " + host + b"\r\nAuthorization: Bearer " + line + b"\r\n\r\n")
    assert (await reader.readline())[9:12] in {b"400", b"401"}
    writer.close()
    await writer.wait_closed()
