"""A small fleet with history, in all states, filled once for a module; and a client of the API over it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from pydantic import SecretStr

from poller.admin.access import add_key
from poller.admin.audit import record
from poller.admin.writer import Writer
from poller.core.callers import Caller, Right
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.query.reader import Reader
from poller.store.capacity.seats import Contract, SeatReading, save_refusal, save_seats, set_contract
from poller.store.database import connect
from poller.store.orgs.encryption import KEY_BYTES, Keyring
from poller.store.orgs.orgs import pause
from poller.store.read_only import connect_read_only
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from poller.web import Access, Api, Health, ProcessMetrics, serve
from poller.worker.analyses import forecast_fleet, search_anomalies
from tests.alert_rows import add_alert
from tests.store.fleet import added, entry
from tests.web.test_web import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from poller.store.database import Database

KEY = "fedcba9876543210" * 2 + "-api-key"
RIGHT = {"Authorization": f"Bearer {KEY}"}
KEYRING = Keyring({"k1": bytes(range(KEY_BYTES))})
DAYS = 40
STEP = timedelta(hours=3)
OK, FAILING, PARKED, PAUSED, NEVER, PARTIAL, FORMULA = (
    "Acme Ltd",
    "Birch & Söhne",
    "Cedar",
    "Dune",
    "Elm",
    "Fir",
    '=HYPERLINK("http://evil.example")',
)
"""The orgs, by what became of them."""
NAMES = (OK, FAILING, PARKED, PAUSED, NEVER, PARTIAL, FORMULA)


@dataclass
class Client:
    """A client that shows the right key."""

    url: str
    session: aiohttp.ClientSession

    async def ask(
        self, path: str, headers: Mapping[str, str] = RIGHT, method: str = "GET", body: bytes | None = None
    ) -> Reply:
        """The reply to a request for a path under `/api/v1`, or for one that begins with two slashes."""
        address = f"{self.url}{path[1:] if path.startswith('//') else f'/api/v1{path}'}"
        async with self.session.request(method, address, headers=headers, data=body) as reply:
            return Reply(reply.status, reply.headers.copy(), await reply.read())

    async def json(self, path: str) -> Any:
        """The JSON at a path."""
        reply = await self.ask(path)
        assert reply.status == 200, reply.body
        return reply.json

    async def every_item(self, path: str, limit: int) -> list[Any]:
        """All items of a list, page by page."""
        items: list[Any] = []
        page = await self.json(f"{path}{'&' if '?' in path else '?'}limit={limit}")
        while True:
            assert len(page["items"]) <= limit
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            page = await self.json(f"{path}{'&' if '?' in path else '?'}limit={limit}&cursor={page['next_cursor']}")


@dataclass
class Reply:
    """Status, headers and body of a reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return orjson.loads(self.body)


@asynccontextmanager
async def client_of(
    database_url: str, api: Api | None = None, *, may_write: bool = False, **of_api: Any
) -> AsyncIterator[Client]:
    """Serves the API of a database, through the pool that only reads; `may_write`: with stored keys and operations."""
    process = Process()
    health = Health(lambda: None, process.figures, process.ages)
    access = Access(SecretStr(KEY))
    async with (
        await connect_read_only(database_url) as database,
        await connect(database_url) as writable,
        aiohttp.ClientSession() as session,
        serve(
            "127.0.0.1",
            0,
            health,
            ProcessMetrics(),
            api or Api(Reader(database), **of_api),
            access=access,
            writer=Writer(writable, KEYRING) if may_write else None,
        ) as url,
    ):
        assert url is not None
        yield Client(url, session)


async def keys_of(database: Database) -> dict[str, str]:
    """Access keys by name: of an operator and a reader of every org, and of an operator of orgs with the tag gold."""
    keys = {}
    for name, right, tags in (
        ("operator", Right.OPERATE, ()),
        ("reader", Right.READ, ()),
        ("gold", Right.OPERATE, ("gold",)),
    ):
        _, secret = await add_key(database, KEYRING, name, right=right, tags=tags)
        keys[name] = secret.reveal()
    return keys


def fill(database_url: str) -> dict[str, int]:
    """Adds the fleet and its history; returns the ids by name."""
    return asyncio.run(_fill(database_url))


async def _fill(database_url: str) -> dict[str, int]:
    async with await connect(database_url) as database:
        now = database.clock.now()
        tags = {OK: ("gold", "emea"), FAILING: ("gold",), PARKED: ("silver",), FORMULA: ("silver", "emea")}
        entries = [replace(entry(name, edition="enterprise"), tags=tags.get(name, ())) for name in NAMES]
        ids = dict(zip(NAMES, await added(database, KEYRING, *entries), strict=True))
        until = now.replace(minute=0, second=0, microsecond=0)
        for name in NAMES:
            if name != NEVER:
                await write_snapshots(database, list(_history(ids[name], name, until)), new=True)
        await roll_up(database, datetime.now(UTC).date())
        await pause(database, [PAUSED], now)
        await database.execute(
            "UPDATE orgs SET parked_at = now(), parked_code = 'invalid_code', parked_remedy = 'make a new one',"
            " parked_outcome = 'unauthorized', probe_at = now() + interval '1 hour' WHERE id = $1",
            ids[PARKED],
        )
        await _capacity(database, ids, now)
        for name, state in ((OK, "firing"), (FAILING, "pending"), (FORMULA, "acknowledged"), (PARKED, "resolved")):
            await add_alert(database, "seats_used", ids[name], state, user_type="ActiveUsers")
        await add_alert(database, "worker_clock", None, subject="host-1", severity="critical")
        await database.execute(
            "INSERT INTO alert_exclusions (org_id, user_type, reason, created_by)"
            " SELECT id, 'ActiveUsers', 'they merge', 'noc' FROM unnest($1::int[]) AS id",
            list(ids.values()),
        )
        for action in ("poll", "pause", "resume", "poll", "pause"):
            await record(database, Caller("noc", Right.OPERATE, source="127.0.0.1"), action, ids[OK], {"changed": True})
    return ids


async def _capacity(database: Database, ids: Mapping[str, int], now: datetime) -> None:
    for name in (OK, FAILING):
        reading = SeatReading(60, 40, "enterprise", now.date() + timedelta(days=30), "features")
        await save_seats(database, ids[name], reading, now - timedelta(hours=1))
    await save_refusal(database, ids[PARTIAL], "NO_PERMISSION", "give the permission", now)
    await set_contract(database, [ids[OK]], Contract({"price": 20, "currency": "EUR"}))
    await forecast_fleet(database, now)
    await search_anomalies(database, now)


def _history(org_id: int, name: str, until: datetime) -> list[Snapshot]:
    found = []
    steps = int(timedelta(days=DAYS) / STEP)
    for place in range(steps):
        slot = until - STEP * (steps - place)
        day = place * STEP // timedelta(days=1)
        counts = dict.fromkeys(USER_TYPES, 20 + day // 2 + (50 if name == OK and day > DAYS - 5 else 0))
        if 10 <= day < 12 or (name == FAILING and place == steps - 1):
            found.append(Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, "http_503", requests=30, duration_ms=900))
        elif name == PARTIAL:
            known = dict(list(counts.items())[:8])
            errors = dict.fromkeys(USER_TYPES[8:], "NO_PERMISSION")
            found.append(Snapshot(org_id, slot, slot, Outcome.PARTIAL, None, errors, 0, 10, 120, 4_000, known))
        else:
            found.append(Snapshot(org_id, slot, slot, Outcome.OK, requests=10, duration_ms=120, counts=counts))
    return found
