"""The page `/`: every org of the fleet, those that need a person first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.web.pages.site import Site


def routes(site: Site) -> Iterable[web.RouteDef]:
    """The routes of this page."""

    async def page(request: web.Request) -> web.Response:
        return site.renderer.page(request, "fleet.html", as_of=site.reader.now())

    return [web.get("/", page)]
