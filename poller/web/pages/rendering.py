"""Renders templates into replies: escaped, compiled once, under a policy that allows nothing but our own files."""

from __future__ import annotations

import re
import zlib
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from jinja2 import BytecodeCache
from markupsafe import Markup

from poller import __version__
from poller.core.states import State
from poller.templating import templates_of
from poller.web.authentication import LOGGED_IN
from poller.web.callers import CALLER
from poller.web.pages.formats import FILTERS, iso, percent
from poller.web.pages.static_files import StaticFiles, accepts_gzip

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime
    from types import CodeType

    from jinja2.bccache import Bucket

    from poller.web.loop_share import LoopShare

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
FIRING: Final = web.RequestKey("firing", int)
"""How many alerts fire, for the navigation of every page."""
_FOLDER: Final = Path(__file__).parents[1] / "templates"
_LEVEL: Final = 6
"""Of gzip: half the time of level 9, for 3 % more bytes."""
_TIMES: Final = re.compile(rb"(?<=>)[^<]*(?=</time>)")
_SMALL: Final = 1_000
_PART_BYTES: Final = 16_384
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS


class CompiledCode(BytecodeCache):
    """The compiled templates of this process, for all of its servers."""

    def __init__(self) -> None:
        self._compiled: dict[str, CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Gives the template its code, if it is compiled already."""
        bucket.code = self._compiled.get(bucket.key)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keeps the code of a template."""
        self._compiled[bucket.key] = bucket.code


_CODE: Final = CompiledCode()


class Renderer:
    """The templates of the pages, all of them compiled at the start: a poll would have to wait for a large one."""

    def __init__(self, share: LoopShare, static: StaticFiles | None = None) -> None:
        self._share = share
        self.static = static or StaticFiles()
        self._environment = templates_of(_FOLDER, _CODE)
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(
            static_url=self.static.url, marks=MARKS, percent=percent, version=__version__, pages=()
        )
        self._templates = {name: self._environment.get_template(name) for name in self._environment.list_templates()}

    def show_links(self, paths: Collection[str]) -> None:
        """Set the paths that exist; the navigation links to no other."""
        self._environment.globals["pages"] = paths

    async def page(self, request: web.Request, template: str, /, *, status: int = 200, **values: Any) -> web.Response:
        """A reply with the page. The template sees `request`, `caller`, `logged_in` and `values`."""
        text = await self.text(template, **_whose(request), **values)
        return await self._reply(request, text.encode(), status, {"Vary": "Accept, Accept-Encoding"})

    async def markup(self, request: web.Request, template: str, /, **values: Any) -> Markup:
        """A part of a page for `page`: much faster than `include`, which passes every piece through all templates."""
        return Markup(await self.text(template, **_whose(request), **values))  # noqa: S704  # the template escaped it

    async def rows(self, rows: Iterable[str]) -> Markup:
        """Rows of a table for `page`, made by functions that escape all text: faster than a template."""
        return Markup("".join(await self._share.in_steps(rows)))  # noqa: S704  # escaped by what made them

    async def part(self, request: web.Request, template: str, /, *, as_of: datetime, **values: Any) -> web.Response:
        """A reply with a part of a page, for `static/live.js`: 304 where the browser shows the same already.

        Times of day and ages count as the same: the browser keeps them right.
        """
        return await self.piece(request, await self.text(template, **_whose(request), as_of=as_of, **values), as_of)

    async def piece(self, request: web.Request, text: str, as_of: datetime) -> web.Response:
        """As `part`, for HTML that is made already."""
        body = text.encode()
        tag = f'W/"{blake2b(_TIMES.sub(b"", body), digest_size=9).hexdigest()}"'
        headers = {"ETag": tag, "X-As-Of": iso(as_of)}
        if FIRING in request:
            headers["X-Firing"] = str(request[FIRING])
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return await self._reply(request, body, 200, headers)

    async def text(self, template: str, /, **values: Any) -> str:
        """The text that a template makes of `values`; an error where it uses one that is not there."""
        return "".join(await self._share.in_steps(self._templates[template].generate(values)))

    async def _reply(self, request: web.Request, body: bytes, status: int, headers: dict[str, str]) -> web.Response:
        headers |= {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": PAGE_POLICY}
        if len(body) >= _SMALL and accepts_gzip(request):
            headers["Content-Encoding"] = "gzip"
            body = b"".join(await self._share.in_steps(_gzipped(body)))
        return web.Response(status=status, body=body, headers=headers)


def _whose(request: web.Request) -> dict[str, Any]:
    return {
        "request": request,
        "caller": request.get(CALLER),
        "logged_in": request.get(LOGGED_IN, False),
        "firing": request.get(FIRING),
    }


def _gzipped(body: bytes) -> Iterator[bytes]:
    """The compressed body, made a part at a time."""
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP_BITS)
    for begin in range(0, len(body), _PART_BYTES):
        yield compressor.compress(body[begin : begin + _PART_BYTES])
    yield compressor.flush()
