"""Renders templates into replies: escaped, compiled once, under a policy that allows nothing but our own files."""

from __future__ import annotations

import gzip
import re
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from poller import __version__
from poller.core.states import State
from poller.web.authentication import LOGGED_IN
from poller.web.callers import CALLER
from poller.web.pages.formats import FILTERS, iso, percent
from poller.web.pages.sparkline import sparkline
from poller.web.pages.static_files import StaticFiles, accepts_gzip

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from jinja2 import Template

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MARKS: Final[Mapping[str, tuple[str, str]]] = {
    State.OK: ("●", "ok"),
    State.LATE: ("◐", "late"),
    State.FAILING: ("■", "failing"),
    State.PARKED: ("■", "parked"),
    State.HELD: ("◆", "held"),
    State.PAUSED: ("‖", "paused"),
    State.NEVER_POLLED: ("○", "never polled"),
    State.REMOVED: ("×", "removed"),
}
"""Each state's shape and word: a state is never shown by colour alone."""
_FOLDER: Final = Path(__file__).parents[1] / "templates"
_LEVEL: Final = 6
"""Of gzip: half the time of level 9, for 3 % more bytes."""
_TIMES: Final = re.compile(rb"(?<=>)[^<]*(?=</time>)")
_SMALL: Final = 1_000


class Renderer:
    """The templates of the pages, compiled when they are first used."""

    def __init__(self, static: StaticFiles | None = None) -> None:
        self.static = static or StaticFiles()
        self._templates: dict[str, Template] = {}
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(
            static_url=self.static.url, marks=MARKS, sparkline=sparkline, percent=percent, version=__version__, pages=()
        )

    def show_links(self, paths: Collection[str]) -> None:
        """Set the paths that exist; the navigation links to no other."""
        self._environment.globals["pages"] = paths

    def page(self, request: web.Request, template: str, /, *, status: int = 200, **values: Any) -> web.Response:
        """A reply with the page. The template sees `request`, `caller`, `logged_in` and `values`."""
        text = self.text(template, **_whose(request), **values)
        return _html_reply(request, text.encode(), status, {"Vary": "Accept, Accept-Encoding"})

    def markup(self, request: web.Request, template: str, /, **values: Any) -> Markup:
        """A part of a page for `page`: much faster than `include`, which passes every piece through all templates."""
        return Markup(self.text(template, **_whose(request), **values))  # noqa: S704  # the template escaped it

    def part(self, request: web.Request, template: str, /, *, as_of: datetime, **values: Any) -> web.Response:
        """A reply with a part of a page, for `static/live.js`: 304 where the browser shows the same already.

        Times of day and ages count as the same: the browser keeps them right.
        """
        body = self.text(template, **_whose(request), as_of=as_of, **values).encode()
        tag = f'W/"{blake2b(_TIMES.sub(b"", body), digest_size=9).hexdigest()}"'
        headers = {"ETag": tag, "X-As-Of": iso(as_of)}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return _html_reply(request, body, 200, headers)

    def text(self, template: str, /, **values: Any) -> str:
        """The text that a template makes of `values`; an error where it uses one that is not there."""
        compiled = self._templates.get(template)
        if compiled is None:
            compiled = self._templates[template] = self._environment.get_template(template)
        return compiled.render(values)


def _whose(request: web.Request) -> dict[str, Any]:
    return {"request": request, "caller": request.get(CALLER), "logged_in": request.get(LOGGED_IN, False)}


def _html_reply(request: web.Request, body: bytes, status: int, headers: dict[str, str]) -> web.Response:
    headers |= {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": PAGE_POLICY}
    if len(body) >= _SMALL and accepts_gzip(request):
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, _LEVEL, mtime=0)
    return web.Response(status=status, body=body, headers=headers)
