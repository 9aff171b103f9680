"""The rules, their editor with its preview, and exclusions: what is saved, undone, refused, and never shown."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.alerts import METRICS
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.query.alert_rules import find_rule
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from tests.web.pages.served import HTML, parse
from tests.web.pages.test_alerts import KEY, org_of, pages

if TYPE_CHECKING:
    from poller.store.database import Database
    from tests.web.pages.served import Element, Pages

__all__ = ["pages"]
SECRET = "hunter2"


def form(**fields: str) -> dict[str, str]:
    """The form of a rule as a browser sends it."""
    return {
        "metric": "ActiveUsers",
        "comparison": ">=",
        "threshold": "10",
        "for": "0",
        "clear": "30m",
        "severity": "warning",
        "to": "default",
        "enabled": "1",
        **{name.rstrip("_"): value for name, value in fields.items()},
    }


def names(page: Element) -> list[str]:
    return [row["data-rule"] for row in page.one("table", class_="rules").all("tr") if row["data-rule"]]


async def test_a_new_installation_shows_its_rules(pages: Pages) -> None:
    page = await pages.page("/alerts/rules")
    assert len(names(page)) == 8
    assert "days until the forecast says that the seats run out ≤ 30 days" in page.one("table", class_="rules").text
    assert "Nothing is excluded" in page.one("section", id="exclusions").text
    _, text, _ = await pages.get("/alerts/rules", {"Accept": "application/json"})
    assert {one["name"] for one in json.loads(text)["items"]} == set(names(page))


async def test_a_rule_is_added_changed_removed_and_brought_back(database: Database, pages: Pages) -> None:
    await org_of(database, "Acme & Co")
    given = form(name="many", orgs="Acme & Co\r\n", tags="gold, emea", quiet="22:00-07:00", zone="Europe/Berlin")
    status, _, headers = await pages.post("/alerts/rules/new", HTML, given | {"do": "save"})
    assert status == 303
    page = await pages.page(headers["Location"])
    assert "The rule many is added" in page.one("ul", class_="notices").text
    assert "Acme & Co; tagged gold or emea" in page.one("table", class_="rules").text
    rule = await find_rule(database, "many")
    assert (rule.threshold, rule.clear_seconds, rule.tags, rule.enabled) == (10, 1800, ("gold", "emea"), True)
    page = await pages.page("/alerts/rules/many")
    assert page.one("textarea", name_="orgs").text == "Acme & Co"
    assert page.one("input", name_="quiet")["value"] == "22:00-07:00"
    changed = form(metric="parked", severity="critical")
    del changed["enabled"]
    await pages.post("/alerts/rules/many", HTML, changed | {"do": "save"})
    rule = await find_rule(database, "many")
    assert (rule.metric, rule.threshold, rule.org_ids, rule.quiet, rule.enabled) == ("parked", None, (), None, False)
    _, _, headers = await pages.post("/alerts/rules/many/remove")
    page = await pages.page(headers["Location"])
    assert "many" not in names(page)
    undo = page.one("ul", class_="notices").one("form", method="post")["action"]
    _, _, headers = await pages.post(undo, HTML, {"undo": "1"})
    assert "many" in names(await pages.page(headers["Location"]))


async def test_addresses_are_saved_and_never_shown(database: Database, pages: Pages) -> None:
    url = f"mailtos://poller:{SECRET}@mail.example"
    await pages.post("/alerts/rules/step", HTML, form(metric="step", to="replace", urls=url) | {"do": "save"})
    assert await database.fetchval("SELECT count(*) FROM notify_addresses") == 1
    for path in ("/alerts/rules", "/alerts/rules/step"):
        _, text, _ = await pages.get(path)
        assert "mailtos://…" in text, path
        assert SECRET not in text
    wrong = form(metric="step", to="replace", urls=url, severity="loud") | {"do": "save"}
    status, text, _ = await pages.post("/alerts/rules/step", HTML, wrong)
    assert status == 400
    assert SECRET not in text
    await pages.post("/alerts/rules/step", HTML, form(metric="step", to="keep") | {"do": "save"})
    assert await database.fetchval("SELECT count(*) FROM notify_addresses") == 1
    await pages.post("/alerts/rules/step", HTML, form(metric="step") | {"do": "save"})
    assert await database.fetchval("SELECT count(*) FROM notify_addresses") == 0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "No Name"}, "cannot be the name"),
        ({"name": "new"}, "cannot be named new"),
        ({"name": "step"}, "a rule named step exists"),
        ({"name": ""}, "cannot be the name"),
        ({"metric": "users"}, "no such metric"),
        ({"threshold": ""}, "threshold is missing"),
        ({"threshold": "many"}, "not a number"),
        ({"threshold": "nan"}, "not a number"),
        ({"threshold": "1e300"}, "not a number"),
        ({"comparison": "~"}, "not compared"),
        ({"for_": "soon"}, "not a duration"),
        ({"clear": "9y"}, "more than a year"),
        ({"severity": "loud"}, "no such severity"),
        ({"orgs": "Nobody Ltd"}, "Nobody Ltd"),
        ({"quiet": "always"}, "no quiet hours"),
        ({"quiet": "22:00-07:00", "zone": "Berlin"}, "Berlin"),
        ({"to": "replace", "urls": ""}, "no address is written"),
        ({"to": "replace", "urls": "nonsense"}, "address"),
    ],
)
async def test_a_wrong_form_comes_back_as_it_was_written_with_what_is_wrong(
    database: Database, pages: Pages, fields: dict[str, str], says: str
) -> None:
    given = form(**{"name": "mine", "tags": "as written", **fields})
    status, text, _ = await pages.post("/alerts/rules/new", HTML, given | {"do": "save"})
    page = parse(text)
    assert status == 400
    (notice,) = page.all("div", role="alert")
    assert says.lower() in notice.text.lower()
    assert page.one("input", name_="tags")["value"] == "as written"
    assert await database.fetchval("SELECT count(*) FROM alert_rules") == 8


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/alerts/rules/new", {"colour": "red", "do": "save"}),
        ("/alerts/rules/new", {"name": "x" * 30_000, "do": "save"}),
        ("/alerts/rules/new", {"orgs": "\x00", "do": "save"}),
        ("/alerts/rules/new", {"orgs": "\x00", "do": "preview"}),
    ],
)
async def test_a_form_that_no_page_sends_is_refused(pages: Pages, path: str, given: dict[str, str]) -> None:
    status, text, _ = await pages.post(path, HTML, given)
    assert status == 400
    assert parse(text).one("h1").text


async def test_a_rule_that_does_not_exist_is_not_found(pages: Pages) -> None:
    for name in ("nothing", "No", "%00", "x" * 500):
        status, text, _ = await pages.get(f"/alerts/rules/{name}")
        assert (status, parse(text).one("h1").text) == (404, "There is no such rule")
        assert (await pages.post(f"/alerts/rules/{name}", HTML, form() | {"do": "save"}))[0] == 404
        assert (await pages.post(f"/alerts/rules/{name}/remove"))[0] == 404


async def test_the_preview_says_what_the_rule_would_have_done(database: Database, pages: Pages) -> None:
    org = await org_of(database, "Acme & Co")
    now = database.clock.now().replace(hour=12, minute=0, second=0, microsecond=0)
    for back in range(12, 1, -1):
        slot, users = now - timedelta(days=back), 50 if back in {6, 5} else 5
        counts = dict.fromkeys(USER_TYPES, users)
        await write_snapshots(database, [Snapshot(org, slot, slot, Outcome.OK, requests=10, counts=counts)])
    await roll_up(database, now.date())
    _, text, _ = await pages.post("/alerts/rules/new", HTML, form(threshold="20", do="preview"))
    page = parse(text)
    assert "1 alert of 1 org" in page.one("section", id="preview").text
    assert "Acme & Co" in page.one("table", class_="preview").text
    assert page.one("input", name_="threshold")["value"] == "20"
    part = {**HTML, "X-Preview": "1"}
    await org_of(database, "Birch")
    await pages.post("/alerts/rules/new", HTML, form(name="birch", orgs="Birch", threshold="20") | {"do": "save"})
    _, text, _ = await pages.post("/alerts/rules/birch", part, form(orgs="Birch", threshold="20"))
    assert "0 alerts of 0 orgs" in parse(text).text
    _, text, _ = await pages.post("/alerts/rules/birch", part, form(threshold="20"))
    assert "1 alert of 1 org" in parse(text).text, "the form without orgs is about every org"
    await database.execute("DELETE FROM alert_rules WHERE name = 'birch'")
    status, text, _ = await pages.post("/alerts/rules/seats_used", part, form(threshold="60"))
    assert (status, "0 alerts of 0 orgs" in parse(text).text) == (200, True)
    _, text, _ = await pages.post("/alerts/rules/new", part, form(metric="parked"))
    assert "Not known: when orgs were parked is not kept" in parse(text).text
    _, text, _ = await pages.post("/alerts/rules/new", part, form(threshold=""))
    assert "The threshold is missing" in parse(text).text
    assert await database.fetchval("SELECT count(*) FROM alert_rules") == 8


@pytest.mark.parametrize("metric", METRICS)
async def test_every_metric_has_a_preview(pages: Pages, metric: str) -> None:
    status, text, _ = await pages.post("/alerts/rules/new", {**HTML, "X-Preview": "1"}, form(metric=metric))
    assert status == 200
    assert "threshold is missing" not in text


async def test_an_exclusion_is_added_with_its_reason_and_ended(database: Database, pages: Pages) -> None:
    await org_of(database, "Acme & Co")
    given = {"rule": "step", "org": "Acme & Co", "user_type": "", "reason": "they reorganize", "until": "30d"}
    _, _, headers = await pages.post("/alerts/exclusions", HTML, given)
    page = await pages.page(headers["Location"])
    table = page.one("table", class_="exclusions")
    assert "Acme & Co" in table.text
    assert "they reorganize" in table.text
    hidden = {one["name"]: one["value"] for one in table.all("input")}
    _, _, headers = await pages.post("/alerts/exclusions/end", HTML, hidden)
    assert "Nothing is excluded" in (await pages.page(headers["Location"])).one("section", id="exclusions").text
    for wrong, says in (
        ({}, "nothing is given"),
        ({"org": "Nobody"}, "Nobody"),
        ({"rule": "nothing"}, "there is no rule"),
        ({"rule": "step", "until": "yesterday"}, "not a time"),
        ({"rule": "step", "reason": "\x00"}, "not text"),
        ({"user_type": "Robots"}, "Robots"),
    ):
        _, _, headers = await pages.post("/alerts/exclusions", HTML, wrong)
        notice = (await pages.page(headers["Location"])).one("ul", class_="notices").text
        assert says.lower() in notice.lower(), (wrong, notice)


async def test_a_caller_who_may_only_see_changes_no_rule(database: Database, pages: Pages) -> None:
    reads = {**HTML, "Authorization": f"Bearer {KEY}"}
    _, text, _ = await pages.get("/alerts/rules/step", reads)
    assert "may see rules, and not change them" in parse(text).text
    assert (await pages.post("/alerts/rules/step", reads, form(metric="step") | {"do": "preview"}))[0] == 200
    # A browser sends no field of a form that is disabled.
    _, text, _ = await pages.post("/alerts/rules/seats_used", {**reads, "X-Preview": "1"}, {"to": "default"})
    assert "0 alerts of 0 orgs" in parse(text).text
    _, text, _ = await pages.post("/alerts/rules/seats_used", reads, {"do": "preview"})
    assert parse(text).one("input", name_="threshold")["value"] == "95"
    assert "0 alerts of 0 orgs" in parse(text).one("section", id="preview").text
    for path in ("/alerts/rules/step", "/alerts/rules/new", "/alerts/rules/step/remove", "/alerts/exclusions"):
        assert (await pages.post(path, reads, form(metric="step") | {"do": "save"}))[0] == 403, path
    assert await database.fetchval("SELECT count(*) FROM alert_rules WHERE removed_at IS NULL") == 8
