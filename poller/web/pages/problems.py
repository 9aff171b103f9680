"""Refusals and an unreachable database, shown as pages to people and as short replies to programs."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

from poller.core.errors import DatabaseError, UsageError
from poller.query.alerts_page import firing_alerts
from poller.web.callers import CALLER
from poller.web.pages.rendering import FIRING
from poller.web.refusals import Problem, database_away, wants_html

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler

    from poller.web.pages.site import Site


def shown_as_page(site: Site, handler: Handler) -> Handler:
    """The handler of a page; what it refuses, and a database that does not answer, becomes a page with the remedy."""

    @wraps(handler)
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if CALLER in request and wants_html(request):
                request[FIRING] = await firing_alerts(site.reader, request[CALLER])
            response = await handler(request)
        except UsageError as error:
            problem = Problem(400, error.what, error.remedy)
        except Problem as error:
            problem = error
        except (DatabaseError, TimeoutError):
            problem = database_away()
        else:
            site.answered_at = site.reader.now()
            return response
        if not wants_html(request):
            raise problem
        return await problem_page(site, request, problem)

    return handle


async def problem_page(site: Site, request: web.Request, problem: Problem) -> web.Response:
    """The page of a refusal; one with status 503 says since when and is tried again automatically."""
    since = site.answered_at if problem.status == 503 else None
    values = {"problem": problem, "since": since, "as_of": site.reader.now()}
    response = await site.renderer.page(request, "problem.html", status=problem.status, **values)
    response.headers.update(problem.headers)
    return response
