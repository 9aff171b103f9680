"""The buttons of the Alerts pages: acknowledge, snooze, and undo. Each posts a form and comes back to its page."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from multidict import MultiDict

from poller.admin import alerts as admin
from poller.core.alert_rule_change import snooze_seconds
from poller.core.callers import Right
from poller.core.errors import ConflictError, UnknownAlertError, UsageError
from poller.query.alerts_page import forget_counts
from poller.web.api.parameters import collected_values
from poller.web.api.router import require_right
from poller.web.callers import CALLER
from poller.web.forms import optional_form
from poller.web.pages.alerts_address import PAGE, AlertsAddress
from poller.web.pages.changes import writer_of
from poller.web.pages.notices import Notice
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from poller.admin.alerts import HandledAlert
    from poller.web.pages.notices import Notices
    from poller.web.pages.site import Site

T = TypeVar("T")
_ID: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


def action_routes(site: Site, notices: Notices) -> Iterable[web.RouteDef]:
    """The routes of the buttons."""

    async def handler(request: web.Request) -> web.StreamResponse:
        alert_id, caller = alert_id_of(request.match_info["id"]), request[CALLER]
        action = request.path.rpartition("/")[2]
        require_right(caller, Right.OPERATE)
        form = await optional_form(request)
        operation = _acknowledge if action == "ack" else _snooze
        try:
            done = await shown_if_visible(operation(request, alert_id, form))
        except ConflictError as refused:
            notice = Notice(refused.what, refused.remedy, is_refusal=True)
        else:
            undo = "" if "undo" in form or not done.changed else f"{PAGE}/{alert_id}/{action}"
            notice = Notice(done.message, undo=undo)
        forget_counts(site.reader, caller)
        location = _back(alert_id, request.headers.get("Referer", ""), notices.keep(notice))
        return web.Response(status=303, headers={"Location": location})

    return [web.post(f"{PAGE}/{{id}}/{action}", handler) for action in ("ack", "snooze")]


def alert_id_of(text: str) -> int:
    """The number of an alert; the same refusal as for one that does not exist, if it cannot be one."""
    if _ID.fullmatch(text) is None or int(text) == 0:
        raise no_such_alert()
    return int(text)


def no_such_alert() -> Problem:
    """404: there is no such alert, or the caller may not see it."""
    return Problem(404, "there is no such alert", f"see {PAGE}")


async def shown_if_visible(answer: Awaitable[T]) -> T:
    """The answer about an alert; a 404 where the caller may not see it."""
    try:
        return await answer
    except UnknownAlertError:
        raise no_such_alert() from None


async def _acknowledge(request: web.Request, alert_id: int, form: Mapping[str, str]) -> HandledAlert:
    operation = admin.unacknowledge if "undo" in form else admin.acknowledge
    return await operation(writer_of(request).database, request[CALLER], alert_id)


async def _snooze(request: web.Request, alert_id: int, form: Mapping[str, str]) -> HandledAlert:
    database, caller = writer_of(request).database, request[CALLER]
    if "undo" in form:
        return await admin.unsnooze(database, caller, alert_id)
    seconds = snooze_seconds(form.get("for", "")[:20])
    if not seconds:
        raise UsageError("no time to snooze for is given", "choose one of the times")
    return await admin.snooze(database, caller, alert_id, database.clock.now() + timedelta(seconds=seconds))


def _back(alert_id: int, referer: str, done: str) -> str:
    """The address of the page that the button was on, with its filters; else that of the alert."""
    try:
        parts = urlsplit(referer)
        if parts.path == PAGE:
            query = MultiDict(pair for pair in parse_qsl(parts.query) if pair[0] != "done")
            return collected_values(AlertsAddress, query).address(done=done)
    except (UsageError, Problem, ValueError):
        return f"{PAGE}?done={done}"
    return f"{PAGE}/{alert_id}?done={done}"
