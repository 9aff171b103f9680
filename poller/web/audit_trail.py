"""Notes in the audit log what callers look at and export: orgs and lists once a day, exports each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from poller.admin.audit import record, record_seen
from poller.core.audit import AuditAction
from poller.core.errors import DatabaseError
from poller.web.callers import CALLER

if TYPE_CHECKING:
    from datetime import date

    from aiohttp.typedefs import Handler, Middleware

    from poller.admin.writer import Writer
    from poller.core.callers import Caller

_LONGEST_QUERY: Final = 500
_MOST_REMEMBERED: Final = 10_000
_NOT_ABOUT_ORGS: Final = ("/metrics", "/docs", "/openapi.json", "/api/v1/audit")

log = structlog.get_logger("poller.web")


def audit_trail(writer: Writer) -> Middleware:
    """Notes requests that were answered."""
    database = writer.database
    seen: set[tuple[date, str, int | None, int | None]] = set()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        caller = request.get(CALLER)
        if caller is None or request.method != "GET" or response.status >= 300 or _is_not_about_orgs(request):
            return response
        try:
            if response.content_type == "text/csv":
                detail = {"path": request.path, "query": request.query_string[:_LONGEST_QUERY]}
                await record(database, caller, AuditAction.EXPORT, _org_id(request), detail)
            else:
                await _note_once(caller, _org_id(request))
        except DatabaseError as error:
            log.warning("audit.not_written", why=error.what)
        return response

    async def _note_once(caller: Caller, org_id: int | None) -> None:
        view = database.clock.now().date(), caller.name, caller.key_id, org_id
        if view in seen:
            return
        if len(seen) >= _MOST_REMEMBERED:
            seen.clear()
        await record_seen(database, caller, org_id)
        seen.add(view)

    return middleware


def _is_not_about_orgs(request: web.Request) -> bool:
    return request.path.startswith(_NOT_ABOUT_ORGS) or request.match_info.route.resource is None


def _org_id(request: web.Request) -> int | None:
    if "/orgs/{" not in getattr(request.match_info.route.resource, "canonical", ""):
        return None
    text = next(iter(request.match_info.values()), "")
    return int(text) if text.isascii() and text.isdecimal() and int(text) < 2**31 else None
