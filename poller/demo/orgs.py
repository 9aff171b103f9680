"""The orgs of the demo, as a service provider would import them: with tags, and with contracts for most of them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from poller.core.durations import DAY_SECONDS
from poller.core.org_entry import OrgEntry, entry_from
from poller.demo.troubles import never_polled
from poller.query.capacity import SEAT_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from poller.core.datacenters import DataCenter
    from poller.simulator import Simulator

_SERVICE: Final = ("gold", "silver", "silver", "bronze", "gold", "bronze", None)
_REGIONS: Final = {"sim-us": "amer", "sim-eu": "emea", "sim-in": "apac"}
_CURRENCIES: Final = {"sim-us": "USD", "sim-eu": "EUR", "sim-in": "INR"}
_PRICES: Final = {"standard": 20, "professional": 35, "enterprise": 50, "ultimate": 65, "crmplus": 69}
_RUPEES: Final = 40
_LOOK_BACK: Final = timedelta(days=60)
_YEAR: Final = 365


def entries(simulator: Simulator, data_centers: Mapping[str, DataCenter], now: datetime) -> list[OrgEntry]:
    """The orgs of the simulated Zoho, as `poller orgs import` reads them."""
    new = never_polled(simulator.options.orgs)
    read = [
        entry_from(
            org.row()
            | {"tags": _tags(org.index, org.data_center)}
            | _contract(simulator, org.index, now)
            | ({"poll_interval": f"{DAY_SECONDS}s"} if org.index == new else {}),
            data_centers,
        )
        for org in simulator.fleet()
    ]
    return [entry for entry in read if isinstance(entry, OrgEntry)]


def _tags(index: int, data_center: str) -> list[str]:
    service = _SERVICE[index % len(_SERVICE)]
    return [tag for tag in (service, _REGIONS.get(data_center)) if tag]


def _contract(simulator: Simulator, index: int, now: datetime) -> dict[str, Any]:
    """Seats, price and renewal of most orgs; the seats of some growing orgs run out in weeks."""
    org = simulator.org(index)
    if index % 5 == 2 or org.edition == "free":
        return {}
    price = _PRICES.get(org.edition, 30)
    terms: dict[str, Any] = {
        "price": str(Decimal(price * (_RUPEES if org.data_center == "sim-in" else 1))),
        "currency": _CURRENCIES[org.data_center],
        "renews_on": (now + timedelta(days=7 + index * 37 % _YEAR)).date().isoformat(),
    }
    used = simulator.expected_count(index, SEAT_TYPE, now)
    growth = used - simulator.expected_count(index, SEAT_TYPE, now - _LOOK_BACK)
    if growth > 1 and index % 2 == 0:
        terms["seats"] = used + max(growth * (1 + index % 3) // 3, 1)
    return terms
