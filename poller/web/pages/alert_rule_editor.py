"""The pages `/alerts/rules/new` and `/alerts/rules/{name}`: a form with a preview of what the rule would have done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from poller.admin.alert_rules import add_rule, change_rule
from poller.core.alerts import METRICS, Severity
from poller.core.callers import Right
from poller.core.errors import ConflictError, UnknownRuleError, UsageError
from poller.core.quantities import figure_words
from poller.query.alert_preview import preview_rule
from poller.query.alert_rules import described_rule
from poller.query.selection import Selection
from poller.web.api.handlers.alert_rules import require_every_org
from poller.web.api.parameters import parameters
from poller.web.api.router import require_right
from poller.web.callers import CALLER
from poller.web.forms import optional_form
from poller.web.pages.alert_rule_form import RuleForm
from poller.web.pages.alerts_words import COMPARED, SEVERITY_MARKS, fires_when
from poller.web.pages.changes import may_change, writer_of
from poller.web.pages.notices import Notice
from poller.web.refusals import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.core.alerts import AlertRule
    from poller.query.alert_rules import DescribedRule
    from poller.web.pages.notices import Notices
    from poller.web.pages.site import Site

PAGE: Final = "/alerts/rules"
NEW: Final = "new"
_LISTED: Final = 50
_GROUPS: Final = (
    ("Figures of an org", lambda metric: metric.unit not in {None, "users"}),
    ("Counts of users", lambda metric: metric.unit == "users"),
    ("Conditions", lambda metric: metric.unit is None and "anomaly" not in metric.meaning),
    ("Unusual changes", lambda metric: metric.unit is None and "anomaly" in metric.meaning),
)


def editor_routes(site: Site, notices: Notices) -> Iterable[web.RouteDef]:
    """The routes of the editor; `notices` are shown by the page of the rules."""

    async def show(request: web.Request) -> web.StreamResponse:
        parameters(request.query, {})
        rule = await _rule_of(site, request)
        return await _page(site, request, rule, RuleForm.of_stored(rule))

    async def post(request: web.Request) -> web.StreamResponse:
        given = await optional_form(request)
        is_preview = "X-Preview" in request.headers or given.get("do") == "preview"
        if not is_preview:
            require_right(request[CALLER], Right.OPERATE)
        rule, form = await _rule_of(site, request), RuleForm.of_request(given)
        if is_preview and "metric" not in given:
            # A browser sends no field of a form that is disabled, because its caller may only see.
            form = RuleForm.of_stored(rule)
        if "X-Preview" in request.headers:
            return await _preview_part(site, request, rule, form)
        if is_preview:
            return await _page(site, request, rule, form, preview=True)
        try:
            saved = await _save(request, rule, form)
        except (UsageError, ConflictError) as wrong:
            return await _page(site, request, rule, form, wrong=wrong)
        notice = Notice(f"The rule {saved.name} is {'added' if rule is None else 'changed'}.")
        return web.Response(status=303, headers={"Location": f"{PAGE}?done={notices.keep(notice)}"})

    return [web.get(f"{PAGE}/{{name}}", show), web.post(f"{PAGE}/{{name}}", post)]


async def _rule_of(site: Site, request: web.Request) -> DescribedRule | None:
    """The rule in the path; None for a new one. A `Problem` where there is none, or the caller sees no rules."""
    require_every_org(request[CALLER])
    name = request.match_info["name"]
    if name == NEW:
        return None
    try:
        return await described_rule(site.reader.database, name)
    except UnknownRuleError:
        raise no_such_rule() from None


def no_such_rule() -> Problem:
    """404: there is no rule of this name."""
    return Problem(404, "there is no such rule", f"see {PAGE}")


async def _save(request: web.Request, rule: DescribedRule | None, form: RuleForm) -> AlertRule:
    writer, caller = writer_of(request), request[CALLER]
    if rule is not None:
        return await change_rule(writer, caller, rule.rule.name, form.change())
    return await add_rule(writer, caller, form.fields["name"].strip(), form.change())


async def _page(
    site: Site,
    request: web.Request,
    rule: DescribedRule | None,
    form: RuleForm,
    *,
    preview: bool = False,
    wrong: UsageError | ConflictError | None = None,
) -> web.Response:
    values = await _preview(site, rule, form) if preview else _NO_PREVIEW
    return await site.renderer.page(
        request,
        "alerts_rule.html",
        status=200 if wrong is None else 400,
        as_of=site.reader.now(),
        rule=rule,
        form=form.fields,
        wrong=wrong,
        groups=[(name, [one for one in METRICS.values() if holds(one)]) for name, holds in _GROUPS],
        compared=COMPARED,
        severities=list(Severity),
        operates=may_change(request),
        severity_marks=SEVERITY_MARKS,
        **values,
    )


async def _preview_part(site: Site, request: web.Request, rule: DescribedRule | None, form: RuleForm) -> web.Response:
    """The preview alone, for the script of the page."""
    values = await _preview(site, rule, form)
    return await site.renderer.part(request, "alerts_preview.html", as_of=site.reader.now(), **values)


async def _preview(site: Site, rule: DescribedRule | None, form: RuleForm) -> dict[str, Any]:
    """What the rule of the form would have done, or what is wrong with the form."""
    database = site.reader.database
    try:
        draft, names = form.draft(None if rule is None else rule.rule)
        org_ids = await Selection(names=tuple(names)).named_ids(database) if names else ()
        draft = replace(draft, org_ids=tuple(org_ids))
    except UsageError as wrong:
        return {**_NO_PREVIEW, "preview_error": wrong}
    found = await preview_rule(database, draft, site.reader.now())
    return {**_NO_PREVIEW, "shown": found, "listed": found.alerts[:_LISTED], "draft": fires_when(draft)}


_NO_PREVIEW: Final = {"shown": None, "listed": (), "draft": None, "preview_error": None, "figure_words": figure_words}
