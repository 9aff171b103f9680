from __future__ import annotations

import csv
import itertools
import json
import re
import tracemalloc

from hypothesis import given, strategies as st

from poller.simulator import import_lines
from poller.simulator.fleet import IMPORT_COLUMNS, Fleet

FLEET = Fleet(seed=5, size=60_000, data_centers=("sim-us", "sim-eu"))
NOON = 1_780_315_200.0


def test_no_two_orgs_have_the_same_name_id_or_secret() -> None:
    names = {FLEET.name(index) for index in range(FLEET.size)}
    zgids = {FLEET.zgid(index) for index in range(FLEET.size)}
    tokens = {FLEET.refresh_token(index) for index in range(2_000)} | {FLEET.refresh_token(0, 1)}
    assert len(names) == len(zgids) == FLEET.size
    assert len(tokens) == 2_001


def test_names_past_the_last_combination_are_numbered() -> None:
    assert FLEET.name(3 + 104_280) == f"{FLEET.name(3)} 2"


@given(index=st.integers(0, FLEET.size - 1), number=st.integers(0, 5))
def test_every_identifier_finds_its_org(index: int, number: int) -> None:
    assert FLEET.index_of_token(FLEET.refresh_token(index, number)) == index
    assert FLEET.index_of_token(FLEET.access_token(index, number)) == index
    assert FLEET.index_of_zgid(FLEET.zgid(index)) == index
    assert FLEET.client_of_id(FLEET.client_id(index)) == index


@given(text=st.text(max_size=40) | st.from_regex(r"\A1000\.[0-9a-f]{32}(\.[0-9a-f]{32})?\Z"))
def test_an_unknown_identifier_finds_no_org(text: str) -> None:
    assert FLEET.client_of_id(text) is None
    assert FLEET.index_of_token(text) is None or text.startswith("1000.0000")
    assert FLEET.index_of_zgid(text) is None or text.isdigit()


@given(index=st.integers(0, FLEET.size - 1))
def test_a_secret_is_long_hexadecimal_and_no_repr_shows_it(index: int) -> None:
    org = FLEET.org(index, at_seconds=NOON)
    for secret in (org.client_secret, org.refresh_token, org.grant_code):
        assert re.search(r"[0-9a-f]{32}", secret)
        assert secret not in repr(org)


def test_orgs_of_one_client_are_in_one_data_centre() -> None:
    fleet = Fleet(seed=5, size=100, data_centers=("a", "b", "c"), orgs_per_client=7)
    orgs = [fleet.org(index, at_seconds=NOON) for index in range(100)]
    for _, group in itertools.groupby(orgs, key=lambda org: org.client_id):
        assert len({org.data_center for org in group}) == 1
    assert len({org.client_id for org in orgs}) == 15
    assert {org.data_center for org in orgs} == {"a", "b", "c"}


def test_the_import_file_has_exactly_one_kind_of_credential_for_each_org_in_both_formats() -> None:
    fleet = Fleet(seed=5, size=90, data_centers=("sim-us",), grant_share=0.3, soid_share=0.3)
    orgs = [fleet.org(index, at_seconds=NOON) for index in range(90)]
    from_csv = list(csv.DictReader(import_lines(orgs, "csv")))
    from_jsonl = [json.loads(line) for line in import_lines(orgs, "jsonl")]
    assert tuple(from_csv[0]) == IMPORT_COLUMNS
    ways = []
    for org, comma, line in zip(orgs, from_csv, from_jsonl, strict=True):
        assert comma["name"] == line["name"] == org.name
        assert int(comma["licences"]) == line["licences"] == org.licences
        given_ways = [way for way in ("refresh_token", "grant_code", "soid") if comma[way]]
        assert given_ways == [way for way in ("refresh_token", "grant_code", "soid") if way in line]
        ways += given_ways
    assert len(ways) == 90
    assert set(ways) == {"refresh_token", "grant_code", "soid"}


def test_the_orgs_of_a_large_fleet_are_not_created_before_they_are_needed() -> None:
    tracemalloc.start()
    fleet = Fleet(seed=9, size=50_000, data_centers=("sim-us",))
    for index in range(0, 50_000, 5_000):
        fleet.name(index)
        fleet.refresh_token(index)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
