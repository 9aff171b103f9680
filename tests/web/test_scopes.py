"""Every route, asked with every kind of key for an org of one's own and for another's: what is not yours is not there.

The routes are those of the application's own router. One that is not in `ROUTES` fails the test, so that nobody adds a
route without saying who may see what at it.
"""

from __future__ import annotations

import re
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from poller.admin.writer import Writer
from poller.core.callers import Caller, Right
from poller.core.fleet import FleetStats
from poller.query.reader import Reader
from poller.store.access.scoped import admit_web
from poller.store.database import connect
from poller.store.read_only import connect_read_only
from poller.web import Access, Api, Health, ProcessMetrics, access_from, serve
from poller.web.server import web_app
from tests.postgres import cloned
from tests.web.doors import COOKIE, cookie_of
from tests.web.scopes import NAMES, NO_ORG, TAGS, Asker, Scopes, traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from poller.store.database import Database


class Kind(Enum):
    """What a route is about, and so who may see what at it."""

    OPEN = auto()
    """Needs no key and tells of no org."""
    SAME = auto()
    """Needs a key, and answers the same to everybody with one."""
    FLEET = auto()
    """Needs a key, and tells of the orgs that the key sees, and of their sums."""
    SERVICE = auto()
    """Tells of the whole service: 403 to a key with tags."""
    SERVICE_WRITE = auto()
    """Changes the whole service: 403 to a key with tags, and to one without the right."""
    ORG = auto()
    """Tells of one org, or of one alert: 404 to a key that does not see it."""
    WRITE = auto()
    """Changes one org, or one alert: 403 without the right, 404 without the org."""
    BULK = auto()
    """Changes all orgs that the key sees: 403 without the right."""
    NAMED_WRITE = auto()
    """Changes what the body names: 403 without the right, and the refusal of an unknown name without the org."""


ROUTES: Final[Mapping[tuple[str, str], Kind]] = {
    ("GET", "/healthz"): Kind.OPEN,
    ("GET", "/readyz"): Kind.OPEN,
    ("GET", "/static/{hash}/{name}"): Kind.OPEN,
    ("GET", "/login"): Kind.OPEN,
    ("POST", "/login"): Kind.OPEN,
    ("POST", "/logout"): Kind.OPEN,
    ("GET", "/docs"): Kind.SAME,
    ("GET", "/openapi.json"): Kind.SAME,
    ("GET", "/metrics"): Kind.SERVICE,
    ("GET", "/metrics/fleet"): Kind.SERVICE,
    ("GET", "/metrics/orgs"): Kind.SERVICE,
    ("GET", "/"): Kind.FLEET,
    ("GET", "/rows"): Kind.FLEET,
    ("GET", "/summary"): Kind.FLEET,
    ("GET", "/days"): Kind.FLEET,
    ("GET", "/health"): Kind.FLEET,
    ("POST", "/fleet/pause"): Kind.BULK,
    ("POST", "/fleet/resume"): Kind.BULK,
    ("GET", "/gaps"): Kind.FLEET,
    ("GET", "/seats"): Kind.FLEET,
    ("GET", "/alerts"): Kind.FLEET,
    ("GET", "/alerts/{id}"): Kind.ORG,
    ("POST", "/alerts/{id}/ack"): Kind.WRITE,
    ("POST", "/alerts/{id}/snooze"): Kind.WRITE,
    ("GET", "/alerts/rules"): Kind.SERVICE,
    ("GET", "/alerts/rules/{name}"): Kind.SERVICE,
    ("POST", "/alerts/rules/{name}"): Kind.SERVICE_WRITE,
    ("POST", "/alerts/rules/{name}/remove"): Kind.SERVICE_WRITE,
    ("POST", "/alerts/exclusions"): Kind.SERVICE_WRITE,
    ("POST", "/alerts/exclusions/end"): Kind.SERVICE_WRITE,
    ("GET", "/orgs/{id}"): Kind.ORG,
    ("GET", "/orgs/{id}/now"): Kind.ORG,
    ("GET", "/orgs/{id}/polls"): Kind.ORG,
    ("POST", "/orgs/{id}/poll"): Kind.WRITE,
    ("POST", "/orgs/{id}/pause"): Kind.WRITE,
    ("POST", "/orgs/{id}/resume"): Kind.WRITE,
    **{
        ("GET", f"/api/v1/{path}"): Kind.FLEET
        for path in (
            "orgs",
            "fleet",
            "fleet/series",
            "latest",
            "gaps",
            "seats",
            "forecasts",
            "anomalies",
            "alerts",
            "alerts/exclusions",
            "health",
            "trend",
        )
    },
    ("GET", "/api/v1/audit"): Kind.FLEET,
    ("POST", "/api/v1/alerts/exclusions"): Kind.NAMED_WRITE,
    ("GET", "/api/v1/alerts/rules"): Kind.SERVICE,
    ("POST", "/api/v1/alerts/rules/{name}"): Kind.SERVICE_WRITE,
    ("POST", "/api/v1/alerts/rules/{name}/remove"): Kind.SERVICE_WRITE,
    ("GET", "/api/v1/alerts/{id}"): Kind.ORG,
    ("POST", "/api/v1/alerts/{id}/ack"): Kind.WRITE,
    ("POST", "/api/v1/alerts/{id}/snooze"): Kind.WRITE,
    **{("GET", f"/api/v1/orgs/{{id}}{path}"): Kind.ORG for path in ("", "/series", "/polls", "/forecast")},
    **{("POST", f"/api/v1/orgs/{{id}}/{what}"): Kind.WRITE for what in ("poll", "pause", "resume")},
}
ORIGIN: Final = "https://poller.example.org"
"""The address people use: off this machine, nothing is open without a key."""
NOON: Final = datetime.now(UTC).replace(microsecond=0)
"""The time of all replies: what a page says of its age is the same in all of them."""


