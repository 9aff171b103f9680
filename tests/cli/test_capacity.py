"""`poller seats`, `forecast` and `anomalies` of orgs: the promised JSON keys and the text for people."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.store.capacity.seats import SeatReading, save_refusal, save_seats
from poller.store.database import connect
from poller.worker.analyses import forecast_fleet, search_anomalies
from tests.store.capacity.histories import YESTERDAY, org_with
from tests.worker.test_analyses import GROWING, quiet_org

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]

NOW = datetime.now(UTC)


@pytest.fixture
def fleet(on_database: str) -> str:
    """`Growing` runs out of seats in forty days; `Full` has none left; an administrator appeared in `Admin`."""

    async def write() -> None:
        async with await connect(on_database) as database:
            growing = await org_with(database, "Growing", {"ActiveUsers": GROWING})
            reading = SeatReading(GROWING[-1] + 20, GROWING[-1], "enterprise", None, "features")
            await save_seats(database, growing, reading, NOW)
            full = await org_with(database, "Full", {"ActiveUsers": [50] * 200}, licences=50)
            await save_refusal(database, full, "OAUTH_SCOPE_MISMATCH", "grant the scope", NOW)
            admins = [3] * 190 + [4] * 10
            await org_with(database, "Admin", {**quiet_org(), "AdminUsers": admins}, licences=900)
            await forecast_fleet(database, NOW)
            await search_anomalies(database, NOW)

    asyncio.run(write())
    return on_database


@pytest.mark.usefixtures("fleet")
def test_seats_json_contains_the_contract_and_the_cost_of_idle_seats(poller: Poller) -> None:
    renews = (NOW + timedelta(days=30)).date().isoformat()
    changed = ("--purchased", "200", "--price", "20", "--currency", "eur", "--renews-on", renews)
    assert poller("seats", "set", "Growing", *changed).out == "1 contract changed\n"
    told = {one["org"]: one for one in map(json.loads, poller("seats", "--json").out.splitlines())}
    promised = "org, purchased, used, available, idle, edition, renews_on, price, currency, idle_cost, taken_at"
    assert all(set(promised.split(", ")) <= set(one) for one in told.values())
    growing = told["Growing"]
    assert (growing["purchased"], growing["used"]) == (200, GROWING[-1])
    assert (growing["idle"], growing["available"]) == (max(200 - GROWING[-1], 0), 200 - GROWING[-1])
    assert growing["idle_cost"] == growing["idle"] * 20
    assert (growing["price"], growing["currency"], growing["renews_on"]) == (20, "EUR", renews)
    assert told["Full"]["problem"]["code"] == "OAUTH_SCOPE_MISMATCH"
    ahead = poller("seats", "--renews-within", "60d", "--json").out.splitlines()
    assert [json.loads(one)["org"] for one in ahead] == ["Growing"]
    assert "1 org does not say how many seats there are (OAUTH_SCOPE_MISMATCH): grant the scope" in poller("seats").out


@pytest.mark.usefixtures("fleet")
def test_a_renewal_date_in_the_past_is_not_listed_as_upcoming(poller: Poller) -> None:
    poller("seats", "set", "Full", "--renews-on", "2020-01-31")
    assert poller("seats", "--renews-within", "60d", "--json").out == ""


@pytest.mark.usefixtures("fleet")
def test_forecast_json_has_every_promised_key_and_one_point_per_day(poller: Poller) -> None:
    (line,) = poller("forecast", "Growing", "--horizon", "90d", "--json").out.splitlines()
    told = json.loads(line)
    promised = (
        "org, user_type, made_at, level, per_day, method, horizon_days, points, seats, exhausted_on, exhausted_low"
    )
    assert {*promised.split(", "), "exhausted_high", "backtest"} <= set(told)
    assert set(told["backtest"]) == {"windows", "scaled_error", "coverage80"}
    assert len(told["points"]) == told["horizon_days"] == 90
    assert set(told["points"][0]) == {"day", "mean", "low80", "high80", "low95", "high95"}
    assert told["points"][0]["day"] == (YESTERDAY + timedelta(days=1)).isoformat()
    assert abs((date.fromisoformat(told["exhausted_on"]) - YESTERDAY).days - 40) <= 6
    assert told["exhausted_low"] <= told["exhausted_on"]


@pytest.mark.usefixtures("fleet")
def test_the_forecast_table_lists_orgs_by_run_out_day_and_marks_full_ones(poller: Poller) -> None:
    told = poller("forecast").out.splitlines()
    assert "in 90 d" in told[0]
    (full,) = [line for line in told if line.startswith("Full")]
    assert "all in use" in full
    assert [line.split()[0] for line in told[1:]][:2] == ["Full", "Growing"]


@pytest.mark.usefixtures("fleet")
def test_anomalies_json_has_every_promised_key(poller: Poller) -> None:
    (line,) = poller("anomalies", "--since", "30d", "--json").out.splitlines()
    told = json.loads(line)
    promised = "org, user_type, day, kind, before, after, expected_low, expected_high, severity"
    assert set(promised.split(", ")) <= set(told)
    assert (told["org"], told["kind"], told["before"], told["after"]) == ("Admin", "admins_up", 3, 4)
    assert told["day"] == (YESTERDAY - timedelta(days=9)).isoformat()
    assert poller("anomalies", "Full").out.startswith("no anomalies since ")


@pytest.mark.usefixtures("on_database")
def test_an_imported_contract_is_shown_with_its_org_and_a_dry_run_lists_its_changes(
    poller: Poller, tmp_path: Path
) -> None:
    header = "name,data_center,client_id,client_secret,refresh_token,seats,price,currency,renews_on\n"
    path = tmp_path / "orgs.csv"
    path.write_text(f"{header}Acme,us,1000.A,s3cr3t-of-acme,1000.re.fresh,120,20,EUR,2027-01-31\n")
    assert poller("orgs", "import", str(path)).code == 0
    assert "120 seats, 20.00 EUR a seat and month, renews on 2027-01-31" in poller("orgs", "show", "Acme").out
    shown = json.loads(poller("orgs", "show", "Acme", "--json").out)
    assert shown["contract"] == {"purchased": 120, "price": 20, "currency": "EUR", "renews_on": "2027-01-31"}
    path.write_text(f"{header}Acme,us,1000.A,s3cr3t-of-acme,1000.re.fresh,130,,EUR,2027-01-31\n")
    assert "Acme would be changed: seats, price" in poller("orgs", "import", str(path), "--dry-run").out


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--purchased", "many", "--purchased 'many' is not a number of seats; correct it, or write none"),
        ("--renews-on", "soon", "--renews-on 'soon' is not a day such as 2027-01-31; correct it, or write none"),
    ],
)
def test_an_invalid_contract_value_is_refused_in_one_line(poller: Poller, option: str, text: str, said: str) -> None:
    ended = poller("seats", "set", "Acme", option, text)
    assert (ended.code, ended.error.count("\n")) == (2, 0)
    assert said in ended.error
