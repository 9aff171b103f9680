"""`poller seats`: seats bought, used and idle, what they cost, and what the contracts say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from poller.cli.output import terminal
from poller.cli.selecting import DataCenters, States, Tags, required, selection
from poller.core.contract import parse_currency, parse_day, parse_price, parse_seats
from poller.core.errors import UsageError
from poller.query.parameters import seconds_of
from poller.query.rows import json_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from poller.query.selection import Selection
    from poller.settings import Settings
    from poller.store.queries import Record

COLUMNS: Final = (
    "org",
    "purchased",
    "used",
    "available",
    "idle",
    "edition",
    "renews_on",
    "price",
    "currency",
    "idle_cost",
    "taken_at",
)
_SET: Final = "set"
_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Shown:
    """How seats are shown."""

    as_json: bool
    by_tag: bool
    renews_within: timedelta | None


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("seats")(seats)


def seats(
    orgs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ORG]...", help="Names; every org if none. set ORG: changes a contract."),
    ] = None,
    *,
    purchased: Annotated[str | None, typer.Option(metavar="N", help="set: seats by contract, or none.")] = None,
    price: Annotated[str | None, typer.Option(metavar="PRICE", help="set: of a seat and month, or none.")] = None,
    currency: Annotated[str | None, typer.Option(metavar="CUR", help="set: such as EUR, or none.")] = None,
    renews_on: Annotated[str | None, typer.Option(metavar="DAY", help="set: 2027-01-31, or none.")] = None,
    by_tag: Annotated[bool, typer.Option("--by-tag", help="Sums by tag and currency.")] = False,
    renews_within: Annotated[
        str | None, typer.Option(metavar="D", help="Only orgs that renew within 60d, or 12w.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: an object a line.")] = False,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
) -> None:
    """Show seats bought, used and idle, and what idle ones cost a month.

    Zoho is asked once a day. A contract may say more: [bold]poller seats set ORG --purchased 120 --price 20 --currency
    EUR --renews-on 2027-01-31[/bold]; none takes a value back.

    Example: [bold]poller seats --tag gold --renews-within 60d[/bold]
    """
    options = {"purchased": purchased, "price": price, "currency": currency, "renews_on": renews_on}
    given = {name: value for name, value in options.items() if value is not None}
    if orgs and orgs[0] == _SET:
        chosen = required(selection(orgs[1:], tags, states, data_centers))
        if not given:
            raise UsageError("nothing to set", "give --purchased, --price, --currency or --renews-on")
        terminal.run(_set(terminal.settings(), chosen, {name: _value(name, text) for name, text in given.items()}))
        return
    if given:
        option = f"--{next(iter(given)).replace('_', '-')}"
        raise UsageError(f"{option} changes a contract", f"write poller seats set ORG {option} …")
    within = None if renews_within is None else timedelta(seconds=seconds_of(renews_within))
    chosen = selection(orgs, tags, states, data_centers)
    terminal.run(_seats(terminal.settings(), chosen, Shown(as_json, by_tag, within)))


async def _set(settings: Settings, chosen: Selection, changes: dict[str, Any]) -> None:
    from poller.app import open_app
    from poller.store.capacity.seats import Contract, set_contract

    async with open_app(settings, name="poller seats") as app:
        ids = list(await chosen.find(app.database))
        changed = await set_contract(app.database, ids, Contract(changes))
    terminal.tell(f"{changed} {'contract' if changed == 1 else 'contracts'} changed")


async def _seats(settings: Settings, chosen: Selection, shown: Shown) -> None:
    from poller.app import open_app
    from poller.store.capacity.seats import seats_by_tag, stream_seats

    async with open_app(settings, name="poller seats") as app:
        ids = await chosen.ids(app.database)
        if shown.by_tag:
            _show_tags(await seats_by_tag(app.database, ids), as_json=shown.as_json)
            return
        before = None if shown.renews_within is None else _day_in(shown.renews_within, app.database.clock.now())
        rows = stream_seats(app.database, ids, renews_before=before)
        if not shown.as_json:
            await _show(rows)
            return
        async for row in rows:
            terminal.write(json_text({name: row[name] for name in COLUMNS} | {"problem": _problem(row)}))


def _problem(row: Record) -> dict[str, str] | None:
    return None if row["code"] is None else {"code": row["code"], "remedy": row["remedy"]}


async def _show(rows: AsyncIterator[Record]) -> None:
    from poller.cli.output.table import Table

    numbers = ("purchased", "used", "idle", "idle cost a month")
    table = Table(("org", *numbers, "edition", "renews on", "as of"), right=numbers, spare=("as of", "edition"))
    refused: Counter[tuple[str, str]] = Counter()

    async def cells() -> AsyncIterator[Sequence[str]]:
        async for row in rows:
            if row["code"] is not None:
                refused[row["code"], row["remedy"]] += 1
            texts = (_text(row["edition"]), _text(row["renews_on"]), _taken(row["taken_at"]))
            counts = (_count(row["purchased"]), _count(row["used"]), _count(row["idle"]))
            yield (row["org"], *counts, _money(row["idle_cost"], row["currency"]), *texts)

    await terminal.show_stream(table, cells())
    for (code, remedy), number in refused.items():
        terminal.tell(
            f"{number} {'org does' if number == 1 else 'orgs do'} not say how many seats there are ({code}): {remedy}"
        )


def _show_tags(rows: list[Record], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            terminal.tell(json_text(dict(row)))
        return
    from poller.cli.output.table import Table

    numbers = ("orgs", "purchased", "used", "idle", "idle cost")
    table = Table(("tag", *numbers, "next renewal"), right=numbers, spare=("next renewal",))
    for row in rows:
        counts = tuple(_count(row[name]) for name in ("orgs", "purchased", "used", "idle"))
        cost = _money(row["idle_cost"], row["currency"])
        table.rows.append((row["tag"] or "without a tag", *counts, cost, _text(row["next_renewal"])))
    terminal.show(table)


def _count(number: Any) -> str:
    return "?" if number is None else f"{int(number):,}"


def _money(amount: Any, currency: str | None) -> str:
    return "" if amount is None else f"{amount:,.2f} {currency or ''}".rstrip()


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _taken(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _value(name: str, text: str) -> Any:
    """A value of the contract; None for `none`, which takes it back."""
    text = text.strip()
    if text.lower() == _NONE:
        return None
    try:
        return _READERS[name](text)
    except ValueError as wrong:
        raise UsageError(f"--{name.replace('_', '-')} {text!r} {wrong}", "correct it, or write none") from None


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "purchased": parse_seats,
    "price": parse_price,
    "currency": parse_currency,
    "renews_on": parse_day,
}


def _day_in(within: timedelta, now: datetime) -> date:
    """The last day of the calendar where it would come later."""
    try:
        return (now + within).date()
    except OverflowError:
        return date.max
