"""The Seats page's rows, orders, filters, totals and sums by tag, against a plain computation over the same orgs."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

from poller.core.callers import Caller
from poller.query.cache import AnswerCache
from poller.query.reader import Reader
from poller.query.seats_page import SHOWN, SORTS, SeatRowFilter, SeatsQuestion, read_seats, stream_seat_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from poller.store.database import Database

TODAY: Final = date(2026, 11, 27)
Facts = dict[str, Any]


def is_full(org: Facts) -> bool:
    return org["purchased"] is not None and org["used"] is not None and org["used"] >= org["purchased"]


def idle_of(org: Facts) -> int | None:
    known = org["purchased"] is not None and org["used"] is not None
    return max(org["purchased"] - org["used"], 0) if known else None


def within(day: date | None, days: int) -> bool:
    return day is not None and TODAY <= day < TODAY + timedelta(days=days)


MATCHES: Final[dict[str, Callable[[Facts], bool]]] = {
    "all": lambda _: True,
    "runs_out_30": lambda org: is_full(org) or within(org["exhausted_on"], 30),
    "runs_out_90": lambda org: is_full(org) or within(org["exhausted_on"], 90),
    "idle": lambda org: bool(idle_of(org)),
    "renews_90": lambda org: within(org["renews_on"], 90),
    "unknown": lambda org: org["purchased"] is None or org["used"] is None,
}


def random_orgs(chance: random.Random, number: int) -> list[Facts]:
    def maybe(value: Any) -> Any:
        return value if chance.random() < 0.7 else None

    return [
        {
            "name": f"org {n:02}",
            "tags": chance.sample(["gold", "emea", "north"], chance.randrange(3)),
            "data_center": chance.choice(["eu", "in"]),
            "edition": maybe("enterprise"),
            "purchased": maybe(chance.randrange(0, 60)),
            "used": maybe(chance.randrange(0, 60)),
            "price": maybe(Decimal(chance.randrange(1, 30))),
            "currency": chance.choice(["EUR", "USD"]),
            "renews_on": maybe(TODAY + timedelta(days=chance.randrange(200))),
            "exhausted_on": maybe(TODAY + timedelta(days=chance.randrange(200))),
            "per_day": chance.choice([0.0, 0.2]),
            "error": maybe(chance.randrange(20) / 10),
        }
        for n in range(number)
    ]


async def store(database: Database, orgs: list[Facts]) -> None:
    for org in orgs:
        org["id"] = await database.fetchval(
            "INSERT INTO orgs (name, data_center, tags, edition) VALUES ($1, $2, $3, $4) RETURNING id",
            org["name"], org["data_center"], org["tags"], org["edition"],
        )  # fmt: skip
        await database.execute(
            "INSERT INTO seat_contracts (org_id, purchased, price, currency, renews_on, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, now())",
            org["id"], org["purchased"], org["price"], org["currency"] if org["price"] else None, org["renews_on"],
        )  # fmt: skip
        if org["used"] is not None:
            await database.execute(
                "INSERT INTO latest_snapshots (org_id, slot, polled_at, active_users) VALUES ($1, now(), now(), $2)",
                org["id"], org["used"],
            )  # fmt: skip
        await database.execute(
            "INSERT INTO forecast_results (org_id, user_type, made_at, last_day, level, per_day, method, exhausted_on,"
            " backtest_error, backtest_windows) VALUES ($1, 'ActiveUsers', now(), $2, 10, $3, 'trend', $4, $5, 3)",
            org["id"], TODAY, org["per_day"], org["exhausted_on"], org["error"],
        )  # fmt: skip


async def names(database: Database, question: SeatsQuestion) -> list[str]:
    return [row["org"] async for row in stream_seat_rows(database, question)]


@pytest.mark.parametrize("seed", range(3))
async def test_filters_and_totals_are_those_of_the_orgs_and_a_caller_counts_only_its_own(
    database: Database, seed: int
) -> None:
    orgs = random_orgs(random.Random(seed), 40)
    await store(database, orgs)
    for visible in (None, ["gold"], ["nobody"]):
        seen = [org for org in orgs if visible is None or set(visible) & set(org["tags"])]
        which = SeatRowFilter(TODAY, visible)
        totals = (await read_seats(AnswerCache(), database, SeatsQuestion(which))).totals
        both = [org for org in seen if idle_of(org) is not None]
        assert (totals["orgs"], totals["known"]) == (len(seen), len(both))
        sums = [sum(org[name] for org in both) if both else None for name in ("purchased", "used")]
        idle = sum(idle_of(org) or 0 for org in both) if both else None
        assert [totals["purchased"], totals["used"], totals["idle"]] == [*sums, idle]
        of_caller = Reader(database).seen_by(Caller("somebody", tags=tuple(visible or ())))
        for show in SHOWN:
            expected = {org["name"] for org in seen if MATCHES[show](org)}
            found = await names(of_caller, SeatsQuestion(replace(which, show=show)))
            assert (show, set(found), len(found)) == (show, expected, len(expected))
            assert totals[f"shown_{show}"] == len(expected)


@pytest.mark.parametrize("seed", range(2))
async def test_idle_cost_is_summed_by_currency_and_never_counts_an_unknown_price_as_0(
    database: Database, seed: int
) -> None:
    orgs = random_orgs(random.Random(seed), 30)
    await store(database, orgs)
    answer = await read_seats(AnswerCache(), database, SeatsQuestion(SeatRowFilter(TODAY)))
    for currency in ("EUR", "USD"):
        priced = [org for org in orgs if org["price"] and org["currency"] == currency and idle_of(org) is not None]
        (found,) = [one["idle_cost"] for one in answer.currencies if one["currency"] == currency] or [None]
        assert found == (sum(org["price"] * (idle_of(org) or 0) for org in priced) if priced else None)
    assert answer.totals["without_price"] == sum(bool(idle_of(org)) and not org["price"] for org in orgs)


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS if name not in {"org", "runs_out"})])
async def test_pages_in_both_directions_show_every_org_once_and_unknown_values_last(
    database: Database, sort: str
) -> None:
    orgs = random_orgs(random.Random(sort), 23)
    await store(database, orgs)
    question = SeatsQuestion(SeatRowFilter(TODAY), sort.removeprefix("-"), descending=sort.startswith("-"), limit=5)
    whole = await names(database, question)
    assert sorted(whole) == [org["name"] for org in orgs]
    pages = [answer := await read_seats(AnswerCache(), database, question)]
    while answer.has_after:
        last = answer.rows[-1]["org_id"]
        pages.append(answer := await read_seats(AnswerCache(), database, replace(question, after=last)))
    assert [row["org"] for page in pages for row in page.rows] == whole
    back = await read_seats(AnswerCache(), database, replace(question, before=pages[2].rows[0]["org_id"]))
    assert [row["org"] for row in back.rows] == [row["org"] for row in pages[1].rows]
    if sort.endswith("idle"):
        values = [idle_of(next(org for org in orgs if org["name"] == name)) for name in whole]
        known = [value for value in values if value is not None]
        assert values == sorted(known, reverse=sort.startswith("-")) + [None] * (len(values) - len(known))


async def test_an_org_of_another_caller_marks_no_place_in_the_list(database: Database) -> None:
    orgs = random_orgs(random.Random(1), 10)
    for place, org in enumerate(orgs):
        org["tags"] = ["north" if place % 2 else "south"]
    await store(database, orgs)
    first = SeatsQuestion(SeatRowFilter(TODAY, ["north"]))
    found = [
        (await read_seats(AnswerCache(), database, replace(first, after=after))).rows
        for after in (None, orgs[0]["id"], 10**9)
    ]
    assert len(found[0]) == 5
    assert found[0] == found[1] == found[2]


async def test_the_order_of_a_page_is_kept_for_a_while_but_neither_its_rows_nor_who_may_see_them(
    database: Database,
) -> None:
    orgs = random_orgs(random.Random(4), 12)
    for place, org in enumerate(orgs):
        org |= {"tags": ["north" if place % 2 else "south"], "purchased": 50 + place, "used": 10}
    await store(database, orgs)
    cache, question = AnswerCache(), SeatsQuestion(SeatRowFilter(TODAY, ["north"]), "idle", descending=True)
    before = [row["org_id"] for row in (await read_seats(cache, database, question)).rows]
    await database.execute("UPDATE seat_contracts SET purchased = 10 WHERE org_id = $1", before[0])
    await database.execute("UPDATE orgs SET tags = '{south}' WHERE id = $1", before[1])
    kept = (await read_seats(cache, database, question)).rows
    assert [row["org_id"] for row in kept] == [before[0], *before[2:]]
    assert (kept[0]["purchased"], kept[0]["idle"]) == (10, 0)
    south = (await read_seats(cache, database, replace(question, which=SeatRowFilter(TODAY, ["south"])))).rows
    assert {row["org_id"] for row in south} == {org["id"] for org in orgs[::2]} | {before[1]}
    idle = replace(question, which=SeatRowFilter(TODAY, ["north"], show="idle"))
    assert before[0] not in {row["org_id"] for row in (await read_seats(cache, database, idle)).rows}
    renewed = (await read_seats(AnswerCache(), database, question)).rows
    assert [row["org_id"] for row in renewed] == [*before[2:], before[0]]


@pytest.mark.parametrize("seed", range(2))
async def test_sums_by_tag_count_an_org_under_each_of_its_tags(database: Database, seed: int) -> None:
    orgs = random_orgs(random.Random(seed), 30)
    await store(database, orgs)
    answer = await read_seats(AnswerCache(), database, SeatsQuestion(SeatRowFilter(TODAY)), by_tag=True)
    assert not answer.rows
    for tag in ("gold", "emea", "north", None):
        of_tag = [org for org in orgs if (tag in org["tags"] if tag else not org["tags"])]
        (found,) = [one for one in answer.tags if one["tag"] == tag]
        known = [org for org in of_tag if idle_of(org) is not None]
        assert (found["orgs"], found["known"]) == (len(of_tag), len(known))
        assert found["idle"] == (sum(idle_of(org) or 0 for org in known) if known else None)
        assert found["runs_out_90"] == sum(MATCHES["runs_out_90"](org) for org in of_tag)


async def test_idle_seats_are_unknown_where_seats_are_and_not_0(database: Database) -> None:
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('Acme', 'eu')")
    await database.execute("INSERT INTO latest_snapshots (org_id, slot, active_users) SELECT id, now(), 7 FROM orgs")
    await database.execute("INSERT INTO seat_contracts (org_id, price, updated_at) SELECT id, 20, now() FROM orgs")
    (row,) = [row async for row in stream_seat_rows(database, SeatsQuestion(SeatRowFilter(TODAY)))]
    assert (row["used"], row["purchased"], row["idle"], row["idle_cost"]) == (7, None, None, None)
