"""The long tables of the Seats page as HTML: seats by org, and anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from poller.query.seat_outlook import outlook
from poller.web.pages.formats import day, number, percent
from poller.web.pages.markup import escape, reason_unknown, seats_bar
from poller.web.pages.seats_words import growth, money, remedy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from poller.query.seat_outlook import Outlook


def seat_rows(rows: Iterable[Mapping[str, Any]], today: date) -> Iterator[str]:
    """Yields a row for each org."""
    for row in rows:
        out, name = outlook(row, today), escape(row["org"])
        yield (
            f'<tr role="row" data-row data-org="{name}" data-runs-out="{out.kind}">'
            f"{_org(row, name)}{_used(row)}{_money(row)}{_trend(row, today)}{_runs_out(out)}{_error(row)}</tr>\n"
        )


def anomaly_rows(rows: Iterable[Mapping[str, Any]], today: date) -> Iterator[str]:
    """Yields a row for each anomaly."""
    for row in rows:
        name, kind = escape(row["org"]), escape(row["kind"])
        state, mark = ("failing", "■") if row["severity"] == "critical" else ("late", "◐")
        low, high = row["expected_low"], row["expected_high"]
        usual = _NO_RANGE if low is None and high is None else f"{_number(low)} – {_number(high)}"
        yield (
            f'<tr data-row data-org="{name}" data-kind="{kind}"><td class="nowrap">{day(row["day"], today)}</td>'
            f'<td class="org"><a href="/orgs/{row["org_id"]}">{name}</a></td><td class="nowrap">'
            f'<span class="state {state}"><i aria-hidden="true">{mark}</i> {kind.replace("_", " ")}</span></td>'
            f'<td class="wide nowrap">{escape(row["user_type"])}</td>'
            f'<td class="n">{_number(row["before"], _NO_COUNT_BEFORE)} → {_number(row["after"], _NO_COUNT_THEN)}</td>'
            f'<td class="n wide">{usual}</td><td>{escape(row["why"])}</td></tr>\n'
        )


def _org(row: Mapping[str, Any], name: str) -> str:
    """Name, tags, why seats are not known, and the bar of used seats."""
    tags = f" <small>{escape(' '.join(row['tags']))}</small>" if row["tags"] else ""
    unknown = remedy_of(row)
    why = "" if unknown is None else _WHY.format(escape(unknown[0]), escape(unknown[1]))
    seats = seats_or_reason(row["used"], row["purchased"], "not known" if unknown is None else unknown[0])
    link = f'<a href="/orgs/{row["org_id"]}">{name}</a>'
    return f'<td role="cell" class="org">{link}{tags}{why}</td><td role="cell" class="has">{seats}</td>'


def seats_or_reason(used: int | None, purchased: int | None, reason: str) -> Markup:
    """The seats with a bar of those in use, or why they are not known."""
    if purchased is None:
        return Markup(reason_unknown(reason))  # noqa: S704 - it escapes the reason
    return Markup(seats_bar(used, purchased, f'role="img" aria-label="{percent(used, purchased)} used"'))  # noqa: S704


def _used(row: Mapping[str, Any]) -> str:
    used, idle = _number(row["used"], _USED_UNKNOWN), _number(row["idle"], _SEATS_UNKNOWN)
    cell = '<td role="cell" class="n" data-label="'
    return f'{cell}used">{used}</td>{cell}idle">{idle}</td>'


def _money(row: Mapping[str, Any]) -> str:
    if row["idle_cost"] is not None:
        cost = escape(money(row["idle_cost"], row["currency"]))
    else:
        cost = _NO_PRICE if row["price"] is None else _SEATS_UNKNOWN
    return f'<td role="cell" class="n cost" data-label="idle cost">{cost}</td>'


def _trend(row: Mapping[str, Any], today: date) -> str:
    """The growth and the day of the renewal."""
    per_day, renews_on = row["per_day"], row["renews_on"]
    grows = _NO_FORECAST if per_day is None else _NO_TREND if per_day == 0 else growth(per_day)
    renews = _NO_RENEWAL if renews_on is None else day(renews_on, today)
    return (
        f'<td role="cell" class="n" data-label="in 30 d">{grows}</td>'
        f'<td role="cell" class="n" data-label="renews">{renews}</td>'
    )


def _runs_out(out: Outlook) -> str:
    if out.reason:
        shown = f'<abbr class="unknown" title="{escape(out.reason)}">{out.words}</abbr>'
    else:
        shown = f"{_MARKS.get(out.kind, '')}{out.words}"
        if out.range:
            shown += f" <small>{out.range}</small>"
    return f'<td role="cell" class="out {out.kind}">{shown}</td>'


def _error(row: Mapping[str, Any]) -> str:
    """How far forecasts of the org's past were off, and in how many tests."""
    error = row["backtest_error"]
    shown = _NO_TEST if error is None else f"{error:.1f} <small>in {row['backtest_windows']}</small>"
    return f'<td role="cell" class="n error" data-label="past error">{shown}</td>'


def _number(value: float | None, unknown: str | None = None) -> str:
    return (unknown or _NOT_KNOWN) if value is None else number(value)


_MARKS: Final = {"full": '<i aria-hidden="true">■</i> ', "soon": '<i aria-hidden="true">◐</i> '}
_WHY: Final = '<p class="why"><i aria-hidden="true">◐</i> {}: {}</p>'
_NOT_KNOWN: Final = reason_unknown("not known yet")
_NO_RANGE: Final = reason_unknown("no range applies")
_NO_COUNT_BEFORE: Final = reason_unknown("no count before")
_NO_COUNT_THEN: Final = reason_unknown("no count on that day")
_USED_UNKNOWN: Final = reason_unknown("no count of active users is known")
_SEATS_UNKNOWN: Final = reason_unknown("the seats are not known")
_NO_PRICE: Final = reason_unknown("no price is known")
_NO_FORECAST: Final = reason_unknown("no forecast yet")
_NO_TREND: Final = '<abbr class="soft" title="the changes of the past show no trend">no trend</abbr>'
_NO_TEST: Final = reason_unknown("the org's past is too short to test the forecast on")
_NO_RENEWAL: Final = reason_unknown("neither Zoho nor the contract says")
