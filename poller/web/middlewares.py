"""The checks that every request passes, outermost first: replies, Host, key, load, body."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from poller.core.errors import DatabaseError, UsageError
from poller.log import bound
from poller.web.access import PROBES
from poller.web.callers import CALLER, ENVIRONMENT, THIS_MACHINE
from poller.web.hosts import client_address, is_allowed, parse_host
from poller.web.refusals import Problem, from_router, refusal_reply, unavailable
from poller.web.security_headers import add_security_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

    from poller.web.access import Access
    from poller.web.rate_limited_log import RateLimitedLog

AT_ONCE: Final = 8
LONGEST_BODY: Final = 65_536
BODY_SECONDS: Final = 5.0
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
    return refusal_reply(request.path, refusal)


def host_check(access: Access, rejected: RateLimitedLog) -> Middleware:
    """Refuses requests for another host, so that no web page can read this server by DNS rebinding."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _host_refusal(request, access)
        request[HOST_IS_OURS] = refusal is None
        if refusal is not None and request.path not in PROBES:
            rejected.event(
                "web.wrong_host", client=_client(request, access), host=request.headers.get("Host", "")[:100]
            )
            raise refusal
        return await handler(request)

    return middleware


def _client(request: web.Request, access: Access) -> str:
    return client_address(request.remote, request.headers.getall("X-Forwarded-For", []), access.trusted_proxies)


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


def key_check(access: Access, rejected: RateLimitedLog) -> Middleware:
    """Refuses requests without the key that their address needs."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            access.check(request.path, request.headers.get("Authorization", ""))
        except Problem as refusal:
            if refusal.status == 401:
                rejected.event("web.wrong_key", client=_client(request, access), path=request.path[:100])
            raise
        shown = access.key is not None and "Authorization" in request.headers
        request[CALLER] = replace(ENVIRONMENT if shown else THIS_MACHINE, source=_client(request, access))
        return await handler(request)

    return middleware


def load_limit(at_once: int = AT_ONCE) -> Middleware:
    """Answers `at_once` requests at a time, and refuses the others for a few seconds; probes always pass."""
    under_way = 0

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal under_way
        if request.path in PROBES:
            return await handler(request)
        if under_way >= at_once:
            raise unavailable(f"{at_once} requests are being answered, and no more are at once")
        under_way += 1
        try:
            return await handler(request)
        finally:
            under_way -= 1

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
