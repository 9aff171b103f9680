"""The servers of the simulated Zoho: one port per data centre, and one for a foreign server that must get no token.

Contains sockets and latency; the rules are in `api` and `accounts`, and `delivery` sends replies that fail. Listens on
127.0.0.1 only, writes no log and stores nothing.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from aiohttp import web

from poller.simulator import accounts, api, control, delivery, replies
from poller.simulator.fault_table import FOREIGN_SERVER
from poller.simulator.fleet import import_lines
from poller.simulator.options import SimulatorOptions
from poller.simulator.replies import Reply
from poller.simulator.state import AccessToken, OrgState, SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from poller.simulator.api import Answer
    from poller.simulator.faults import Fault
    from poller.simulator.fleet import SimulatedOrg

_HOST: Final = "127.0.0.1"
_SCHEME: Final = "Zoho-oauthtoken "
_SECRET_PARAMETERS: Final = frozenset({"access_token", "authtoken", "client_secret", "code", "refresh_token"})
_P99_IN_SIGMAS: Final = 2.3263478740408408  # of a normal distribution


class Simulator:
    """A simulated Zoho: `async with Simulator(SimulatorOptions(orgs=50)) as sim: …`."""

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options or SimulatorOptions()
        self.zoho = SimulatedZoho(self.options)
        self.urls: dict[str, str] = {}
        """The address of each data centre, which is its accounts server and its API domain."""
        self.foreign_url = ""
        """The address to which forged replies and redirects point: every request there is a breach."""
        self._stopping = asyncio.Event()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start to listen; raises `OSError` if the port is in use."""
        try:
            self.foreign_url = await self._listen(self._foreign_server, 0)
            for place, data_center in enumerate(self.options.data_centers):
                port = self.options.port if place == 0 else 0
                self.urls[data_center] = await self._listen(partial(self._serve, data_center), port)
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, and end the replies that would never end."""
        self._stopping.set()
        await self._open.aclose()

    @property
    def base_url(self) -> str:
        """The address of the first data centre."""
        return self.urls[self.options.data_centers[0]]

    def data_centers_setting(self) -> dict[str, Any]:
        """The value of `POLLER_DATA_CENTERS` for a poller of these orgs, before it is turned into JSON."""
        return {name: {"accounts_server": url, "api_domains": [url]} for name, url in self.urls.items()}

    def fleet(self) -> Iterator[SimulatedOrg]:
        """All orgs with their current credentials."""
        return self.zoho.simulated_orgs()

    def org(self, index: int) -> SimulatedOrg:
        """One org with its current credentials."""
        return self.zoho.simulated_org(index)

    def import_lines(self, file_format: Literal["csv", "jsonl"] = "jsonl") -> Iterator[str]:
        """The lines of an import file of the fleet."""
        return import_lines(self.fleet(), file_format)

    def expected_counts(self, index: int, at: datetime | None = None) -> dict[str, int]:
        """All ten counts at an aware time of the simulator's clock; by default now."""
        return control.expected_counts(self.zoho, index, at or datetime.fromtimestamp(self.zoho.now(), UTC))

    def expected_count(self, index: int, user_type: str, at: datetime | None = None) -> int:
        """One count at an aware time of the simulator's clock; by default now."""
        return self.expected_counts(index, at)[user_type]

    def licences(self, index: int, at: datetime) -> int:
        """The number of licences that the org has at an aware time of the simulator's clock."""
        return self.zoho.licences(index, at.timestamp())

    def audit(self) -> dict[str, Any]:
        """The audit as JSON values; `audit()["breaches"]` is empty if no rule was broken."""
        return control.report(self.zoho)

    def add_faults(self, *faults: Fault) -> None:
        """Add faults."""
        self.zoho.add_faults(faults)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.zoho.faults.clear()

    def advance(self, seconds: float) -> None:
        """Move the simulator's clock ahead."""
        self.zoho.advanced_seconds += seconds

    async def _listen(self, serve: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], port: int) -> str:
        server = web.Server(serve, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        tls = self.options.tls
        await web.TCPSite(runner, _HOST, port, backlog=1_024, ssl_context=tls).start()
        return f"{'http' if tls is None else 'https'}://{_HOST}:{runner.addresses[0][1]}"

    async def _serve(self, data_center: str, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        route = api.route_of(target)
        if route is not None:
            return await self._call(data_center, route, request)
        path, _, query = target.partition("?")
        if path == "/oauth/v2/token":
            return await self._token(data_center, request, query)
        if path.startswith(control.PREFIX):
            body = await request.read()
            return _whole(control.handle(self.zoho, request.method, path, query, body))
        if path == "/" and request.method == "HEAD":
            return self._front_page(request)
        self.zoho.audit.requests["unknown"] += 1
        self.zoho.audit.breach(f"a call to a path Zoho does not have: {path[:80]}")
        return _whole(replies.WRONG_URL)

    def _front_page(self, request: web.BaseRequest) -> web.Response:
        """Redirects to a sign-in page, as Zoho does; enough for a client that checks whether Zoho is reachable."""
        self.zoho.audit.requests["front page"] += 1
        if "Authorization" in request.headers:
            self.zoho.audit.breach("a credential was sent to a page that needs none")
        return web.Response(status=302, headers={"Location": self.foreign_url})

    async def _call(self, data_center: str, route: api.Route, request: web.BaseRequest) -> web.StreamResponse:
        zoho = self.zoho
        zoho.audit.requests[route.endpoint] += 1
        if request.method != "GET":
            zoho.audit.breach(f"{request.method} where only GET is served")
        if not _SECRET_PARAMETERS.isdisjoint(route.query):
            zoho.audit.breach("a credential in a query string")
        authorization = request.headers.get("Authorization", "")
        if not authorization.startswith(_SCHEME):
            zoho.audit.breach("a call without 'Authorization: Zoho-oauthtoken …'")
            return _whole(replies.NO_AUTHENTICATION)
        token, state = self._caller(data_center, authorization.removeprefix(_SCHEME))
        if state is None:
            call = api.Call(data_center, route, request.method)
            return await self._answer(request, api.answer(zoho, call))
        state.in_flight += 1
        try:
            state.audit.request(state.in_flight, zoho.now())
            call = api.Call(data_center, route, request.method, token, state)
            return await self._answer(request, api.answer(zoho, call))
        finally:
            state.in_flight -= 1

    def _caller(self, data_center: str, text: str) -> tuple[AccessToken | None, OrgState | None]:
        """The token and the state of the org that it names; the token is None if it is not valid any more."""
        token = self.zoho.tokens.get(text)
        index = self.zoho.fleet.index_of_token(text) if token is None else token.index
        if index is None:
            return None, None
        state = self.zoho.org_state(index)
        if state.data_center != data_center:
            self.zoho.audit.breach(f"a token of org {index} ({state.data_center}) was sent to {data_center}")
        return token, state

    async def _token(self, data_center: str, request: web.BaseRequest, query: str) -> web.StreamResponse:
        zoho = self.zoho
        zoho.audit.requests["token"] += 1
        if any(parameter in query for parameter in _SECRET_PARAMETERS):
            zoho.audit.breach("a credential in a query string")
        if request.method != "POST":
            zoho.audit.breach(f"{request.method} where only POST is served")
            return _whole(replies.WRONG_METHOD)
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        answer = accounts.answer(zoho, data_center, form, self.urls[data_center])
        return await self._answer(request, answer)

    async def _answer(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        if self.options.latency_median_seconds:
            await asyncio.sleep(self._latency())
        fault = answer.fault
        if fault is None:
            return _whole(answer.reply)
        self.zoho.audit.faults_given[fault.name] += 1
        reply = _with_address(answer.reply, self.foreign_url)
        return await delivery.send(request, reply, fault.spec.delivery, self._stopping)

    def _latency(self) -> float:
        median, p99 = self.options.latency_median_seconds, self.options.latency_p99_seconds
        sigma = math.log(p99 / median) / _P99_IN_SIGMAS if p99 else 0.0
        return self.zoho.random.lognormvariate(math.log(median), sigma)

    async def _foreign_server(self, request: web.BaseRequest) -> web.StreamResponse:
        """Replies like Zoho, so that a client that was sent here goes on as far as it would."""
        self.zoho.audit.requests["stranger"] += 1
        body = await request.read()
        if "Authorization" in request.headers or b"refresh_token" in body or b"client_secret" in body:
            self.zoho.audit.breach("a credential was sent to a foreign server")
        else:
            self.zoho.audit.breach("a redirect to a foreign server was followed")
        return _whole(replies.count(11))


def _whole(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


def _with_address(reply: Reply, url: str) -> Reply:
    headers = {name: value.replace(FOREIGN_SERVER, url) for name, value in reply.headers.items()}
    return Reply(reply.status, reply.body.replace(FOREIGN_SERVER.encode(), url.encode()), headers)
