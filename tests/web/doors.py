"""A server with stored access keys, and a client that shows them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from poller.admin.access import add_key
from poller.admin.writer import Writer
from poller.core.callers import Right
from poller.core.errors import DatabaseError
from poller.query.reader import Reader
from poller.store.read_only import connect_read_only
from poller.web import Access, Api, Health, ProcessMetrics, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

HTML = {"Accept": "text/html"}
COOKIE = "__Host-poller"


@dataclass
class Doors:
    """A client of one server."""

    url: str
    database: Database
    keyring: Keyring
    session: aiohttp.ClientSession

    async def key(
        self, name: str, right: Right = Right.READ, tags: Sequence[str] = (), seconds: int | None = None
    ) -> str:
        _, text = await add_key(self.database, self.keyring, name, right=right, tags=tags, expires_seconds=seconds)
        return text.reveal()

    async def ask(
        self, path: str, key: str | None = None, *, method: str = "GET", headers: Mapping[str, str] = {}, **more: Any
    ) -> aiohttp.ClientResponse:
        """A reply that is read and not followed."""
        shown = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with self.session.request(
            method, self.url + path, headers={**shown, **headers}, allow_redirects=False, **more
        ) as reply:
            await reply.read()
            return reply

    async def log_in(self, key: str, target: str = "/", **headers: str) -> aiohttp.ClientResponse:
        data = {"key": key, "next": target}
        return await self.ask("/login", method="POST", data=data, headers={"Origin": self.url, **HTML, **headers})

    async def page(self, path: str, cookie: str, **headers: str) -> aiohttp.ClientResponse:
        return await self.ask(path, headers={"Cookie": f"{COOKIE}={cookie}", **HTML, **headers})

    async def actions(self) -> list[tuple[str, str, int | None]]:
        rows = await self.database.fetch("SELECT caller, action, org_id FROM audit ORDER BY id")
        return [(row[0], row[1], row[2]) for row in rows]


@asynccontextmanager
async def doors(
    database: Database, database_url: str, keyring: Keyring, access: Access | None = None
) -> AsyncIterator[Doors]:
    async def nothing(*_: Any) -> Any:
        raise DatabaseError("no figures here", "use none")

    health = Health(lambda: None, nothing, nothing)
    # The client keeps no cookie: a test shows the one it means.
    jar = aiohttp.DummyCookieJar()
    async with (
        await connect_read_only(database_url) as opened,
        serve(
            "127.0.0.1",
            0,
            health,
            ProcessMetrics(),
            Api(Reader(opened)),
            access=access,
            writer=Writer(database, keyring),
        ) as url,
        aiohttp.ClientSession(cookie_jar=jar) as session,
    ):
        assert url is not None
        yield Doors(str(URL(url)).rstrip("/"), database, keyring, session)


def cookie_of(reply: aiohttp.ClientResponse) -> str:
    """The value of the session's cookie that a reply sets."""
    return reply.cookies[COOKIE].value
