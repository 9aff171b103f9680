"""A simple client of the simulator for its tests: it follows the rules only if a test wants this."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from poller.simulator import Simulator, SimulatorOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

NOON = 1_780_315_200.0  # Monday 2026-06-01T12:00Z


class Clock:
    """A manual clock."""

    def __init__(self, at: float = NOON) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@dataclass(frozen=True)
class Got:
    """A complete reply as the client sees it."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Caller:
    """The client of one test."""

    def __init__(self, sim: Simulator, clock: Clock, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.clock = clock
        self._session = session

    async def ask(
        self, method: str, url: str, *, data: Mapping[str, str] | None = None, json: Any = None, **headers: str
    ) -> Got:
        async with self._session.request(
            method, url, data=data, json=json, headers=headers, allow_redirects=False
        ) as reply:
            return Got(reply.status, await reply.read(), reply.headers)

    async def token_reply(self, index: int, **changed: str) -> Got:
        """Requests a token as the operator of the org would, with the fields in `changed` (empty: left out)."""
        org = self.sim.org(index)
        form = {
            "grant_type": "refresh_token",
            "client_id": org.client_id,
            "client_secret": org.client_secret,
            "refresh_token": org.refresh_token,
        } | changed
        data = {name: value for name, value in form.items() if value}
        return await self.ask("POST", f"{self.sim.urls[org.data_center]}/oauth/v2/token", data=data)

    async def token(self, index: int) -> str:
        return str((await self.token_reply(index)).json["access_token"])

    async def call(
        self, index: int, token: str, path: str = "users/actions/count?type=AllUsers", *, method: str = "GET"
    ) -> Got:
        url = self.sim.urls[self.sim.org(index).data_center]
        return await self.ask(method, f"{url}/crm/v7/{path}", Authorization=f"Zoho-oauthtoken {token}")

    async def counts(self, index: int, token: str) -> dict[str, int]:
        found = {}
        for user_type in self.sim.expected_counts(index):
            reply = await self.call(index, token, f"users/actions/count?type={user_type}")
            assert reply.status == 200, reply
            found[user_type] = reply.json["count"]
        return found

    async def control(self, method: str, path: str, given: Any = None) -> Any:
        reply = await self.ask(method, f"{self.sim.base_url}/__sim/{path}", json=given)
        assert reply.status == 200, reply
        return reply.json

    @property
    def breaches(self) -> list[str]:
        found = self.sim.audit()["breaches"]
        assert isinstance(found, list)
        return found


@asynccontextmanager
async def playing(**options: Any) -> AsyncIterator[Caller]:
    """A simulator on a manual clock, and a client for it."""
    clock = Clock()
    chosen: dict[str, Any] = {"orgs": 6, "seed": 7, "now": clock} | options
    async with (
        Simulator(SimulatorOptions(**chosen)) as sim,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        yield Caller(sim, clock, session)


def org_of_edition(sim: Simulator, *editions: str) -> int:
    """The first org of the fleet with one of these editions."""
    return next(org.index for org in sim.fleet() if org.edition in editions)
