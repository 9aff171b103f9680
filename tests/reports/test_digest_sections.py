"""The digest: what changed, needs a person, runs out and is unknown; short, with links, as text, HTML and JSON."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from poller.core.digest_schedule import DigestPeriod
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.query.digest import read_digest
from poller.query.rows import json_text
from poller.reports.digest import make_digest
from poller.store.series.snapshots import write_snapshots
from tests.query.fleet_rows import Row, write

if TYPE_CHECKING:
    from poller.reports.digest import Digest
    from poller.store.database import Database

ORIGIN = "https://poller.example"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def counted(org_id: int, slot: datetime, users: int) -> Snapshot:
    return Snapshot(org_id, slot, slot, Outcome.OK, requests=10, counts=dict.fromkeys(USER_TYPES, users))


def failed(org_id: int, slot: datetime, error: str = "http_503") -> Snapshot:
    return Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, error, requests=10)


async def digest(database: Database, *, days: int = 1, origin: str | None = ORIGIN) -> Digest:
    now = database.clock.now()
    facts = await read_digest(database, DigestPeriod(now - days * DAY, now))
    return make_digest(facts, "Europe/Berlin", origin)


def section(text: str, title: str) -> list[str]:
    """The lines of one section of the text."""
    return text.partition(f"{title.upper()}\n")[2].partition("\n\n")[0].splitlines()


async def old(database: Database) -> None:
    """Makes every org older than the period."""
    await database.execute("UPDATE orgs SET created_at = now() - interval '90 days'")


async def test_changes_are_those_between_both_ends_the_largest_first(database: Database) -> None:
    up, down, still, new = await write(database, [Row("up"), Row("down"), Row("still"), Row("new & <b>")])
    await old(database)
    await database.execute("UPDATE orgs SET created_at = now() - interval '2 hours' WHERE id = $1", new)
    now = database.clock.now()
    for org, before, after in ((up, 10, 40), (down, 100, 20), (still, 5, 5)):
        await write_snapshots(database, [counted(org, now - 25 * HOUR, before), counted(org, now - HOUR, after)])
    await write_snapshots(database, [counted(new, now - HOUR, 7)])
    found = await digest(database)
    assert section(found.text, "What changed") == [
        "−50 active users in 3 orgs with counts at both ends; 2 orgs changed",
        "        −80  down: 100 → 20",
        "        +30  up: 10 → 40",
        "        new  1 org: new & <b>",
    ]
    assert "new &amp; &lt;b&gt;" in found.html
    assert f'href="{ORIGIN}/orgs/{down}"' in found.html
    changed = found.fields["changed"]
    assert [(one["org"], one["change"]) for one in changed["moves"]] == [("down", -80), ("up", 30)]
    assert (changed["net"], changed["compared"], changed["added_count"]) == (-50, 3, 1)


async def test_an_org_that_was_removed_in_the_period_is_named(database: Database) -> None:
    await write(database, [Row("gone"), Row("gone long ago"), Row("there")])
    await old(database)
    await database.execute("UPDATE orgs SET removed_at = now() - interval '1 hour' WHERE name = 'gone'")
    await database.execute("UPDATE orgs SET removed_at = now() - interval '2 days' WHERE name = 'gone long ago'")
    assert section((await digest(database)).text, "What changed") == ["    removed  1 org: gone"]
    assert section((await digest(database, days=3)).text, "What changed") == [
        "    removed  2 orgs: gone, gone long ago"
    ]


async def test_orgs_and_alerts_that_need_a_person_are_grouped_with_what_to_do(database: Database) -> None:
    await write(database, [*(Row(f"parked {n}", state="parked") for n in range(1, 5)), Row("ok"), Row("full")])
    await database.execute(
        """
        INSERT INTO alert_states (rule_id, org_id, state, severity, since, fired_at, counted_from, message, remedy)
        SELECT r.id, o.id, 'firing', r.severity, now(), now(), now(), o.name || ' needs a look', 'look at it'
        FROM alert_rules r, orgs o
        WHERE (r.name = 'org_parked' AND o.name LIKE 'parked%') OR (r.name = 'admins_up' AND o.name = 'ok')
           OR (r.name = 'seats_used' AND o.name IN ('full', 'ok'))
        """
    )
    found = await digest(database)
    lines = section(found.text, "What needs a person")
    heads = [line.split("since")[0].strip() for line in lines if not line.startswith(" " * 12)]
    assert heads == [
        "1  admins_up: critical",
        "4  parked: invalid_code: parked 1, parked 2, parked 3 and 1 more",
        "2  seats_used: warning",
    ]
    assert "ok needs a look" in found.text
    assert f'href="{ORIGIN}/alerts?rule=admins_up"' in found.html
    assert f'href="{ORIGIN}/?state=parked"' in found.html
    assert found.title.endswith(": 4 orgs need a person")
    assert "4 orgs need a person · 7 alerts fire" in " ".join(found.text.split())
    assert found.fields["needs_a_person"]["firing"] == 7


async def test_what_runs_out_is_cut_with_a_link_to_all_of_it(database: Database) -> None:
    await write(database, [Row(f"org {n:02}", count=10, seats=20, runs_out_in=n * 4) for n in range(1, 30)])
    lines = section((await digest(database)).text, "What runs out")
    assert lines[0] == "Seats: 7 orgs within 30 days, 22 within 90 days"
    assert len(lines) == 8
    assert lines[1].endswith("org 01: 10 of 20 seats used")
    assert lines[-1].strip() == f"and 16 more: {ORIGIN}/seats?show=runs_out_90"


async def test_hours_without_counts_last_until_the_next_slot(database: Database) -> None:
    bad, good = await write(database, [Row("bad"), Row("good")])
    now = database.clock.now().replace(minute=0, second=0, microsecond=0)
    slots = [failed(bad, now - 20 * HOUR), failed(bad, now - 14 * HOUR, "http_500"), counted(bad, now - 12 * HOUR, 5)]
    await write_snapshots(database, [*slots, failed(bad, now - 3 * HOUR), counted(bad, now - 2 * HOUR, 5)])
    await write_snapshots(database, [counted(good, now - n * HOUR, 5) for n in range(20)])
    found = await digest(database)
    lines = section(found.text, "What is unknown")
    assert lines[:2] == ["1 org without counts for 9 h in all", "        9 h  bad: http_503"]
    assert found.fields["unknown"]["orgs_count"] == 1


async def test_orgs_that_were_never_polled_are_unknown(database: Database) -> None:
    await write(database, [Row("new", state="never_polled", count=None)])
    assert "          1  never polled: new" in section((await digest(database)).text, "What is unknown")


async def test_where_there_is_nothing_each_section_says_so(database: Database) -> None:
    found = await digest(database, origin=None)
    assert section(found.text, "What needs a person") == ["No alert fires, and no org needs a person."]
    assert section(found.text, "What is unknown") == ["The counts of all orgs were known all the time."]
    assert found.title.endswith(": nothing needs a person")
    assert "href" not in found.html
    assert "http" not in found.text
    assert json.loads(json_text(found.fields))["orgs"] == 0


class _Names(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)


async def test_the_html_is_safe_for_mail(database: Database) -> None:
    """No style sheet, script, picture or class, and nothing is loaded."""
    await write(database, [Row("parked", state="parked"), Row("out", seats=11, runs_out_in=3)])
    names = _Names()
    names.feed((await digest(database)).html)
    assert names.names.isdisjoint({"style", "script", "img", "link", "svg", "form", "iframe"})
    assert names.attributes.isdisjoint({"class", "id", "src", "onclick"})
    assert "style" in names.attributes
