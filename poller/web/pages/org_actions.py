"""The buttons of an Org page: poll now, pause, resume. Each posts a form, is confirmed, and comes back to the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from multidict import MultiDict

from poller.admin import operations
from poller.core.callers import Right
from poller.core.errors import ConflictError, UnknownOrgError, UsageError
from poller.core.states import State
from poller.web.api.router import require_right
from poller.web.callers import CALLER
from poller.web.pages.changes import writer_of
from poller.web.pages.notices import Notice
from poller.web.pages.org_address import OrgAddress, no_such_org, org_id_of
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from poller.admin.operations import Operated
    from poller.core.org_facts import OrgFacts
    from poller.web.pages.notices import Notices

_OPERATIONS: Final[Mapping[str, Callable[..., Awaitable[Operated]]]] = {
    "poll": operations.poll,
    "pause": operations.pause,
    "resume": operations.resume,
}


@dataclass(frozen=True, slots=True)
class ActionButton:
    """One button: what it does (the end of its address), its word, and what the person confirms."""

    action: str
    word: str
    question: str


_POLL: Final = ActionButton("poll", "Poll now", "A worker polls the org within seconds: ten requests, ten credits.")
_CHECK: Final = ActionButton(
    "poll", "Check now", "A worker polls the org within seconds. If Zoho accepts it, it is polled regularly again."
)
_PAUSE: Final = ActionButton("pause", "Pause", "The org is not polled until someone resumes it. That time is no gap.")
_RESUME: Final = ActionButton("resume", "Resume", "The org is polled again from its next slot on.")


def buttons_of(facts: OrgFacts) -> list[ActionButton]:
    """What can be done to an org in this state."""
    if facts.state == State.REMOVED:
        return []
    if facts.state == State.PAUSED:
        return [_RESUME]
    return [_CHECK if facts.state == State.PARKED else _POLL, _PAUSE]


def action_routes(notices: Notices) -> Iterable[web.RouteDef]:
    """The routes of the buttons."""

    async def handler(request: web.Request) -> web.StreamResponse:
        org_id, caller = org_id_of(request.match_info["id"]), request[CALLER]
        operation = _OPERATIONS[request.path.rpartition("/")[2]]
        if org_id is None:
            raise no_such_org()
        require_right(caller, Right.OPERATE)
        database = writer_of(request).database
        try:
            done = await operation(database, caller, org_id)
        except UnknownOrgError:
            raise no_such_org() from None
        except ConflictError as refused:
            notice = Notice(refused.what, refused.remedy, is_refusal=True)
        else:
            notice = Notice(done.message)
        address = _back(org_id, request.headers.get("Referer", "")).link(done=notices.keep(notice))
        return web.Response(status=303, headers={"Location": address})

    return [web.post(f"/orgs/{{id}}/{action}", handler) for action in _OPERATIONS]


def _back(org_id: int, referer: str) -> OrgAddress:
    """The address of the page that the button was on, with its range and types."""
    try:
        parts = urlsplit(referer)
        query = MultiDict(pair for pair in parse_qsl(parts.query) if pair[0] != "done")
        return OrgAddress.parse(org_id, query) if parts.path == f"/orgs/{org_id}" else OrgAddress(org_id)
    except (UsageError, Problem, ValueError):
        return OrgAddress(org_id)
