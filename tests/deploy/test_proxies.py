"""The service behind Caddy and behind nginx, each with its example: what people and programs do through a proxy."""

from __future__ import annotations

import csv
import ipaddress
import re
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from poller.core.callers import Right
from poller.web import access_from
from tests.deploy.proxies import HOST, each_proxy, proxying
from tests.ports import free_port
from tests.store.fleet import added, entry
from tests.web.doors import COOKIE, HTML, Doors, cookie_of, doors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

CLIENT = "127.0.0.2"
"""Another address than the proxy's own, which is 127.0.0.1."""
ORGS = 40


class _Loopback(AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """There is nothing to close."""


@asynccontextmanager
async def behind(name: str, database: Database, database_url: str, keyring: Keyring) -> AsyncIterator[Doors]:
    """A service with orgs behind a proxy, and a client at another address that talks to the proxy only."""
    await added(database, keyring, *(entry(f"Org {number:02}") for number in range(ORGS)))
    port = free_port()
    origin = f"https://{HOST}:{port}"
    trusted = [ipaddress.ip_network("127.0.0.1/32")]
    access = access_from("127.0.0.1", None, origin, trusted, stored_keys=True)
    async with doors(database, database_url, keyring, access) as inside:
        upstream = int(inside.url.rpartition(":")[2])
        with proxying(name, port, upstream) as trust:
            connector = aiohttp.TCPConnector(
                ssl=trust, resolver=_Loopback(), local_addr=(CLIENT, 0), family=socket.AF_INET
            )
            async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
                yield Doors(origin, database, keyring, session)


@each_proxy
async def test_people_log_in_see_live_rows_and_download_csv_through_the_proxy(
    name: str, database: Database, database_url: str, keyring: Keyring
) -> None:
    async with behind(name, database, database_url, keyring) as client:
        key = await client.key("night shift", Right.OPERATE)
        sent_away = await client.ask("/", headers=HTML)
        assert (sent_away.status, sent_away.headers["Location"]) == (303, "/login?next=%2F")
        let_in = await client.log_in(key)
        assert (let_in.status, let_in.headers["Location"]) == (303, "/")
        cookie = cookie_of(let_in)
        page = await client.page("/", cookie)
        assert page.status == 200
        assert page.headers["Strict-Transport-Security"].startswith("max-age=")
        text = await page.text()
        refresh = re.search(r'<table class="fleet" data-refresh="([^"]+)"', text)
        assert refresh is not None
        rows = await client.page(refresh[1].replace("&amp;", "&"), cookie)
        assert rows.status in {200, 204}
        for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', text):
            assert (await client.ask(address)).status == 200, address
        table = await client.page("/?format=csv", cookie)
        assert table.headers["Content-Type"].startswith("text/csv")
        assert len(list(csv.reader((await table.text()).splitlines()))) == 1 + ORGS
        paused = await client.ask(
            "/orgs/1/pause", method="POST", headers={"Cookie": f"{COOKIE}={cookie}", "Origin": client.url, **HTML}
        )
        assert paused.status == 303
        assert await client.database.fetchval("SELECT paused_at IS NOT NULL FROM orgs WHERE id = 1")


@each_proxy
async def test_the_audit_log_names_the_clients_address_and_not_what_the_client_says_it_is(
    name: str, database: Database, database_url: str, keyring: Keyring
) -> None:
    async with behind(name, database, database_url, keyring) as client:
        key = await client.key("night shift")
        assert (await client.log_in(key, **{"X-Forwarded-For": "203.0.113.9"})).status == 303
        sources = await database.fetch("SELECT source FROM audit WHERE action = 'log_in'")
        assert [row["source"] for row in sources] == [CLIENT]


@each_proxy
async def test_other_sites_other_hosts_and_metrics_are_refused_through_the_proxy(
    name: str, database: Database, database_url: str, keyring: Keyring
) -> None:
    async with behind(name, database, database_url, keyring) as client:
        key = await client.key("night shift", Right.OPERATE)
        cookie = cookie_of(await client.log_in(key))
        foreign = {"Cookie": f"{COOKIE}={cookie}", "Origin": "https://evil.example", **HTML}
        assert (await client.ask("/orgs/1/pause", method="POST", headers=foreign)).status == 403
        assert (await client.ask("/metrics", key)).status == 404
        assert (await client.ask("/api/v1/orgs", "poller_1_wrong")).status == 401
        assert (await client.ask("/api/v1/orgs", key)).status == 200
