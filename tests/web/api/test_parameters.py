"""Wrong parameters are refused with a problem that names each of them; nothing is a 500."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poller.web.api.endpoints import ENDPOINTS
from poller.web.api.models.base import ProblemReply
from tests.web.api.fleet import OK, RIGHT

if TYPE_CHECKING:
    from tests.web.api.conftest import SharedFleet
    from tests.web.api.fleet import Client

WRONG = [
    ("/orgs?limit=0", 400, ["limit"]),
    ("/orgs?limit=501", 400, ["limit"]),
    ("/orgs?limit=1_0", 400, ["limit"]),
    ("/orgs?limit=%201", 400, ["limit"]),
    ("/orgs?limit=1.0", 400, ["limit"]),
    ("/orgs?limit=", 400, ["limit"]),
    ("/orgs?limit=%D9%A1", 400, ["limit"]),
    ("/orgs?limit=99999999999999999999", 400, ["limit"]),
    ("/orgs?limit=5&limit=5", 400, ["limit"]),
    ("/orgs?q=a%00b", 400, ["q"]),
    ("/orgs?q=%1b%5B31m", 400, ["q"]),
    ("/orgs?q=" + "a" * 201, 400, ["q"]),
    ("/orgs?tag=", 400, ["tag"]),
    ("/orgs?" + "&".join(f"tag=t{n}" for n in range(21)), 400, ["tag"]),
    ("/orgs?state=broken", 400, ["state"]),
    ("/orgs?sort=price", 400, ["sort"]),
    ("/orgs?typ=ActiveUsers", 400, ["typ"]),
    ("/orgs?constructor=1&toString=2", 400, ["constructor", "toString"]),
    ("/orgs?limit=0&sort=x&state=y", 400, ["state", "sort", "limit"]),
    ("/orgs?format=xml", 400, ["format"]),
    ("/orgs?q=%ED%A0%80", 400, []),
    ("/orgs?q=%FF%FE", 400, []),
    ("/orgs/0", 400, ["id"]),
    ("/orgs/-1", 400, ["id"]),
    ("/orgs/abc", 400, ["id"]),
    ("/orgs/%00", 400, ["id"]),
    ("/orgs/2147483648", 400, ["id"]),
    ("/orgs/99999999999999999999999", 400, ["id"]),
    ("/orgs/2147483647", 404, []),
    ("/orgs/2147483647/series", 404, []),
    ("/orgs/2147483647/polls", 404, []),
    ("/orgs/2147483647/forecast", 404, []),
    ("/orgs/{id}/series?type=Robots", 400, ["type"]),
    ("/orgs/{id}/series?since=soon", 400, ["since"]),
    ("/orgs/{id}/series?since=999999y", 400, ["since"]),
    ("/orgs/{id}/series?since=0001-01-01", 400, ["since"]),
    ("/orgs/{id}/series?since=2026-02-30", 400, ["since"]),
    ("/orgs/{id}/series?since=1d&until=2d", 400, ["until"]),
    ("/orgs/{id}/series?until=never", 400, ["until"]),
    ("/orgs/{id}/series?every=0d", 400, ["every"]),
    ("/orgs/{id}/series?tz=../etc/passwd", 400, ["tz"]),
    ("/orgs/{id}/series?tz=Nowhere/Here", 400, ["tz"]),
    ("/orgs/{id}/forecast?horizon=366", 400, ["horizon"]),
    ("/orgs/{id}/polls?since=%00", 400, ["since"]),
    ("/gaps?since=9999-12-31T23:59:59-23:00", 400, ["since"]),
    ("/anomalies?kind=boom", 400, ["kind"]),
    ("/seats?renews_within=0", 400, ["renews_within"]),
    ("/fleet/series?type=", 400, ["type"]),
]


@pytest.mark.parametrize(("path", "status", "named"), WRONG, ids=[path[:60] for path, _, _ in WRONG])
async def test_a_wrong_parameter_is_refused_and_named(
    path: str, status: int, named: list[str], fleet: SharedFleet, api: Client
) -> None:
    reply = await api.ask(path.replace("{id}", str(fleet.ids[OK])))
    assert reply.status == status, reply.body
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json
    ProblemReply.model_validate_json(reply.body)
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["remedy"]
    assert sorted(error["parameter"] for error in problem.get("errors", [])) == sorted(named)


CURSORS = ["x", "AAAA", "A" * 400, "eyJhIjoxfQ"]


@pytest.mark.parametrize("cursor", CURSORS)
async def test_a_made_up_cursor_is_unprocessable(cursor: str, api: Client) -> None:
    reply = await api.ask(f"/orgs?cursor={cursor}")
    assert reply.status == 422
    assert [error["parameter"] for error in reply.json["errors"]] == ["cursor"]


async def test_a_cursor_belongs_to_its_address_and_filters(fleet: SharedFleet, api: Client) -> None:
    cursor = (await api.json("/latest?limit=2"))["next_cursor"]
    assert (await api.ask(f"/latest?limit=3&cursor={cursor}")).status == 200
    assert (await api.ask(f"/latest?cursor={cursor}&tag=gold")).status == 422
    assert (await api.ask(f"/seats?cursor={cursor}")).status == 422
    tampered = ("B" if cursor[0] != "B" else "C") + cursor[1:]
    assert (await api.ask(f"/latest?cursor={tampered}")).status == 422
    own = (await api.json(f"/orgs/{fleet.ids[OK]}/polls?limit=2"))["next_cursor"]
    other = next(org_id for name, org_id in fleet.ids.items() if name != OK)
    assert (await api.ask(f"/orgs/{other}/polls?cursor={own}")).status == 422


async def test_a_misspelt_address_and_a_wrong_method_are_problems_too(api: Client) -> None:
    for path, method, status in (("/orgz", "GET", 404), ("/orgs", "DELETE", 405), ("/orgs/1/series", "POST", 405)):
        reply = await api.ask(path, RIGHT, method)
        assert reply.status == status
        ProblemReply.model_validate_json(reply.body)


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.method == "GET"], ids=lambda one: one.path)
async def test_every_endpoint_refuses_an_unknown_parameter(endpoint: object, fleet: SharedFleet, api: Client) -> None:
    path = endpoint.path.replace("{id}", str(fleet.ids[OK]))  # type: ignore[attr-defined]
    assert (await api.ask(f"{path}?nonsense=1")).status == 400
