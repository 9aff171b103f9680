"""Finds the caller of a request: by the key in its header, by its session, or because the service is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from poller.core.access_key import ShownKey
from poller.core.callers import ENVIRONMENT, THIS_MACHINE, Caller
from poller.core.errors import MissingKeyError
from poller.core.secret import Secret
from poller.web.access import is_api
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from poller.admin.access import AccessStore
    from poller.web.access import Access
    from poller.web.rate_limited_log import RateLimitedLog

COOKIE: Final = "__Host-poller"
"""Browsers keep a cookie of this name only for this host, and send it only over https or to this machine."""
LOGGED_IN: Final = web.RequestKey("logged_in", bool)
"""Whether the caller was found by its session, and may log out."""
_LONGEST_COOKIE: Final = 100


class Authenticator:
    """Looks callers up. `store` None: there are no stored keys and no sessions."""

    def __init__(self, access: Access, store: AccessStore | None, rejected: RateLimitedLog) -> None:
        self.access = access
        self.store = store
        self._rejected = rejected

    async def caller(self, request: web.Request) -> Caller | None:
        """The caller; None where a key or a log-in is needed. A key that is shown and wrong is a `Problem`."""
        authorization = request.headers.get("Authorization")
        if authorization is not None:
            scheme, _, shown = authorization.partition(" ")
            caller = await self.caller_with(shown.strip()) if scheme.lower() == "bearer" else None
            if caller is None:
                raise unauthorized()
            return caller
        caller = await self._logged_in(request)
        if caller is not None:
            return caller
        return THIS_MACHINE if await self._is_open(request.path) else None

    async def caller_with(self, text: str) -> Caller | None:
        """The caller with this key; None if it is wrong, expired or revoked."""
        if self.access.is_environment_key(text):
            return ENVIRONMENT
        shown = ShownKey.parse(text)
        if shown is None or self.store is None:
            return None
        try:
            return await self.store.caller_of_key(shown)
        except MissingKeyError as missing:
            self._rejected.event("web.key_unusable", key_id=shown.key_id, why=missing.what, remedy=missing.remedy)
            return None

    async def start_session(self, caller: Caller) -> Secret:
        """Starts a session; only with a store."""
        assert self.store is not None  # noqa: S101 - the log-in is only served with one
        return await self.store.start_session(caller, self.access.environment_key)

    async def end_session(self, request: web.Request) -> Caller | None:
        """Ends the session of the request's cookie; returns whose it was."""
        session_id = _session_id(request)
        if session_id is None or self.store is None:
            return None
        caller = await self.store.caller_of_session(session_id, self.access.environment_key)
        await self.store.end_session(session_id)
        return caller

    async def caller_of_page(self, request: web.Request) -> Caller | None:
        """The caller that may see pages: it has a session, or the service is open."""
        return await self._logged_in(request) or (THIS_MACHINE if await self._is_open("/") else None)

    async def _logged_in(self, request: web.Request) -> Caller | None:
        session_id = _session_id(request)
        if session_id is None or self.store is None:
            return None
        caller = await self.store.caller_of_session(session_id, self.access.environment_key)
        request[LOGGED_IN] = caller is not None
        return caller

    async def _is_open(self, path: str) -> bool:
        if self.access.published or (is_api(path) and self.access.key is not None):
            return False
        return self.store is None or not await self.store.has_keys()


def unauthorized() -> Problem:
    """401: the same for a key that is missing, wrong, expired or revoked."""
    return Problem(
        401,
        "the key is missing or wrong",
        "send an access key (`poller access add`) or that of POLLER_API_KEY as Authorization: Bearer …, or log in at"
        " /login",
        {"WWW-Authenticate": "Bearer"},
    )


def _session_id(request: web.Request) -> Secret | None:
    text = request.cookies.get(COOKIE)
    return Secret(text) if text and len(text) <= _LONGEST_COOKIE else None
