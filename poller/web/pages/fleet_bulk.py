"""The menu of the Fleet page that pauses or resumes all orgs of the list at once, after a person confirmed how many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from poller.admin.bulk_operations import pause_matching, resume_matching
from poller.core.callers import Right
from poller.core.errors import ConflictError, UsageError
from poller.core.quantities import count
from poller.query.fleet_summary import forget_sums
from poller.web.api.parameters import collected_values
from poller.web.api.router import require_right
from poller.web.callers import CALLER
from poller.web.forms import optional_form
from poller.web.pages.changes import writer_of
from poller.web.pages.fleet_query import FleetQuery, Links
from poller.web.pages.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from poller.admin.bulk_operations import BulkResult
    from poller.web.pages.notices import Notices
    from poller.web.pages.site import Site

_OPERATIONS: Final = {"pause": pause_matching, "resume": resume_matching}
_LONGEST: Final = 8_000


def bulk_routes(site: Site, notices: Notices) -> Iterable[web.RouteDef]:
    """The routes of the menu; the page shows what it came to."""

    async def handler(request: web.Request) -> web.StreamResponse:
        caller, action = request[CALLER], request.path.rpartition("/")[2]
        require_right(caller, Right.OPERATE)
        form = await optional_form(request)
        query, most = _list_of(form), _number(form)
        which = query.question(caller.visible_tags).which
        try:
            done = await _OPERATIONS[action](writer_of(request).database, caller, which, most)
        except ConflictError as refused:
            notice = Notice(refused.what, refused.remedy, is_refusal=True)
        else:
            notice = Notice(_said(action, done))
        forget_sums(site.reader, which)
        return web.Response(status=303, headers={"Location": Links(query).to(done=notices.keep(notice))})

    return [web.post(f"/fleet/{action}", handler) for action in _OPERATIONS]


def _list_of(form: Mapping[str, str]) -> FleetQuery:
    """The list that the form is about: the parameters of the page it was on."""
    text = form.get("list", "")
    if len(text) > _LONGEST:
        raise UsageError("the list is too long", "choose fewer filters")
    query = MultiDict(parse_qsl(text, keep_blank_values=True, max_num_fields=200))
    return collected_values(FleetQuery, query)


def _number(form: Mapping[str, str]) -> int:
    """How many orgs the person confirmed."""
    text = form.get("orgs", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError("the number of orgs is missing", "use the menu of the Fleet page")
    return int(text)


def _said(action: str, done: BulkResult) -> str:
    verb = "paused" if action == "pause" else "resumed"
    words = f"{count(done.changed, 'org')} {verb}."
    if left := done.orgs - done.changed - done.skipped:
        why = "was paused already" if action == "pause" else "was neither paused nor parked"
        words += f" {count(left, 'org')} {why}." if left == 1 else f" {left:,} orgs {why.replace('was', 'were')}."
    if done.skipped:
        words += f" {count(done.skipped, 'org')} without credentials: `poller orgs import` gives them."
    return words
