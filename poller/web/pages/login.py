"""`/login` and `/logout`: a person shows an access key once and gets a session, kept in a cookie of the browser."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from aiohttp import web

from poller.admin.access import SESSION_SECONDS
from poller.admin.audit import record
from poller.core.audit import AuditAction
from poller.core.callers import Caller
from poller.web.authentication import COOKIE
from poller.web.forms import read_form
from poller.web.log_in_limit import LogInLimit
from poller.web.pages.problems import shown_as_page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.admin.writer import Writer
    from poller.core.secret import Secret
    from poller.web.authentication import Authenticator
    from poller.web.pages.site import Site

NOT_VALID: Final = "This key is not valid: it is wrong, expired or revoked."
NOT_KEPT: Final = "Browsers keep no session over plain http: open this service by its https address."
_NOBODY: Final = "nobody"
_NOTED_PER_SOURCE: Final = 2
_NOTED_IN_ALL: Final = 10


@dataclass(slots=True)
class LogIn:
    """The handlers of the two addresses; `writer`: where the audit log is."""

    site: Site
    authenticator: Authenticator
    writer: Writer
    limit: LogInLimit = field(default_factory=LogInLimit)
    _noted: LogInLimit = field(default_factory=lambda: LogInLimit(_NOTED_PER_SOURCE, _NOTED_IN_ALL), init=False)
    _unnoted: int = field(default=0, init=False)

    def routes(self) -> Iterable[web.RouteDef]:
        """The routes."""
        return [
            web.get("/login", shown_as_page(self.site, self.form)),
            web.post("/login", shown_as_page(self.site, self.log_in)),
            web.post("/logout", shown_as_page(self.site, self.log_out)),
        ]

    async def form(self, request: web.Request) -> web.StreamResponse:
        """The page to log in; a browser that needs no log-in is sent to the page it wants."""
        target = own_path(request.query.get("next", ""))
        caller = None if "Authorization" in request.headers else await self.authenticator.caller_of_page(request)
        if caller is not None:
            return _see(target)
        return await self._page(request, target)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """Starts a session for the key in the form."""
        source = self.authenticator.access.source(request)
        form = await read_form(request)
        shown, target = form.get("key", ""), own_path(form.get("next", ""))
        if not self.authenticator.access.keeps_cookies(request):
            return await self._page(request, target, status=400)
        if wait := self.limit.take(source, asyncio.get_running_loop().time()):
            reply = await self._page(request, target, f"Too many log-ins: try again in {wait} seconds.", status=429)
            reply.headers["Retry-After"] = str(wait)
            return reply
        caller = await self.authenticator.caller_with(shown.strip())
        if caller is None:
            await self._note_refusal(source)
            return await self._page(request, target, NOT_VALID, status=401)
        await self.authenticator.end_session(request)
        session_id = await self.authenticator.start_session(caller)
        await record(self.writer.database, replace(caller, source=source), AuditAction.LOG_IN)
        reply = _see(target)
        _keep(reply, session_id)
        return reply

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """Ends the session."""
        caller = await self.authenticator.end_session(request)
        if caller is not None:
            source = self.authenticator.access.source(request)
            await record(self.writer.database, replace(caller, source=source), AuditAction.LOG_OUT)
        reply = _see("/login")
        reply.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
        return reply

    async def _note_refusal(self, source: str) -> None:
        """Notes some refusals a minute, with how many others there were, so that strangers cannot fill the database."""
        self._unnoted += 1
        if self._noted.take(source, asyncio.get_running_loop().time()):
            return
        count, self._unnoted = self._unnoted, 0
        await record(
            self.writer.database, Caller(_NOBODY, source=source), AuditAction.LOG_IN_REFUSED, detail={"count": count}
        )

    async def _page(self, request: web.Request, target: str, error: str = "", *, status: int = 200) -> web.Response:
        kept = self.authenticator.access.keeps_cookies(request)
        values = {"target": target, "error": error if kept else NOT_KEPT, "as_of": self.site.reader.now()}
        reply = await self.site.renderer.page(request, "login.html", status=status, **values)
        if status == 401:
            reply.headers["WWW-Authenticate"] = "Bearer"
        return reply


def own_path(text: str) -> str:
    """The path of a page of this service to go to after the log-in; `/` for anything else."""
    own = text.startswith("/") and not text.startswith(("//", "/\\", "/login", "/logout")) and text.isprintable()
    return text if own and text.isascii() and "\\" not in text else "/"


def _see(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


def _keep(reply: web.Response, session_id: Secret) -> None:
    reply.set_cookie(
        COOKIE, session_id.reveal(), max_age=SESSION_SECONDS, path="/", secure=True, httponly=True, samesite="Strict"
    )
