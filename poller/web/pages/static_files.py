"""Style sheets, scripts and pictures of the pages: read once, compressed once, served at addresses that never change.

An address contains a hash of all files, so a browser may keep a file for a year, and an upgrade is seen at once. All
files share one hash so that a module can import another by a relative path.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from poller.web.access import STATIC_PATH
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_FOLDER: Final = Path(__file__).parents[1] / "static"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_SMALL: Final = 200
"""Bytes below which compression gains nothing."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, its type, and its content as it is and compressed (None: no smaller)."""

    content_type: str
    body: bytes
    gzipped: bytes | None


class StaticFiles:
    """Every file of a folder, by its path in it."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        self._files = {path.relative_to(folder).as_posix(): _read(path) for path in paths}
        digest = hashlib.sha256()
        for name, file in self._files.items():
            digest.update(f"{name}\0{len(file.body)}\0".encode() + file.body)
        self._hash = digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """The address of a file; a `KeyError` for one that does not exist."""
        if name not in self._files:
            raise KeyError(name)
        return f"{STATIC_PATH}{self._hash}/{name}"

    def routes(self) -> Iterable[web.RouteDef]:
        """The route of all files."""
        return [web.get(f"{STATIC_PATH}{{hash}}/{{name:.+}}", self._file)]

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"])
        if file is None or request.match_info["hash"] != self._hash:
            raise Problem(404, "there is nothing at this address", "reload the page")
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        body = file.body
        if file.gzipped is not None and accepts_gzip(request):
            headers["Content-Encoding"] = "gzip"
            body = file.gzipped
        return web.Response(body=body, headers={"Content-Type": file.content_type, **headers})


def accepts_gzip(request: web.Request) -> bool:
    """Whether the client takes a gzipped reply."""
    codings = (part.replace(" ", "").lower() for part in request.headers.get("Accept-Encoding", "").split(","))
    return any(coding == "gzip" or (coding.startswith("gzip;") and coding != "gzip;q=0") for coding in codings)


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
    text = kind.startswith("text/") or kind == "image/svg+xml"
    gzipped = gzip.compress(body, 9, mtime=0) if text and len(body) >= _SMALL else None
    return StaticFile(f"{kind}; charset=utf-8" if text else kind, body, gzipped)