class FirstWallOnly(Reader):
    """A reader without the second wall: PostgreSQL would show every org to everybody."""

    def seen_by(self, caller: Caller) -> Database:
        return self.database


@dataclass
class Server:
    """A running server, and everybody who asks it."""

    url: str
    session: aiohttp.ClientSession
    scopes: Scopes
    askers: list[Asker]
    asked: int = 0

    async def ask(self, method: str, path: str, asker: Asker, accept: str = "*/*") -> tuple[int, str]:
        """Status and text of a reply."""
        self.asked += 1
        headers = {**asker.headers, "Accept": accept, "Origin": ORIGIN}
        body = b'{"for": "7d"}' if path.endswith("/snooze") else None
        if body and not path.startswith("/api/"):
            body, headers["Content-Type"] = b"for=7d", "application/x-www-form-urlencoded"
        async with self.session.request(
            method, self.url + path, headers=headers, data=body, allow_redirects=False
        ) as reply:
            return reply.status, await reply.text(errors="replace")


@pytest.fixture(scope="module")
def filled_dsn(server_dsn: str, template: str) -> Iterator[str]:
    with cloned(server_dsn, template) as dsn:
        yield dsn


@asynccontextmanager
async def server_over(dsn: str, keyring: Any, make: Callable[..., Reader]) -> AsyncIterator[Server]:
    """Serves the two customers' database, which is filled at first."""
    async with await connect(dsn) as database, await connect_read_only(dsn) as read, aiohttp.ClientSession() as session:
        await admit_web(database)
        scopes = Scopes(database, keyring)
        # scopes.known
        known = await database.fetch("SELECT id, name FROM orgs")
        if known:
            by_name = {row["name"]: row["id"] for row in known}
            scopes.ids = {who: [by_name[name] for name in names] for who, names in NAMES.items()}
            await scopes.find_alerts()
            # scopes.forget
            await database.execute("DELETE FROM access_keys")
        else:
            await scopes.fill()
        askers = await scopes.askers()
        health, writer = Health(lambda: None, _stats, _ages), Writer(database, keyring)
        api, access = Api(make(read, lambda: NOON)), access_from("127.0.0.1", None, ORIGIN, stored_keys=True)
        async with serve("127.0.0.1", 0, health, ProcessMetrics(), api, access=access, writer=writer) as url:
            assert url is not None
            server = Server(url, session, scopes, askers)
            askers += [await _with_session(server, one) for one in askers if one.right is not None]
            yield server


async def _stats() -> FleetStats:
    return FleetStats({"active": 4}, {"overdue": 0}, 1.5, 1, {"rollups": 1.0}, [0] * 9 + [4])


async def _ages(_at_most: int) -> Mapping[str, float]:
    return {}


