"""Pages for people: rendered on the server, complete without a script, kept fresh by a small one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from poller.web.pages import alert_rules, alerts, fleet, gaps, health, org, reference, seats
from poller.web.pages.problems import shown_as_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from poller.web.pages.site import Site

PAGES: Final[tuple[Callable[[Site], Iterable[web.RouteDef]], ...]] = (
    fleet.routes,
    org.routes,
    health.routes,
    gaps.routes,
    reference.routes,
    seats.routes,
    alert_rules.routes,
    alerts.routes,
)
"""Each page's routes."""


def page_routes(site: Site) -> Iterable[web.RouteDef]:
    """The routes of all pages and of their static files."""
    routes = [route for page in PAGES for route in page(site)]
    site.renderer.show_links({route.path for route in routes})
    for route in routes:
        yield web.RouteDef(route.method, route.path, shown_as_page(site, route.handler), route.kwargs)
    yield from site.renderer.static.routes()
