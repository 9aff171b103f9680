"""schemathesis finds nothing wrong with the API, and finds faults that are planted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from poller.admin.access import add_key
from poller.core.callers import Right
from poller.web.api.endpoint import Answer
from poller.web.api.endpoints import ENDPOINTS
from tests.alert_rows import add_alert
from tests.store.fleet import added, entry
from tests.web.api.fleet import KEYRING, RIGHT, client_of
from tests.web.api.fuzzing import fuzz

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.web.api.endpoint import Call, Endpoint
    from tests.web.api.conftest import SharedFleet
    from tests.web.api.fuzzing import Fuzzed


def faults(found: Fuzzed) -> str:
    """What was wrong, a line each."""
    return "\n".join([*found.errors, *(f"{name}: {what}" for name, what in found.failures.items())])


async def test_schemathesis_finds_nothing_with_a_key_that_may_read(fleet: SharedFleet) -> None:
    async with client_of(fleet.database_url, may_write=True) as client:
        found = await fuzz(client.url, RIGHT, examples=10)
    assert faults(found) == ""
    assert len(found.operations) == len(ENDPOINTS)
    assert found.requests >= 500


async def test_schemathesis_finds_nothing_with_a_key_that_may_operate(database: Database, database_url: str) -> None:
    for org_id in await added(database, KEYRING, *(entry(f"Org {number}") for number in range(5))):
        await add_alert(database, "seats_used", org_id)
    _, key = await add_key(database, KEYRING, "operator", right=Right.OPERATE)
    async with client_of(database_url, may_write=True) as client:
        found = await fuzz(
            client.url,
            {"Authorization": f"Bearer {key.reveal()}"},
            examples=10,
            operations="/(poll|pause|resume|ack|snooze|remove|{name}|exclusions)$",
        )
    assert faults(found) == ""
    assert len(found.operations) == 9
    assert found.requests >= 100


async def crash(call: Call) -> Answer:
    """The planted fault: an error where many rows are wanted."""
    if call.limit > 400:
        raise RuntimeError("planted")
    return Answer({"items": []})


async def lie(_call: Call) -> Answer:
    """The planted fault: a field that the model does not have, and one of another type."""
    return Answer({"items": [{"org_id": "one", "surprise": True}]})


def planted(endpoint: Endpoint) -> Endpoint:
    """The endpoint with a fault, if its path has one."""
    return replace(endpoint, answer={"/seats": crash, "/latest": lie}.get(endpoint.path, endpoint.answer))


async def test_schemathesis_finds_a_crash_and_a_reply_that_breaks_its_model(fleet: SharedFleet) -> None:
    endpoints = [planted(endpoint) for endpoint in ENDPOINTS]
    async with client_of(fleet.database_url, endpoints=endpoints) as client:
        found = await fuzz(client.url, RIGHT, examples=100, operations="/(seats|latest)$")
    assert "not_a_server_error GET /api/v1/seats" in found.failures
    assert "response_schema_conformance GET /api/v1/latest" in found.failures
