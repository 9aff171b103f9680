"""JSON files as programs and Zoho's API console write them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from poller.core.datacenters import ZOHO_DATA_CENTERS
from poller.core.org_entry import OrgEntry
from poller.core.secret import Secret
from poller.onboarding.org_file import BadRow, read_orgs

ACME: dict[str, Any] = {
    "name": "Acme",
    "data_center": "us",
    "client_id": "1000.A",
    "client_secret": "s3cr3t",
    "refresh_token": "1000.r.t",
}
OTHER = ACME | {"name": "Other"}
SELF_CLIENT: dict[str, Any] = {
    "client_id": "1000.A",
    "client_secret": "s3cr3t",
    "grant_type": "authorization_code",
    "scope": ["ZohoCRM.users.READ", "ZohoCRM.org.READ"],
    "expiry_time": 1561014563999,
    "code": "1000.86a03ca5.cad9e1ae",
}


def read(content: str | bytes, **defaults: str) -> list[OrgEntry | BadRow]:
    raw = content.encode() if isinstance(content, str) else content
    return list(read_orgs(io.BytesIO(raw), ZOHO_DATA_CENTERS, defaults=defaults))


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ACME) + "\n" + json.dumps(OTHER) + "\n",
        json.dumps([ACME, OTHER]),
        json.dumps([ACME, OTHER], indent=2),
        json.dumps(ACME, indent=2) + "\n" + json.dumps(OTHER, indent=2),
        json.dumps(ACME, indent=2) + ",\n" + json.dumps(OTHER, indent=2),
        "\ufeff\n\n  " + json.dumps([ACME, OTHER], indent="\t").replace("\n", "\r\n"),
        json.dumps(ACME) + json.dumps(OTHER),
        json.dumps([ACME]) + "\n" + json.dumps([OTHER]),
    ],
)
def test_json_is_read_in_any_layout(content: str) -> None:
    assert [entry.name for entry in read(content) if isinstance(entry, OrgEntry)] == ["Acme", "Other"]


def test_a_bad_org_in_a_json_list_is_reported_with_its_first_line() -> None:
    content = json.dumps([ACME, OTHER | {"licences": "many"}, 7, ACME], indent=2)
    lines = content.splitlines()
    _, bad, number, twice = read(content)
    assert isinstance(bad, BadRow)
    assert isinstance(number, BadRow)
    assert isinstance(twice, BadRow)
    assert lines[bad.line - 1].strip() == "{"
    assert '"Other"' in lines[bad.line]
    assert lines[number.line - 1].strip() == "7,"
    assert number.reason == "it is not a JSON object: write a list of objects"
    assert twice.reason == "the name is there already, in line 2"


def test_a_truncated_json_list_is_reported_with_its_last_line() -> None:
    content = json.dumps([ACME, OTHER], indent=2)[:-5].rstrip()
    first, second = read(content)
    assert isinstance(first, OrgEntry)
    assert isinstance(second, BadRow)
    assert second.line == len(content.splitlines())
    assert second.reason.endswith("nothing is read from here on")


def test_an_empty_list_is_a_file_without_orgs() -> None:
    assert read("[]") == read("[ ]\n[]\n") == []


def test_the_download_of_zohos_api_console_is_read_as_an_org_with_a_grant_code() -> None:
    for content in (json.dumps(SELF_CLIENT), json.dumps(SELF_CLIENT, indent=4)):
        (entry,) = read(content, name="Acme", data_center="eu")
        code = Secret("1000.86a03ca5.cad9e1ae")
        assert entry == OrgEntry("Acme", "eu", "1000.A", Secret("s3cr3t"), grant_code=code)


def test_the_download_of_zohos_api_console_needs_a_name_and_a_data_centre() -> None:
    (found,) = read(json.dumps(SELF_CLIENT, indent=4))
    assert found == BadRow(
        1,
        "name is missing; data_center is missing; a self_client.json names no org: add --name and --data-center",
    )


def test_a_default_fills_only_what_a_row_leaves_out() -> None:
    bare = {field: value for field, value in OTHER.items() if field != "data_center"}
    first, second = read(json.dumps(ACME) + "\n" + json.dumps(bare), data_center="eu")
    assert isinstance(first, OrgEntry)
    assert isinstance(second, OrgEntry)
    assert (first.data_center, second.data_center) == ("us", "eu")
    csv = "name,data_center,client_id,client_secret,refresh_token\nAcme,,1000.A,s,r\n"
    (entry,) = read(csv, data_center="eu")
    assert isinstance(entry, OrgEntry)
    assert entry.data_center == "eu"


def test_one_default_name_for_two_rows_is_a_duplicate_name() -> None:
    rows = [{**SELF_CLIENT, "client_id": "1000.A"}, {**SELF_CLIENT, "client_id": "1000.B"}]
    _, second = read(json.dumps(rows), name="Acme", data_center="us")
    assert second == BadRow(1, "the name is there already, in line 1")
