"""Poll, pause and resume over the API: rights, tags, conflicts, repeated requests, and the audit log."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from poller.admin.access import add_key
from poller.core.callers import Right
from poller.store.database import connect
from poller.web.api.cursors import Cursors
from poller.web.api.endpoints import ENDPOINTS
from poller.web.api.models.orgs import OperationReply
from tests.store.fleet import added, entry
from tests.web.api.fleet import KEYRING, OK, client_of, keys_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from tests.web.api.conftest import SharedFleet
    from tests.web.api.fleet import Client, Reply


@dataclass
class Desk:
    """Three orgs, the first with the tag gold; and a client with keys by name."""

    client: Client
    orgs: list[int]
    keys: dict[str, str]

    async def post(self, org: int, action: str, key: str = "operator", **headers: str) -> Reply:
        """Sends an operation with one of the keys."""
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.ask(
            f"/orgs/{org}/{action}", {"Authorization": f"Bearer {self.keys[key]}", **shown}, "POST"
        )


@asynccontextmanager
async def desk_of(database: Database, database_url: str) -> AsyncIterator[Desk]:
    orgs = await added(database, KEYRING, *map(entry, ("Acme", "Birch", "Cedar")))
    await database.execute("UPDATE orgs SET tags = '{gold}' WHERE id = $1", orgs[0])
    keys = await keys_of(database)
    async with client_of(database_url, may_write=True) as client:
        yield Desk(client, orgs, keys)


async def test_an_operation_answers_its_model_and_says_what_happens(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        org = desk.orgs[1]
        polled = await desk.post(org, "poll")
        assert (polled.status, polled.headers["Location"]) == (202, f"/api/v1/orgs/{org}/polls")
        told = OperationReply.model_validate_json(polled.body)
        assert (told.changed, told.workers, told.org) == (True, 0, "Birch")
        assert "No worker runs" in told.message
        paused = await desk.post(org, "pause")
        assert paused.status == 200
        refused = await desk.post(org, "poll")
        assert (refused.status, refused.json["detail"]) == (409, "the org 'Birch' is paused")
        assert (await desk.post(org, "resume")).json["changed"]
        rows = await database.fetch("SELECT caller, action, org_id FROM audit WHERE org_id = $1 ORDER BY id", org)
        assert [tuple(row) for row in rows] == [("operator", word, org) for word in ("poll", "pause", "resume")]


async def test_a_key_without_the_right_is_refused_by_its_name_even_for_an_unknown_org(
    database: Database, database_url: str
) -> None:
    async with desk_of(database, database_url) as desk:
        for org in (desk.orgs[0], 2_000_000_000):
            for action in ("poll", "pause", "resume"):
                reply = await desk.post(org, action, "reader")
                assert reply.status == 403
                assert reply.json["detail"] == "the key 'reader' lacks the right 'operate'"
        assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 0


async def test_an_org_of_other_tags_is_the_same_404_byte_for_byte(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        for action in ("poll", "pause", "resume"):
            foreign = await desk.post(desk.orgs[1], action, "gold")
            unknown = await desk.post(2_000_000_000, action, "gold")
            assert foreign.status == unknown.status == 404
            assert foreign.body == unknown.body
            assert (await desk.post(desk.orgs[0], action, "gold")).status < 300
        shown = {"Authorization": f"Bearer {desk.keys['gold']}"}
        for part in ("", "/series", "/polls", "/forecast"):
            foreign = await desk.client.ask(f"/orgs/{desk.orgs[1]}{part}", shown)
            unknown = await desk.client.ask(f"/orgs/2000000000{part}", shown)
            assert (foreign.status, foreign.body) == (404, unknown.body)


async def test_a_key_with_tags_sees_only_its_orgs_in_every_list_and_sum(database: Database, database_url: str) -> None:
    async with desk_of(database, database_url) as desk:
        shown = {"Authorization": f"Bearer {desk.keys['gold']}"}
        for path in ("/orgs", "/latest", "/seats", "/gaps", "/forecasts", "/anomalies", "/health", "/fleet", "/audit"):
            body = (await desk.client.ask(path, shown)).body
            assert b"Birch" not in body
            assert b"Cedar" not in body
        assert [one["name"] for one in (await desk.client.ask("/orgs", shown)).json["items"]] == ["Acme"]
        assert (await desk.client.ask("/fleet", shown)).json["orgs"] == 1
        trend = await desk.client.ask("/trend?since=1d", shown)
        assert {one["org"] for one in trend.json} == {"Acme"}
        foreign = await desk.client.ask("/trend?org=Birch", shown)
        unknown = await desk.client.ask("/trend?org=Bircj", shown)
        assert (foreign.status, foreign.body.replace(b"Birch", b"Bircj")) == (404, unknown.body)


async def test_a_key_with_tags_gets_an_answer_from_every_endpoint_about_its_own_org(fleet: SharedFleet) -> None:
    async with await connect(fleet.database_url) as database:
        _, key = await add_key(database, KEYRING, "gold", right=Right.READ, tags=("gold",))
    async with client_of(fleet.database_url, may_write=True) as client:
        for endpoint in ENDPOINTS:
            # Rules are about every org. The alert 1 and the org 1 are of the same org.
            if endpoint.method == "GET" and endpoint.path != "/alerts/rules":
                path = endpoint.path.replace("{id}", str(fleet.ids[OK]))
                reply = await client.ask(path, {"Authorization": f"Bearer {key.reveal()}"})
                assert reply.status == 200, (path, reply.body)
                endpoint.reply.model_validate_json(reply.body)
                assert b"Cedar" not in reply.body, path


async def test_a_repeated_request_with_the_same_idempotency_key_gets_the_first_reply(
    database: Database, database_url: str
) -> None:
    async with desk_of(database, database_url) as desk:
        org = desk.orgs[0]
        first = await desk.post(org, "pause", Idempotency_Key="one")
        again = await desk.post(org, "pause", Idempotency_Key="one")
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert orjson.loads(again.body)["changed"]
        other = await desk.post(org, "resume", Idempotency_Key="one")
        assert other.status == 422
        assert other.json["errors"][0]["parameter"] == "Idempotency-Key"
        # Another caller's key is its own, a refused request leaves the key free.
        assert not (await desk.post(org, "pause", "gold", Idempotency_Key="one")).json["changed"]
        assert (await desk.post(org, "poll", Idempotency_Key="two")).status == 409
        await desk.post(org, "resume")
        assert (await desk.post(org, "poll", Idempotency_Key="two")).status == 202
        for wrong in ("ä", "a b", "x" * 201):
            assert (await desk.post(org, "pause", Idempotency_Key=wrong)).status == 400
        await database.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
        assert "Idempotency-Replayed" not in (await desk.post(org, "pause", Idempotency_Key="one")).headers


async def test_cursors_of_one_process_are_good_in_every_process_with_the_same_keys(
    database: Database, database_url: str
) -> None:
    async with desk_of(database, database_url) as desk:
        shown = {"Authorization": f"Bearer {desk.keys['reader']}"}
        cursor = (await desk.client.ask("/orgs?limit=1", shown)).json["next_cursor"]
        async with client_of(database_url, may_write=True) as other:
            assert (await other.ask(f"/orgs?limit=1&cursor={cursor}", shown)).status == 200
    assert Cursors.of(KEYRING.macs).keys == Cursors.of(KEYRING.macs).keys


async def test_a_server_that_may_change_nothing_says_so(database_url: str) -> None:
    async with client_of(database_url) as client:
        reply = await client.ask("/orgs/1/poll", method="POST")
        assert reply.status == 403
