from __future__ import annotations

import csv
import io
import json
from datetime import date
from decimal import Decimal

import pytest

from poller.core.org_entry import OrgEntry, entry_from

GOOD = {"name": "a", "data_center": "us", "client_id": "1000.A", "client_secret": "s", "refresh_token": "1000.r.t"}


def entry(**written: object) -> OrgEntry | list[str]:
    return entry_from({**GOOD, **written}, ["us"])


def test_a_contract_is_read_the_same_from_text_and_from_json() -> None:
    row = next(csv.DictReader(io.StringIO("seats,price,currency,renews_on\n120,19.9,eur,2027-01-31\n")))
    document = json.loads('{"seats": 120, "price": 19.9, "currency": "EUR", "renews_on": "2027-01-31"}')
    for written in (row, document):
        found = entry(**written)
        assert isinstance(found, OrgEntry)
        assert (found.seats, found.price, found.currency) == (120, Decimal("19.9"), "EUR")
        assert found.renews_on == date(2027, 1, 31)


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("seats", "many", "seats 'many' is not a number of seats"),
        ("seats", "-1", "seats '-1' is not a number of seats"),
        ("price", "free", "price 'free' is not a price such as 20 or 19.90"),
        ("price", "NaN", "price 'NaN' is not a price such as 20 or 19.90"),
        ("price", "-1", "price '-1' is not a price such as 20 or 19.90"),
        ("currency", "euro", "currency 'euro' is not a currency of three letters such as EUR"),
        ("renews_on", "2027-02-30", "renews_on (of 10 characters) is not a day such as 2027-01-31"),
        ("renews_on", "soon", "renews_on 'soon' is not a day such as 2027-01-31"),
    ],
)
def test_an_invalid_contract_value_is_named_with_its_column(column: str, text: str, reason: str) -> None:
    assert entry(**{column: text}) == [reason]
