"""The page `/alerts/rules`: the rules with what they watch, and what is excluded from them and why."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from poller.admin.alert_exclusions import ExcludedSubjects, exclude, include, no_such_exclusion
from poller.admin.alert_rules import remove_rule, restore_rule
from poller.core.callers import Right
from poller.core.errors import ConflictError, UsageError
from poller.core.model import USER_TYPES
from poller.query.alert_rules import all_exclusions, all_rules, described_rules, exclusion_fields
from poller.query.alerts_page import firing_by_rule
from poller.query.parameters import later_time_of
from poller.query.rows import json_text
from poller.query.selection import Selection
from poller.web.api.handlers.alert_rules import require_every_org
from poller.web.api.parameters import parameters
from poller.web.api.router import require_right
from poller.web.callers import CALLER
from poller.web.forms import optional_form
from poller.web.pages.alert_rule_editor import editor_routes, no_such_rule
from poller.web.pages.alerts_words import SEVERITY_MARKS, fires_when, quiet_words
from poller.web.pages.changes import may_change, writer_of
from poller.web.pages.notices import Notice, Notices
from poller.web.refusals import wants_html

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from poller.admin.writer import Writer
    from poller.core.callers import Caller
    from poller.web.pages.site import Site

    Operation = Callable[[Writer, Caller, Mapping[str, str], str], Awaitable[Notice]]

PAGE: Final = "/alerts/rules"
_WORDS: Final[Mapping[str, Any]] = {
    "user_types": USER_TYPES,
    "fires_when": fires_when,
    "severity_marks": SEVERITY_MARKS,
    "quiet_words": quiet_words,
}
_LONGEST: Final = 500


def routes(site: Site) -> Iterable[web.RouteDef]:
    """The routes of the rules, of their editor, and of exclusions."""
    notices = Notices()

    async def page(request: web.Request) -> web.StreamResponse:
        require_every_org(request[CALLER])
        given = parameters(request.query, {"done": "", "format": ""})
        rules, exclusions = await described_rules(site.reader.database), await all_exclusions(site.reader.database)
        if not wants_html(request):
            items = [one.fields() for one in rules]
            fields = {"items": items, "exclusions": [exclusion_fields(one) for one in exclusions]}
            return web.Response(text=json_text(fields), content_type="application/json")
        values: dict[str, Any] = {
            "as_of": site.reader.now(),
            "rules": rules,
            "exclusions": exclusions,
            "firing_by_rule": await firing_by_rule(site.reader, request[CALLER]),
            "notice": notices.take(given["done"]),
            "operates": may_change(request),
        }
        return await site.renderer.page(request, "alerts_rules.html", **values, **_WORDS)

    return [
        web.get(PAGE, page),
        web.post(f"{PAGE}/{{name}}/remove", _posted(_remove, notices)),
        web.post("/alerts/exclusions", _posted(_exclude, notices)),
        web.post("/alerts/exclusions/end", _posted(_include, notices)),
        *editor_routes(site, notices),
    ]


def _posted(do: Operation, notices: Notices) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of a form: what it came to is shown on the page of the rules."""

    async def handler(request: web.Request) -> web.StreamResponse:
        caller, name = request[CALLER], request.match_info.get("name", "")[:70]
        require_every_org(caller)
        require_right(caller, Right.OPERATE)
        form = await optional_form(request)
        try:
            notice = await do(writer_of(request), caller, form, name)
        except (UsageError, ConflictError) as refused:
            notice = Notice(refused.what, refused.remedy, is_refusal=True)
        return web.Response(status=303, headers={"Location": f"{PAGE}?done={notices.keep(notice)}"})

    return handler


async def _remove(writer: Writer, caller: Caller, form: Mapping[str, str], name: str) -> Notice:
    if all(rule.name != name for rule in await all_rules(writer.database)):
        raise no_such_rule()
    if "undo" in form:
        await restore_rule(writer.database, caller, name)
        return Notice(f"The rule {name} is back.")
    await remove_rule(writer.database, caller, name)
    undo = f"{PAGE}/{name}/remove"
    return Notice(f"The rule {name} is removed, and its open alerts are resolved.", undo=undo)


async def _exclude(writer: Writer, caller: Caller, form: Mapping[str, str], _name: str) -> Notice:
    subjects, until = _subjects(form), form.get("until", "").strip()
    end = later_time_of(until, writer.database.clock.now(), UTC) if until else None
    reason = " ".join(form.get("reason", "").split())
    await exclude(writer.database, caller, subjects, reason=reason, until=end)
    return Notice("The exclusion is stored.")


async def _include(writer: Writer, caller: Caller, form: Mapping[str, str], _name: str) -> Notice:
    if not (await include(writer.database, caller, _subjects(form))).changed:
        raise no_such_exclusion()
    return Notice("The exclusion has ended.")


def _subjects(form: Mapping[str, str]) -> ExcludedSubjects:
    if any("\x00" in value or len(value) > _LONGEST for value in form.values()):
        raise UsageError("a field is too long, or has a character that is not text", "correct it")
    org = form.get("org", "").strip()
    names = Selection(names=(org,)) if org else Selection()
    return ExcludedSubjects(form.get("rule") or None, names, form.get("user_type") or None)
