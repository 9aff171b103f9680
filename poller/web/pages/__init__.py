"""Pages for people. There is one: what this server answers, with links."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from aiohttp import web

from poller import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINKS: Final = (
    ("/healthz", "the process lives"),
    ("/readyz", "it does its work, or why not"),
    ("/metrics", "metrics for Prometheus (docs/metrics.md)"),
    ("/api/v1/trend", "how counts moved, as JSON, with a key (docs/operations.md, “The API”)"),
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>poller</title></head>
<body>
<h1>poller {version}</h1>
<p>User counts of Zoho CRM orgs. This server answers:</p>
<ul>
{links}
</ul>
<p>On the command line: <code>poller status</code> for the fleet, <code>poller trend</code> for its counts.</p>
</body>
</html>
"""


def page_routes() -> Iterable[web.RouteDef]:
    """The pages."""

    async def start(_request: web.Request) -> web.Response:
        links = "\n".join(f'<li><a href="{path}">{path}</a>: {escape(about)}</li>' for path, about in _LINKS)
        return web.Response(text=_PAGE.format(version=__version__, links=links), content_type="text/html")

    return [web.get("/", start)]
