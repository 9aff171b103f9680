"""The checks that every request passes, outermost first: replies, Host, key, Origin, load, body."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from poller.core.callers import THIS_MACHINE
from poller.core.errors import DatabaseError, UsageError
from poller.log import bound
from poller.web.access import OPEN_PATHS, PROBES, STATIC_PATH, is_api
from poller.web.authentication import unauthorized
from poller.web.callers import CALLER
from poller.web.hosts import Origin, is_allowed, is_own, parse_host
from poller.web.refusals import (
    Problem,
    database_away,
    from_router,
    refusal_reply,
    unavailable,
    wants_html,
    wants_problem,
)
from poller.web.security_headers import add_security_headers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from poller.web.access import Access
    from poller.web.authentication import Authenticator
    from poller.web.rate_limited_log import RateLimitedLog

AT_ONCE: Final = 8
LOG_INS_AT_ONCE: Final = 4
METRICS_PATH: Final = "/metrics"
LONGEST_BODY: Final = 65_536
BODY_SECONDS: Final = 5.0
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_ID: Final = "X-Request-Id"
GIVEN_ID: Final = web.RequestKey("request_id", str)
HOST_IS_OURS: Final = web.RequestKey("host_is_ours", bool)
"""False only at probes, which answer under any `Host`, and then without a reason."""

log = structlog.get_logger("poller.web")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A signal of aiohttp, called before the headers of any response are sent."""
    add_security_headers(response)
    if GIVEN_ID in request:
        response.headers[REQUEST_ID] = request[GIVEN_ID]


def replies(count: Callable[[int], None]) -> Middleware:
    """Turns refusals and errors into replies, each with a request id; `count` learns the status of every request."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[GIVEN_ID] = request_id = secrets.token_hex(8)
        with bound(request_id=request_id):
            response = await _reply(request, handler)
        count(response.status)
        return response

    return middleware


async def _reply(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        refusal = from_router(error)
    except Problem as error:
        refusal = error
    except UsageError as error:
        refusal = Problem(400, error.what, error.remedy)
    except DatabaseError:
        refusal = unavailable("the database does not answer")
    except ConnectionError:
        # The client has disconnected.
        raise
    except Exception:
        log.exception("web.failed", path=request.path)
        refusal = Problem(500, "the service made a mistake", "look for the request id in its log, and report it")
    if request.writer.output_size > 0:
        # A part of an answer must not look like a complete one.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError
    return refusal_reply(refusal, as_problem=wants_problem(request))


def host_check(access: Access, rejected: RateLimitedLog) -> Middleware:
    """Refuses requests for another host, so that no web page can read this server by DNS rebinding."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _host_refusal(request, access)
        request[HOST_IS_OURS] = refusal is None
        if refusal is not None and request.path not in PROBES:
            rejected.event("web.wrong_host", client=access.source(request), host=request.headers.get("Host", "")[:100])
            raise refusal
        return await handler(request)

    return middleware


def _host_refusal(request: web.Request, access: Access) -> Problem | None:
    named = request.headers.getall("Host", [])
    parsed = parse_host(named[0]) if len(named) == 1 else None
    if parsed is None:
        return Problem(400, "the request names no host, or several", "send one Host header")
    local = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if local is not None and is_allowed(*parsed, (local[0], local[1]), access.origin):
        return None
    return Problem(
        421,
        "this server is not known by the host of this request",
        "use the address it listens at, or set POLLER_WEB_ORIGIN to the https address that people use",
    )


def key_check(
    authenticator: Authenticator,
    rejected: RateLimitedLog,
    show_problem: Callable[[web.Request, Problem], Awaitable[web.StreamResponse]] | None = None,
) -> Middleware:
    """Finds the caller. Without one, a browser is sent to the log-in and a program gets 401.

    `show_problem`: how a person sees that the database, which knows the keys, does not answer.
    """
    access = authenticator.access

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        if path in PROBES or path in OPEN_PATHS or path.startswith(STATIC_PATH):
            return await handler(request)
        try:
            caller = THIS_MACHINE if _is_open_metric(path, access) else await authenticator.caller(request)
            if caller is None and wants_page(request):
                return web.Response(status=303, headers={"Location": f"/login?{urlencode({'next': request.path_qs})}"})
            if caller is None:
                raise unauthorized()
        except Problem as refusal:
            if refusal.status == 401:
                rejected.event("web.wrong_key", client=access.source(request), path=path[:100])
            raise
        except DatabaseError:
            if show_problem is None or not wants_page(request):
                raise
            return await show_problem(request, database_away())
        if caller.tags and path.startswith(METRICS_PATH):
            raise Problem(403, "metrics are about every org", "use a key without tags")
        request[CALLER] = replace(caller, source=access.source(request))
        return await handler(request)

    return middleware


def _is_open_metric(path: str, access: Access) -> bool:
    return path.startswith(METRICS_PATH) and not access.published


def wants_page(request: web.Request) -> bool:
    """Whether a person opens a page: a script or a program asks for another type, or for a path of the API."""
    return request.method in _READING and wants_html(request) and not is_api(request.path)


def origin_check(access: Access, rejected: RateLimitedLog) -> Middleware:
    """Refuses requests that change something and come from a page of another site.

    A browser adds a session to every request, and says in `Origin` whose page sent it. A program that shows its key
    need not say where it comes from.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in _READING and not _is_from_us(request, access):
            rejected.event("web.wrong_origin", client=access.source(request), path=request.path[:100])
            raise Problem(
                403,
                "this request does not come from a page of this service",
                "send it with an Authorization header, or with an Origin header that names this service",
            )
        return await handler(request)

    return middleware


def _is_from_us(request: web.Request, access: Access) -> bool:
    given = request.headers.getall("Origin", [])
    if not given:
        return "Authorization" in request.headers and request.path not in OPEN_PATHS
    origin = Origin.of_header(given[0]) if len(given) == 1 else None
    named = parse_host(request.headers.get("Host", ""))
    return origin is not None and named is not None and is_own(origin, *named, access.origin)


def load_limit(at_once: int = AT_ONCE) -> Middleware:
    """Answers `at_once` requests at a time, and refuses the others for a few seconds; probes always pass.

    Log-ins have places of their own, so that strangers without a key cannot keep others from their pages.
    """
    under_way = {False: 0, True: 0}
    most = {False: at_once, True: LOG_INS_AT_ONCE}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in PROBES:
            return await handler(request)
        kind = request.path in OPEN_PATHS
        if under_way[kind] >= most[kind]:
            raise unavailable(f"{most[kind]} requests are being answered, and no more are at once")
        under_way[kind] += 1
        try:
            return await handler(request)
        finally:
            under_way[kind] -= 1

    return middleware


@web.middleware
async def read_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Reads the body before the handler runs; refuses one that is large or takes more than a few seconds."""
    if request.body_exists:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await request.read()
        except TimeoutError:
            raise Problem(408, "the request's body did not arrive in time", "send it at once") from None
        except (RequestPayloadError, HttpProcessingError):
            raise Problem(400, "the request's body cannot be read", "send it as its headers say") from None
    return await handler(request)
