"""Every endpoint answers what its model says, over a real port and a real database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from poller.web.api.endpoints import ENDPOINTS
from poller.web.api.models.base import ProblemReply
from tests.web.api.fleet import FORMULA, NAMES, OK, PARTIAL, PAUSED, RIGHT

if TYPE_CHECKING:
    from poller.web.api.endpoint import Endpoint
    from tests.web.api.conftest import SharedFleet
    from tests.web.api.fleet import Client

READS = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET"]
LISTS = [endpoint for endpoint in READS if endpoint.is_list]


def address(endpoint: Endpoint, fleet: SharedFleet, org: str = OK) -> str:
    # The alerts have the numbers 1 to 5.
    return endpoint.path.replace("{id}", "1" if "/alerts/" in endpoint.path else str(fleet.ids[org]))


@pytest.mark.parametrize("endpoint", READS, ids=lambda one: one.path)
async def test_each_reply_is_what_its_model_says_for_every_org(
    endpoint: Endpoint, fleet: SharedFleet, api: Client
) -> None:
    for org in NAMES if "{id}" in endpoint.path else [OK]:
        reply = await api.ask(address(endpoint, fleet, org))
        if reply.status == 404 and endpoint.path.endswith("/forecast"):
            ProblemReply.model_validate_json(reply.body)
            continue
        assert reply.status == 200, reply.body
        endpoint.reply.model_validate_json(reply.body)


@pytest.mark.parametrize("endpoint", LISTS, ids=lambda one: one.path)
async def test_the_pages_of_a_list_have_each_row_once(endpoint: Endpoint, fleet: SharedFleet, api: Client) -> None:
    whole = await api.every_item(address(endpoint, fleet), 500)
    assert whole
    paged = await api.every_item(address(endpoint, fleet), max(len(whole) // 3, 2))
    assert paged == whole
    assert len({json.dumps(item) for item in whole}) == len(whole)


async def test_an_org_shows_state_limits_and_counts(fleet: SharedFleet, api: Client) -> None:
    found = await api.json(f"/orgs/{fleet.ids[OK]}")
    assert (found["name"], found["tags"], found["edition"]) == (OK, ["gold", "emea"], "enterprise")
    assert found["counts"]["ActiveUsers"] == 89
    assert (await api.json(f"/orgs/{fleet.ids[PAUSED]}"))["state"] == "paused"
    partial = await api.json(f"/orgs/{fleet.ids[PARTIAL]}")
    assert partial["counts"]["CurrentUser"] is None


async def test_an_org_says_the_same_alone_as_in_the_list(fleet: SharedFleet, api: Client) -> None:
    listed = {item["name"]: item for item in await api.every_item("/orgs", 500)}
    assert set(listed) == set(NAMES)
    for name, item in listed.items():
        alone = await api.json(f"/orgs/{fleet.ids[name]}")
        assert {key: alone[key] for key in item} == item
        assert (alone["remedy"] is None) == (alone["state"] not in {"failing", "parked", "late"})


async def test_the_fleet_is_summed_and_what_needs_a_person_has_a_remedy(api: Client) -> None:
    found = await api.json("/fleet")
    assert (found["orgs"], found["users"]["orgs"]) == (len(NAMES), len(NAMES) - 1)
    assert sum(found["states"].values()) == len(NAMES)
    assert found["tags"] == {"gold": 2, "emea": 2, "silver": 2}
    parked = next(one for one in found["needs_a_person"] if one["state"] == "parked")
    assert (parked["orgs"], parked["count"], parked["remedy"]) == (["Cedar"], 1, "make a new one")
    gold = await api.json("/fleet?tag=gold&tag=emea")
    assert (gold["orgs"], gold["users"]["total"]) == (1, 89)


async def test_the_audit_log_is_listed_from_the_newest(fleet: SharedFleet, api: Client) -> None:
    found = await api.every_item("/audit?since=1d", 2)
    assert [(one["caller"], one["action"], one["org"]) for one in found][:2] == [
        ("noc", "pause", OK),
        ("noc", "poll", OK),
    ]


async def test_the_series_follows_type_step_and_zone(fleet: SharedFleet, api: Client) -> None:
    path = f"/orgs/{fleet.ids[OK]}/series?type=ActiveUsers&type=AdminUsers&since=3d&every=1d&tz=Europe/Berlin"
    found = await api.json(path)
    assert found["step_seconds"] == 86_400
    assert {point["type"] for point in found["points"]} == {"ActiveUsers", "AdminUsers"}
    assert all(point["at"].endswith(("T00:00:00+01:00", "T00:00:00+02:00")) for point in found["points"])


async def test_a_forecast_has_a_point_for_each_day_of_the_horizon(fleet: SharedFleet, api: Client) -> None:
    found = await api.json(f"/orgs/{fleet.ids[OK]}/forecast?horizon=10")
    assert (len(found["points"]), found["seats"], found["org"]) == (10, 60, OK)


@pytest.mark.parametrize("endpoint", [one for one in READS if one.rows], ids=lambda one: one.path)
async def test_csv_has_the_rows_of_the_json(endpoint: Endpoint, fleet: SharedFleet, api: Client) -> None:
    path = address(endpoint, fleet)
    whole: Any = (await api.every_item(path, 500)) if endpoint.is_list else await api.json(path)
    rows = whole if isinstance(whole, list) else whole[endpoint.rows or ""]
    by_format = await api.ask(f"{path}?format=csv")
    assert by_format.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = by_format.body.decode().splitlines()
    assert len(lines) == 1 + len(rows)
    by_accept = await api.ask(path, {"Accept": "text/csv", **RIGHT})
    assert by_accept.body.decode().splitlines()[0] == lines[0]
    assert ("counts" in rows[0]) == ("ActiveUsers" in lines[0])


async def test_a_csv_page_names_the_next_page_and_runs_no_formula(fleet: SharedFleet, api: Client) -> None:
    reply = await api.ask("/latest?format=csv&limit=2")
    lines = reply.body.decode().splitlines()
    assert lines[1].startswith("7,\"'=HYPERLINK(") or lines[1].split(",")[1].startswith("\"'=HYPERLINK")
    assert FORMULA not in reply.body.decode()
    link = reply.headers["Link"]
    rest = link.removeprefix("</api/v1").partition(">")[0]
    following = await api.ask(rest)
    assert len(following.body.decode().splitlines()) == 3
    assert following.body.decode().splitlines()[1] not in lines


@pytest.mark.parametrize("endpoint", [one for one in READS if one.answer], ids=lambda one: one.path)
async def test_a_reply_that_has_not_changed_is_304(endpoint: Endpoint, fleet: SharedFleet, api: Client) -> None:
    path = address(endpoint, fleet)
    first = await api.ask(path)
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert first.headers["X-Request-Id"]
    again = await api.ask(path, {"If-None-Match": f'"other", {first.headers["ETag"]}', **RIGHT})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert (await api.ask(path, {"If-None-Match": '"other"', **RIGHT})).status == 200


async def test_filters_of_lists_combine_with_and(fleet: SharedFleet, api: Client) -> None:
    async def names(query: str) -> list[str]:
        return [item["org"] for item in await api.every_item(f"/latest?{query}", 3)]

    assert await names("tag=gold&tag=emea") == [OK]
    assert await names(f"tag=gold&org={OK}&org={PARTIAL}") == [OK]
    assert await names("data_center=us") == []
    assert sorted(await names("")) == sorted(NAMES)
