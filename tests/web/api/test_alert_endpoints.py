"""Alerts over the API: filters, history, acknowledging and snoozing, rules, and what a key with tags sees."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from poller.web.api.alert_endpoints import ALERT_ENDPOINTS
from tests.alert_rows import add_alert
from tests.store.fleet import added, entry
from tests.web.api.fleet import KEYRING, client_of, keys_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from tests.web.api.fleet import Client, Reply

REPLIES = {(one.method, one.path): one.reply for one in ALERT_ENDPOINTS}


@dataclass
class Desk:
    """Alerts of two orgs, the first with the tag gold, and one about no org; and keys by name."""

    client: Client
    ids: dict[str, int]
    keys: dict[str, str]

    async def ask(self, path: str, key: str = "operator", body: Any = None, **headers: str) -> Reply:
        """GET without a body, else POST."""
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        shown["Authorization"] = f"Bearer {self.keys[key]}"
        if body is None:
            return await self.client.ask(path, shown)
        return await self.client.ask(path, shown, "POST", orjson.dumps(body))

    async def listed(self, query: str = "", key: str = "operator") -> list[str]:
        """The names of the alerts in a list, in its order."""
        reply = await self.ask(f"/alerts{query}", key)
        assert reply.status == 200, reply.body
        names = {number: name for name, number in self.ids.items()}
        return [names[one["id"]] for one in reply.json["items"]]


@asynccontextmanager
async def desk_of(database: Database, database_url: str) -> AsyncIterator[Desk]:
    acme, birch = await added(database, KEYRING, *map(entry, ("Acme", "Birch")))
    await database.execute("UPDATE orgs SET tags = '{gold}' WHERE id = $1", acme)
    ids = {
        "seats": await add_alert(database, "seats_used", acme),
        "parked": await add_alert(database, "org_parked", birch, severity="critical", message="it is parked"),
        "clock": await add_alert(database, "worker_clock", None, subject="host-1", severity="critical"),
        "pending": await add_alert(database, "seats_run_out", acme, "pending"),
        "over": await add_alert(database, "step", birch, "resolved"),
        "long over": await add_alert(database, "step", acme, "resolved", resolved_hours_ago=40),
    }
    keys = await keys_of(database)
    async with client_of(database_url, may_write=True) as client:
        yield Desk(client, ids, keys)


async def test_alerts_are_filtered_and_those_that_fire_come_first(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        assert await desk.listed() == ["clock", "parked", "seats", "pending", "over"]
        assert await desk.listed("?state=resolved") == ["long over", "over"]
        assert await desk.listed("?state=firing&state=pending&org=Acme") == ["seats", "pending"]
        assert await desk.listed("?tag=gold&rule=seats_used") == ["seats"]
        assert await desk.listed("?severity=critical&data_center=eu") == ["parked"]
        assert await desk.listed("?q=is+parked") == ["parked"]
        assert await desk.listed("?q=100%25") == []
        wrong = await desk.ask("/alerts?state=on_fire")
        assert (wrong.status, wrong.json["errors"][0]["parameter"]) == (400, "state")
        lines = (await desk.ask("/alerts?format=csv")).body.decode().splitlines()
        assert lines[0].startswith("id,rule,org,user_type,state,severity,since,value,threshold,message,remedy")
        assert len(lines) == 6


async def test_an_alert_is_acknowledged_and_snoozed_and_both_are_undone(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        path = f"/alerts/{desk.ids['seats']}"
        done = await desk.ask(f"{path}/ack", body={})
        REPLIES["POST", "/alerts/{id}/ack"].model_validate_json(done.body)
        assert (done.status, done.headers["Location"]) == (200, f"/api/v1{path}")
        assert (done.json["changed"], done.json["alert"]["state"]) == (True, "acknowledged")
        assert not (await desk.ask(f"{path}/ack", body={})).json["changed"]
        assert (await desk.ask(f"{path}/ack", body={"undo": True})).json["alert"]["state"] == "firing"
        snoozed = (await desk.ask(f"{path}/snooze", body={"for": "7d"})).json["alert"]
        assert (snoozed["state"], snoozed["snoozed_until"] > snoozed["since"]) == ("snoozed", True)
        until = await desk.ask(f"{path}/snooze", body={"until": snoozed["snoozed_until"]})
        assert not until.json["changed"]
        for ended in ({"undo": True}, {"for": "0"}):
            assert (await desk.ask(f"{path}/snooze", body=ended)).json["alert"]["state"] == "firing"
            await desk.ask(f"{path}/snooze", body={"for": "1h"})
        found = await desk.ask(path)
        REPLIES["GET", "/alerts/{id}"].model_validate_json(found.body)
        history = [(one["to_state"], one["by"]) for one in reversed(found.json["history"])]
        assert history[:4] == [
            ("firing", "poller"),
            ("acknowledged", "operator"),
            ("firing", "operator"),
            ("snoozed", "operator"),
        ]
        rows = await database.fetch("SELECT caller, action FROM audit WHERE action <> 'seen' ORDER BY id LIMIT 5")
        words = ("key_added", "key_added", "key_added", "acknowledge", "unacknowledge")
        assert [row["action"] for row in rows] == list(words)
        assert rows[-1]["caller"] == "operator"


async def test_a_wrong_body_is_refused_with_the_field_and_a_remedy(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        path = f"/alerts/{desk.ids['seats']}/snooze"
        for body, field in (
            ({}, "body"),
            ([], "body"),
            ({"for": "7d", "undo": True}, "body"),
            ({"for": 7}, "for"),
            ({"for": "a week"}, "for"),
            ({"until": "yesterday"}, "until"),
            ({"until": "2020-01-01"}, "until"),
            ({"undo": "yes"}, "undo"),
            ({"surprise": 1}, "surprise"),
        ):
            reply = await desk.ask(path, body=body)
            assert (reply.status, reply.json["errors"][0]["parameter"]) == (400, field), body
            assert reply.json["remedy"]
        unclear = await desk.ask(path, body={"for": "a week"})
        assert unclear.json["detail"] == "for: write a duration such as 15m, 4h or 7d, or 0"
        raw = {"Authorization": f"Bearer {desk.keys['operator']}"}
        assert (await desk.client.ask(path, raw, "POST", b"{")).json["errors"][0]["detail"] == "it is not JSON"
        over = await desk.ask(f"/alerts/{desk.ids['over']}/ack", body={})
        assert (over.status, over.json["detail"]) == (409, f"the alert {desk.ids['over']} is resolved")


async def test_a_key_with_tags_sees_and_handles_only_the_alerts_of_its_orgs(
    database: Database, database_url: str
) -> None:
    async with desk_of(database, database_url) as desk:
        assert await desk.listed(key="gold") == ["seats", "pending"]
        assert await desk.listed("?state=resolved", "gold") == ["long over"]
        for part, body in (("", None), ("/ack", {}), ("/snooze", {"for": "1h"})):
            unknown = await desk.ask(f"/alerts/999{part}", "gold", body)
            assert unknown.status == 404
            for name in ("parked", "clock"):
                foreign = await desk.ask(f"/alerts/{desk.ids[name]}{part}", "gold", body)
                assert (foreign.status, foreign.body) == (404, unknown.body)
            assert (await desk.ask(f"/alerts/{desk.ids['seats']}{part}", "gold", body)).status == 200
        assert (await desk.ask("/alerts/rules", "gold")).status == 403
        assert (await desk.ask("/alerts/rules/step/remove", "gold", {})).status == 403
        states = await database.fetch("SELECT state FROM alert_states WHERE id = ANY($1)", [*desk.ids.values()][1:3])
        assert [row["state"] for row in states] == ["firing", "firing"]


async def test_a_key_that_may_only_read_changes_no_alert(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        for path in ("/alerts/1/ack", "/alerts/999/snooze", "/alerts/rules/step", "/alerts/rules/step/remove"):
            reply = await desk.ask(path, "reader", {})
            assert (reply.status, reply.json["detail"]) == (403, "the key 'reader' lacks the right 'operate'")


async def test_an_idempotency_key_is_bound_to_the_body_of_a_request(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        path = f"/alerts/{desk.ids['seats']}/snooze"
        first = await desk.ask(path, body={"for": "1h"}, Idempotency_Key="one")
        again = await desk.ask(path, body={"for": "1h"}, Idempotency_Key="one")
        assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
        assert again.headers["Location"] == first.headers["Location"]
        other = await desk.ask(path, body={"for": "2h"}, Idempotency_Key="one")
        assert (other.status, other.json["errors"][0]["parameter"]) == (422, "Idempotency-Key")


async def test_a_rule_is_added_changed_removed_and_brought_back(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        path = "/alerts/rules/many_admins"
        fields = {"metric": "AdminUsers", "comparison": ">", "threshold": 10, "for": "1h", "orgs": ["Acme"]}
        made = await desk.ask(path, body={**fields, "quiet": "22:00-07:00", "zone": "Europe/Berlin"})
        REPLIES["POST", "/alerts/rules/{name}"].model_validate_json(made.body)
        assert made.json["message"].startswith("The rule is added.")
        changed = await desk.ask(path, body={"threshold": 12.5, "comparison": ">=", "enabled": False})
        assert changed.json["message"].startswith("The rule is changed.")
        listed = {one["name"]: one for one in (await desk.ask("/alerts/rules", "reader")).json["items"]}
        assert listed["many_admins"] == {
            "name": "many_admins",
            "metric": "AdminUsers",
            "comparison": ">=",
            "threshold": 12.5,
            "unit": "users",
            "for_seconds": 3_600,
            "clear_seconds": 1_800,
            "severity": "warning",
            "orgs": ["Acme"],
            "tags": [],
            "data_centers": [],
            "quiet": {"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"},
            "to": [],
            "enabled": False,
        }
        assert len(listed) == 9
        refused = await desk.ask(path, body={"to": ["http://user:s3cret@example.org/hook"]})
        assert refused.json["detail"] == "the address: http:// is not a scheme of Apprise"
        assert "webhook+https://" in refused.json["remedy"]
        assert (await desk.ask(f"{path}/remove", body={})).json["rule"] is None
        gone = await desk.ask(f"{path}/remove", body={})
        assert (gone.status, gone.json["detail"]) == (404, "there is no rule 'many_admins'")
        assert (await desk.ask(f"{path}/remove", body={"undo": True})).json["rule"]["threshold"] == 12.5
        for body, status in (({"metric": "users"}, 400), ({"orgs": ["Nobody"]}, 400), ({"threshold": "9"}, 400)):
            assert (await desk.ask(path, body=body)).status == status
