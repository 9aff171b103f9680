"""Exclusions over the API: adding, replacing and ending them, again and again, and what a key with tags sees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from poller.web.api.alert_endpoints import ALERT_ENDPOINTS
from tests.web.api.test_alert_endpoints import desk_of

if TYPE_CHECKING:
    from poller.store.database import Database
    from tests.web.api.test_alert_endpoints import Desk

PATH = "/alerts/exclusions"
REPLIES = {(one.method, one.path): one.reply for one in ALERT_ENDPOINTS}


async def change(desk: Desk, key: str = "operator", **body: Any) -> Any:
    """The reply to a change that is not refused."""
    reply = await desk.ask(PATH, key, body)
    assert reply.status == 200, reply.body
    assert reply.headers["Location"] == "/api/v1/alerts/exclusions"
    REPLIES["POST", PATH].model_validate_json(reply.body)
    return reply.json


async def listed(desk: Desk, query: str = "", key: str = "operator") -> list[tuple[Any, ...]]:
    """Rule, org and user type of each exclusion in the list."""
    reply = await desk.ask(f"{PATH}{query}", key)
    assert reply.status == 200, reply.body
    REPLIES["GET", PATH].model_validate_json(reply.body)
    return [(one["rule"], one["org"], one["user_type"]) for one in reply.json["items"]]


async def actions(database: Database) -> list[str]:
    rows = await database.fetch("SELECT action FROM audit WHERE action IN ('excluded', 'included') ORDER BY id")
    return [row["action"] for row in rows]


async def test_an_exclusion_is_added_replaced_and_ended_and_repeating_changes_nothing(
    database: Database, database_url: str
) -> None:
    async with desk_of(database, database_url) as desk:
        subjects: dict[str, Any] = {"rule": "seats_used", "orgs": ["Acme", "Birch"], "user_type": "activeusers"}
        made = await change(desk, **subjects, reason="they  reorganize", until="30d")
        assert [one["org"] for one in made["exclusions"]] == ["Acme", "Birch"]
        first = made["exclusions"][0]
        assert (made["changed"], first["reason"], first["by"]) == (True, "they reorganize", "operator")
        end = datetime.fromisoformat(first["until"]) - datetime.now(UTC)
        assert timedelta(days=29, hours=23) < end <= timedelta(days=30, minutes=1)
        for changed in (True, False):
            again = await change(desk, **subjects, reason="longer")
            assert (again["changed"], again["exclusions"][0]["until"]) == (changed, None)
        assert await listed(desk) == [("seats_used", name, "ActiveUsers") for name in ("Acme", "Birch")]
        assert await actions(database) == ["excluded"] * 4, "an entry for each org"
        assert not (await change(desk, rule="seats_used", orgs=["Acme"], undo=True))["changed"], "another subject"
        ended = await change(desk, **subjects, undo=True)
        assert (ended["changed"], len(ended["exclusions"])) == (True, 2)
        ended = await change(desk, **subjects, undo=True)
        assert (ended["changed"], ended["exclusions"]) == (False, [])
        assert await listed(desk) == []
        assert await actions(database) == ["excluded"] * 4 + ["included"] * 2


async def test_exclusions_are_listed_by_org_and_rule_in_pages_and_as_csv(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        await change(desk, rule="step")
        await change(desk, orgs=["Acme"], reason="=trial")
        await change(desk, rule="step", orgs=["Birch"], until="2999-12-31T08:00:00Z")
        assert await listed(desk) == [("step", None, None), (None, "Acme", None), ("step", "Birch", None)]
        assert await listed(desk, "?rule=step") == [("step", None, None), ("step", "Birch", None)]
        assert await listed(desk, "?org=Acme&org=Birch") == [(None, "Acme", None), ("step", "Birch", None)]
        items = await desk.ask(f"{PATH}?limit=2")
        following = await desk.ask(f"{PATH}?limit=2&cursor={items.json['next_cursor']}")
        assert [one["org"] for one in following.json["items"]] == ["Birch"]
        assert following.json["next_cursor"] is None
        lines = (await desk.ask(f"{PATH}?format=csv")).body.decode().splitlines()
        assert lines[0] == "rule,org,org_id,user_type,reason,until,by"
        assert [line.split(",")[1] for line in lines[1:]] == ["", "Acme", "Birch"]
        assert "'=trial" in lines[2]


async def test_an_excluded_org_that_was_removed_is_still_included_again(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        await change(desk, orgs=["Acme"])
        await database.execute("UPDATE orgs SET removed_at = now() WHERE name = 'Acme'")
        await database.execute("UPDATE alert_rules SET removed_at = now() WHERE name = 'step'")
        assert (await desk.ask(PATH, body={"orgs": ["Acme"]})).status == 400
        assert (await desk.ask(PATH, body={"rule": "step"})).status == 400
        assert (await change(desk, orgs=["Acme"], undo=True))["changed"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "nothing is given to exclude"),
        ({"undo": True}, "nothing is given to exclude"),
        ({"orgs": []}, "nothing is given to exclude"),
        ({"orgs": ["Unknown Ltd"]}, "there is no org 'Unknown Ltd'"),
        ({"rule": "nothing"}, "there is no rule 'nothing'"),
        ({"rule": "No"}, "rule: it has a character that is not allowed here"),
        ({"user_type": "Robots"}, "'Robots' is not a user type"),
        ({"rule": "step", "until": "yesterday"}, "'yesterday' is not a time to come"),
        ({"rule": "step", "until": "2020-01-01"}, "2020-01-01 is not in the future"),
        ({"rule": "step", "reason": "\x00"}, "reason: it has a character that is not allowed here"),
        ({"rule": "step", "tag": "gold"}, "tag: Extra inputs are not permitted"),
    ],
)
async def test_a_wrong_exclusion_is_refused_with_a_remedy(
    database: Database, database_url: str, body: dict[str, Any], detail: str
) -> None:
    async with desk_of(database, database_url) as desk:
        reply = await desk.ask(PATH, body=body)
        assert (reply.status, reply.json["detail"]) == (400, detail)
        assert reply.json["remedy"]
        assert await listed(desk) == []


async def test_a_key_with_tags_sees_and_changes_only_the_exclusions_of_its_orgs(
    database: Database, database_url: str
) -> None:
    async with desk_of(database, database_url) as desk:
        await database.execute("UPDATE orgs SET name = 'Acme 2' WHERE name = 'Birch'")
        await change(desk, rule="step")
        await change(desk, orgs=["Acme 2"])
        await change(desk, "gold", rule="seats_used", orgs=["Acme"], reason="ours")
        await change(desk, orgs=["Acme"], user_type="AdminUsers")
        mine = [("seats_used", "Acme", None), (None, "Acme", "AdminUsers")]
        assert await listed(desk, key="gold") == mine
        assert await listed(desk, "?org=Acme+2", "gold") == []
        unknown = await desk.ask(PATH, "gold", {"orgs": ["Acme 3"]})
        foreign = await desk.ask(PATH, "gold", {"orgs": ["Acme 2"], "undo": True})
        assert (foreign.status, unknown.status) == (400, 400)
        assert foreign.body == unknown.body.replace(b"Acme 3", b"Acme 2")
        assert b"did you mean 'Acme'?" in foreign.body
        # None of its orgs has had an alert of this rule, so the key may not see the rule.
        rule = await desk.ask(PATH, "gold", {"rule": "org_parked", "orgs": ["Acme"]})
        assert (rule.status, rule.json["errors"][0]["parameter"]) == (400, "rule")
        # An exclusion that an operator made for its org names the rule, and can be ended.
        await change(desk, rule="org_parked", orgs=["Acme"])
        assert await listed(desk, key="gold") == [*mine, ("org_parked", "Acme", None)]
        assert (await change(desk, "gold", rule="org_parked", orgs=["Acme"], undo=True))["changed"]
        for body in ({"rule": "step"}, {"user_type": "AdminUsers"}, {"rule": "step", "undo": True}, {}):
            refused = await desk.ask(PATH, "gold", body)
            assert (refused.status, refused.json["detail"]) == (400, "an exclusion without orgs is about every org")
        assert (await change(desk, "gold", orgs=["Acme"], user_type="AdminUsers", undo=True))["changed"]
        assert len(await listed(desk)) == 3


async def test_a_key_that_may_only_read_sees_exclusions_and_changes_none(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        await change(desk, rule="step")
        assert await listed(desk, key="reader") == [("step", None, None)]
        for body in ({"rule": "step", "undo": True}, {"rule": "nothing"}, {}):
            refused = await desk.ask(PATH, "reader", body)
            assert (refused.status, refused.json["detail"]) == (403, "the key 'reader' lacks the right 'operate'")
        assert await listed(desk) == [("step", None, None)]


async def test_an_exclusion_with_an_idempotency_key_is_made_once(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        replies = [await desk.ask(PATH, body={"rule": "step", "until": "7d"}, Idempotency_Key="one") for _ in "12"]
        assert (replies[1].body, replies[1].headers["Idempotency-Replayed"]) == (replies[0].body, "true")
        other = await desk.ask(PATH, body={"rule": "step", "undo": True}, Idempotency_Key="one")
        assert (other.status, len(await listed(desk))) == (422, 1)