async def _with_session(server: Server, asker: Asker) -> Asker:
    """The same person, logged in with a browser."""
    data = {"key": server.scopes.keys[asker.name], "next": "/"}
    headers = {"Origin": ORIGIN, "Accept": "text/html"}
    async with server.session.post(f"{server.url}/login", data=data, headers=headers, allow_redirects=False) as reply:
        assert reply.status == 303, await reply.text()
        cookie = {"Cookie": f"{COOKIE}={cookie_of(reply)}"}
    return Asker(f"a session of {asker.name}", cookie, asker.right, asker.tag)


def routes() -> list[tuple[str, str]]:
    """The routes of the application's own router."""
    reader: Any = Reader(None)  # type: ignore[arg-type]  # a router is all that is wanted
    writer = Writer(None, None)  # type: ignore[arg-type]
    app = web_app(Health(lambda: None, _stats, _ages), ProcessMetrics(), Api(reader), Access(), writer=writer)
    found = {
        (route.method, re.sub(r":[^{}]*\}", "}", route.resource.canonical))
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    return sorted(found, key=lambda one: (one[1], one[0]))


def test_the_walk_knows_every_route() -> None:
    assert set(routes()) <= set(ROUTES)


@pytest.mark.parametrize("make", [Reader, FirstWallOnly], ids=["both walls", "the first wall alone"])
async def test_no_route_tells_of_an_org_that_the_key_does_not_see(
    filled_dsn: str, keyring: Any, make: Callable[..., Reader], capsys: pytest.CaptureFixture[str]
) -> None:
    async with server_over(filled_dsn, keyring, make) as server:
        for method, path in routes():
            kind = ROUTES[method, path]
            for asker in server.askers:
                await _CHECKS[kind](server, method, path, asker)
            if kind is Kind.FLEET:
                await _sums_differ(server, path)
        with capsys.disabled():
            count = f"{server.asked} requests: {len(routes())} routes, {len(server.askers)} kinds of key"
            sys.stdout.write(f"\n{count}\n")


async def _check_open(server: Server, method: str, path: str, asker: Asker) -> None:
    if path == "/logout" and "Cookie" in asker.headers:
        # The session is needed for the routes that follow.
        return
    status, text = await server.ask(method, path.replace("{hash}", "x").replace("{name}", "y"), asker, "text/html")
    assert status < 500, (method, path, status)
    _tells_of_nobody(text, (method, path, asker.name))


async def _check_same(server: Server, method: str, path: str, asker: Asker) -> None:
    status, text = await server.ask(method, path, asker)
    assert status == (401 if asker.right is None else 200), (path, asker.name, status)
    _tells_only_of_its_own(text, asker, (path, asker.name))


async def _check_service(server: Server, method: str, path: str, asker: Asker) -> None:
    status, text = await server.ask(method, path.replace("{name}", "no_rule"), asker)
    allowed = {401} if asker.right is None else {403} if asker.tag is not None else {200, 404}
    assert status in allowed, (path, asker.name, status)
    _tells_only_of_its_own(text, asker, (path, asker.name))


async def _check_service_write(server: Server, method: str, path: str, asker: Asker) -> None:
    status, text = await server.ask(method, path.replace("{name}", "no_rule"), asker)
    may = asker.tag is None and asker.right is Right.OPERATE
    # 303: to the page that says what is wrong with the form.
    done = {400, 404} if path.startswith("/api/") else {303, 404}
    refused = {401} if path.startswith("/api/") else {303, 401, 403}
    allowed = refused if asker.right is None else done if may else {403}
    assert status in allowed, (path, asker.name, status)
    _tells_of_nobody(text, (path, asker.name))


async def _check_fleet(server: Server, method: str, path: str, asker: Asker) -> None:
    for accept, query in _FORMS_OF_API if path.startswith("/api/") else _FORMS_OF_PAGE:
        status, text = await server.ask(method, _address(server, path) + query, asker, accept)
        where = (path + query, accept, asker.name, status)
        if asker.right is None:
            assert status in {303, 401}, where
        elif not query:
            assert status == 200, (where, text[:300])
        _tells_only_of_its_own(text, asker, where)


def _address(server: Server, path: str) -> str:
    """The path; `/rows` is asked for those of every org, which all have changed."""
    every = "-".join(f"{org_id}.0000" for ids in server.scopes.ids.values() for org_id in ids)
    return f"{path}?shown={every}" if path == "/rows" else path


async def _check_org(server: Server, method: str, path: str, asker: Asker) -> None:
    for accept in ("*/*",) if path.startswith("/api/") else ("*/*", "text/html"):
        absent = await _of_org(server, (method, path), asker, NO_ORG, accept)
        assert absent[0] in ({303, 401} if asker.right is None else {404}), (path, asker.name, absent)
        for customer, ids in _ids(server, path).items():
            for org_id in ids:
                status, text = await _of_org(server, (method, path), asker, org_id, accept)
                where = (method, path, accept, asker.name, customer, status)
                if asker.sees(customer):
                    assert status == 200, (where, text[:300])
                else:
                    assert (status, text) == absent, where
                _tells_only_of_its_own(text, asker, where)


async def _check_write(server: Server, method: str, path: str, asker: Asker) -> None:
    absent = await _of_org(server, (method, path), asker, NO_ORG, "*/*")
    allowed = asker.right is Right.OPERATE
    refused = {303, 401, 403} if asker.right is None else {403}
    assert absent[0] in ({404} if allowed else refused), (path, asker.name, absent)
    before = await _facts(server)
    for customer, ids in _ids(server, path).items():
        status, text = await _of_org(server, (method, path), asker, ids[0], "*/*")
        where = (method, path, asker.name, customer, status)
        if allowed and asker.sees(customer):
            # 409: a poll of an org that the walk has paused.
            assert status in {200, 202, 303, 409}, (where, text[:300])
        else:
            assert (status, text) == absent, where
            assert (await _facts(server)).get(customer) == before.get(customer), where
        _tells_only_of_its_own(text, asker, where)


async def _check_bulk(server: Server, method: str, path: str, asker: Asker) -> None:
    """A list of every org is that of every org the key sees."""
    server.asked += 1
    before, headers = await _facts(server), {**asker.headers, "Origin": ORIGIN, "Accept": "text/html"}
    form = {"list": "", "orgs": "9"}
    url = server.url + path
    async with server.session.request(method, url, headers=headers, data=form, allow_redirects=False) as reply:
        status, text = reply.status, await reply.text()
    refused = {303, 401, 403} if asker.right is None else {403}
    may = asker.right is Right.OPERATE
    assert status in ({303} if may else refused), (path, asker.name, status, text)
    after = await _facts(server)
    for customer in NAMES:
        if not (may and asker.sees(customer)):
            assert after[customer] == before[customer], (path, asker.name, customer)
    _tells_only_of_its_own(text, asker, (path, asker.name))


async def _check_named_write(server: Server, method: str, path: str, asker: Asker) -> None:
    """The body names an org, or a rule about which the key knows nothing, or a user type of every org."""
    absent = await _excluded(server, path, asker, orgs=["Nobody Ltd"])
    assert absent[0] == (401 if asker.right is None else 400 if asker.right is Right.OPERATE else 403), absent
    for customer, names in NAMES.items():
        may = asker.right is Right.OPERATE and asker.sees(customer)
        for undo in (True, False):
            before = await _exclusions(server)
            status, text = await _excluded(server, path, asker, orgs=[names[0]], undo=undo)
            where = (method, path, asker.name, customer, status)
            if may:
                assert status == 200, (where, text)
            else:
                assert (status, text.replace(names[0], "Nobody Ltd")) == absent, where
                assert await _exclusions(server) == before, where
        close = await _excluded(server, path, asker, orgs=[f"{names[0][:-1]}"])
        _tells_only_of_its_own(close[1].replace(names[0][:-1], "", 1), asker, (path, asker.name, customer))
    status, _ = await _excluded(server, path, asker, user_type="DeletedUsers")
    assert (status == 200) == (asker.right is Right.OPERATE and asker.tag is None), (path, asker.name, status)


async def _excluded(server: Server, path: str, asker: Asker, **body: object) -> tuple[int, str]:
    server.asked += 1
    async with server.session.post(server.url + path, headers={**asker.headers, "Origin": ORIGIN}, json=body) as reply:
        return reply.status, await reply.text()


async def _exclusions(server: Server) -> list[Any]:
    # scopes.exclusions
    return await server.scopes.database.fetch("SELECT * FROM alert_exclusions ORDER BY id")


def _ids(server: Server, path: str) -> dict[str, list[int]]:
    """The numbers of the orgs, or of the alerts, that a route is about, by customer; `all`: of the whole service."""
    if not path.removeprefix("/api/v1").startswith("/alerts/"):
        return server.scopes.ids
    return {**server.scopes.alerts, "all": [server.scopes.alert_of_all]}


async def _facts(server: Server) -> dict[str, Any]:
    """What a write would change, by customer."""
    # scopes.facts
    query = """
        SELECT o.paused_at, o.resumed_at, o.updated_at, a.state, a.snoozed_until
        FROM orgs o LEFT JOIN alert_states a ON a.org_id = o.id WHERE o.id = ANY($1) ORDER BY o.id
    """
    return {who: await server.scopes.database.fetch(query, ids) for who, ids in server.scopes.ids.items()}


async def _of_org(server: Server, route: tuple[str, str], asker: Asker, org_id: int, accept: str) -> tuple[int, str]:
    """A reply about an org; its number, which the caller knows, is left out of the text."""
    method, path = route
    status, text = await server.ask(method, path.replace("{id}", str(org_id)), asker, accept)
    return status, text.replace(str(org_id), "ID") if status != 200 else text


async def _sums_differ(server: Server, path: str) -> None:
    """Who sees more orgs gets another answer: the test could not pass if every body were empty."""
    of = {asker.name: asker for asker in server.askers}
    bodies = [
        (await server.ask("GET", _address(server, path), of[name], "application/json"))[1]
        for name in ("read all", "read a")
    ]
    assert bodies[0] != bodies[1], path
    assert path in _WITHOUT_NAMES or any(trace in bodies[1] for trace in traces("a")), (path, bodies[1][:500])


_FORMS_OF_API: Final = (("*/*", ""), ("*/*", "?format=csv"))
_FORMS_OF_PAGE: Final = (("text/html", ""), ("application/json", ""), ("*/*", "?format=csv"))
_WITHOUT_NAMES: Final = frozenset(
    {"/health", "/api/v1/health", "/api/v1/fleet", "/api/v1/fleet/series", "/api/v1/audit"}
)
"""They tell of sums alone; the audit log of what was done, which is nothing yet."""
_CHECKS: Final = {
    Kind.OPEN: _check_open,
    Kind.SAME: _check_same,
    Kind.FLEET: _check_fleet,
    Kind.SERVICE: _check_service,
    Kind.SERVICE_WRITE: _check_service_write,
    Kind.ORG: _check_org,
    Kind.WRITE: _check_write,
    Kind.BULK: _check_bulk,
    Kind.NAMED_WRITE: _check_named_write,
}


def _tells_only_of_its_own(text: str, asker: Asker, where: object) -> None:
    for customer in TAGS:
        if not asker.sees(customer):
            told = [trace for trace in traces(customer) if trace in text]
            assert told == [], (where, told)


def _tells_of_nobody(text: str, where: object) -> None:
    _tells_only_of_its_own(text, Asker("nobody", {}), where)


READ: Final = (
    "SELECT name FROM orgs",
    "SELECT org FROM org_states",
    "SELECT org FROM user_counts WHERE user_type = 'ActiveUsers'",
    "SELECT org FROM latest_user_counts",
    "SELECT org FROM latest_org_snapshots",
    "SELECT org FROM daily_user_counts",
    "SELECT org FROM poll_gaps",
    "SELECT org FROM seat_usage",
    "SELECT org FROM seat_forecasts",
    "SELECT org FROM anomalies",
    "SELECT org FROM alerts WHERE org IS NOT NULL",
    "SELECT o.name FROM alert_exclusions e JOIN orgs o ON o.id = e.org_id",
    "SELECT o.name FROM org_snapshots s JOIN orgs o ON o.id = s.org_id",
    "SELECT DISTINCT unnest(tags) FROM orgs",
)


async def test_without_the_first_wall_postgresql_still_hides_other_orgs(filled_dsn: str, keyring: Any) -> None:
    """The queries forget the caller's tags on purpose."""
    async with server_over(filled_dsn, keyring, Reader), await connect_read_only(filled_dsn) as read:
        reader = Reader(read)
        for query in READ:
            everybody = {row[0] for row in await reader.seen_by(Caller("all")).fetch(query)}
            mine = {row[0] for row in await reader.seen_by(Caller("a", tags=(TAGS["a"],))).fetch(query)}
            assert mine, query
            assert everybody > mine, query
            assert mine <= set(traces("a")), query
