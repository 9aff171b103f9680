"""`poller seats`: seats bought, used and idle, what they cost, and what the contracts say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from poller.cli.options.orgs import DataCenters, States, Tags, required, selection
from poller.cli.output import terminal
from poller.core.contract import parse_currency, parse_day, parse_price, parse_seats
from poller.core.errors import UsageError
from poller.core.quantities import count
from poller.query.parameters import seconds_of
from poller.query.rows import json_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    from poller.query.seats import SeatUsage
    from poller.query.selection import Selection
    from poller.settings import Settings

_SET: Final = "set"
_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Shown:
    """How to show seats: as JSON, as sums by tag, or only of contracts that renew soon."""

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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and org.")] = False,
    tags: Tags = None,
    states: States = None,
    data_centers: DataCenters = None,
) -> None:
    """Show seats bought, used and idle, and what idle ones cost a month.

    Zoho is asked once a day. A contract may say more: [bold]poller seats set ORG --purchased 120 --price 20 --currency
    EUR --renews-on 2027-01-31[/bold]; none clears a value.

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
    from poller.admin.contracts import set_contracts
    from poller.app import open_app

    async with open_app(settings, name="poller seats") as app:
        changed = await set_contracts(app.database, chosen, changes)
    terminal.say(f"{count(changed, 'contract')} changed")


async def _seats(settings: Settings, chosen: Selection, shown: Shown) -> None:
    from poller.app import open_app
    from poller.query.seats import seat_sums_by_tag, stream_seat_usage

    async with open_app(settings, name="poller seats") as app:
        if shown.by_tag:
            _show_tags(await seat_sums_by_tag(app.database, chosen), as_json=shown.as_json)
            return
        usages = stream_seat_usage(app.database, chosen, renews_within=shown.renews_within)
        if not shown.as_json:
            await _show(usages)
            return
        async for usage in usages:
            terminal.write(json_text(usage.fields()))


async def _show(usages: AsyncIterator[SeatUsage]) -> None:
    from poller.cli.output.table import Table

    numbers = ("purchased", "used", "idle", "idle cost a month")
    table = Table(("org", *numbers, "edition", "renews on", "as of"), right=numbers, spare=("as of", "edition"))
    refused: Counter[tuple[str, str]] = Counter()

    async def cells() -> AsyncIterator[Sequence[str]]:
        async for one in usages:
            if one.code is not None:
                refused[one.code, one.remedy or ""] += 1
            counts = (_count(one.purchased), _count(one.used), _count(one.idle))
            texts = (_text(one.edition), _text(one.renews_on), _taken(one.taken_at))
            yield (one.org, *counts, _money(one.idle_cost, one.currency), *texts)

    terminal.begin_listing()
    if not await terminal.show_stream(table, cells()):
        terminal.say("no orgs")
    for (code, remedy), orgs in refused.items():
        terminal.say(f"{count(orgs, 'org does', 'orgs do')} not say how many seats there are ({code}): {remedy}")


def _show_tags(sums: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in sums:
            terminal.out(json_text(row))
        return
    from poller.cli.output.table import Table

    numbers = ("orgs", "purchased", "used", "idle", "idle cost")
    table = Table(("tag", *numbers, "next renewal"), right=numbers, spare=("next renewal",))
    for row in sums:
        counts = tuple(_count(row[name]) for name in ("orgs", "purchased", "used", "idle"))
        cost = _money(row["idle_cost"], row["currency"])
        table.rows.append((row["tag"] or "without a tag", *counts, cost, _text(row["next_renewal"])))
    terminal.begin_listing()
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
    """A value of the contract; None for `none`, which clears it."""
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
