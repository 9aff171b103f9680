from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from poller.core.datacenters import ZOHO_DATA_CENTERS
from poller.core.errors import UsageError
from poller.core.names import normal_name
from poller.core.org_entry import FIELDS, OrgEntry
from poller.core.secret import Secret
from poller.onboarding.org_file import BadRow, read_org_file, read_orgs

if TYPE_CHECKING:
    from pathlib import Path

    from poller.onboarding.org_file.lines import FileFormat

HEADER = "name,data_center,client_id,client_secret,refresh_token"
GOOD = "Acme,us,1000.A,s3cr3t,1000.r.t"
ACME = OrgEntry("Acme", "us", "1000.A", Secret("s3cr3t"), refresh_token=Secret("1000.r.t"))


def read(content: bytes | str, file_format: FileFormat | None = "csv") -> list[OrgEntry | BadRow]:
    raw = content.encode() if isinstance(content, str) else content
    return list(read_orgs(io.BytesIO(raw), ZOHO_DATA_CENTERS, file_format))


def reasons(content: bytes | str, file_format: FileFormat | None = "csv") -> list[str]:
    rows = read(content, file_format)
    assert all(isinstance(row, BadRow) for row in rows), rows
    return [str(row) for row in rows]


def json_line(**fields: Any) -> str:
    org = {"name": "Acme", "data_center": "us", "client_id": "1000.A", "client_secret": "s3cr3t"}
    return json.dumps(org | {"refresh_token": "1000.r.t"} | fields) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{GOOD}\n",
        f"{HEADER}\n{GOOD}",
        f"{HEADER}\r\n{GOOD}\r\n",
        f"{HEADER}\r{GOOD}\r",
        f"\ufeff{HEADER}\n{GOOD}\n",
        f"{HEADER}\n\n{GOOD}\n,,,,\n\n",
        f"\n\n{HEADER}\n{GOOD}\n",
        f"{HEADER}\n{GOOD}\n".replace(",", ";"),
        f"{HEADER}\n{GOOD}\n".replace(",", "\t"),
        f"sep=;\n{HEADER}\n{GOOD}\n".replace(",", ";"),
        "\ufeffName;Data Center;Client ID;client-secret;Refresh Token;\nAcme;US;1000.A;s3cr3t;1000.r.t;\n",
        '"name","data_center","client_id","client_secret","refresh_token"\n"Acme","us","1000.A","s3cr3t","1000.r.t"\n',
        f"{HEADER},soid,zgid\n Acme , us ,1000.A,s3cr3t, 1000.r.t ,,\n",
    ],
)
def test_a_csv_file_written_by_a_spreadsheet_is_read(content: str) -> None:
    assert read(content) == [ACME]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Acme\u00a0Ltd", "Acme Ltd"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("می\u200cروم", "می\u200cروم"),
        ("👩\u200d🚀 Space", "👩\u200d🚀 Space"),
    ],
)
def test_names_and_tags_with_joiners_emoji_and_unusual_spaces_are_normalised(written: str, name: str) -> None:
    (found,) = read(f"{HEADER},tags\n{written},us,1000.A,s,r,x;{written}\n")
    assert isinstance(found, OrgEntry)
    assert (found.name, found.tags) == (name, ("x", name))


def test_two_spellings_of_one_name_in_a_file_are_a_duplicate_name() -> None:
    _, second = read(f"{HEADER}\nCaf\u00e9,us,1000.A,s,r\nCafe\u0301\u00a0,us,1000.A,s,r\n")
    assert second == BadRow(3, "the name is there already, in line 2")


def test_every_optional_field_is_read() -> None:
    expected = OrgEntry(
        "Acme",
        "eu",
        "1000.A",
        Secret("s3cr3t"),
        soid="ZohoCRM.60001",
        zgid="60001",
        edition="enterprise",
        licences=25,
        poll_interval_seconds=300,
        api_version="v8",
        tags=("msp", "gold"),
    )
    columns = "name,data_center,client_id,client_secret,soid,zgid,edition,licences,poll_interval,api_version,tags"
    row = 'Acme,eu,1000.A,s3cr3t,ZohoCRM.60001,60001,Enterprise,25,5m,v8,"msp, gold,msp"'
    assert read(f"{columns}\n{row}\n") == [expected]
    line = json_line(
        data_center="eu",
        refresh_token=None,
        soid="ZohoCRM.60001",
        zgid=60001,
        edition="Enterprise",
        licences=25,
        poll_interval=300,
        api_version="v8",
        tags=["msp", "gold"],
    )
    assert read(line, "jsonl") == [expected]


def test_json_lines_are_read_with_blank_lines_between_objects() -> None:
    other = json_line(name="Zoë & Co")
    assert read(f"\ufeff{json_line()}\n\r\n{other}", "jsonl") == [ACME, read(other, "jsonl")[0]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",us,1000.A,s,r", "name is missing"),
        ("Acme,,1000.A,s,r", "data_center is missing"),
        ("Acme,us,,s,r", "client_id is missing"),
        ("Acme,us,1000.A,  ,r", "client_secret is missing"),
        ("Acme,us,1000.A,s,", "one of refresh_token, grant_code and soid is needed"),
        ("Acme,ue,1000.A,s,r", "data centre 'ue' is unknown, known are ae, au,"),
        ("Acme,us,1000 A,s,r", "client_id has a space or a character outside ASCII"),
        ("Acme,us,1000.A,s,r,extra", "it has 6 fields where the header names 5"),
        ("Acme,us,1000.A,s", "it has 4 fields where the header names 5"),
        ('Acme,us,1000.A,"s"x,r', "a quotation mark inside a quoted field must be doubled"),
        ("Ac\x00me,us,1000.A,s,r", "name has an invisible character in it: U+0000 at character 3"),
        (
            "Acme\u200b Ltd,us,1000.A,s,r",
            "name has an invisible character in it: U+200B (zero width space) at character 5",
        ),
        ("a" * 201 + ",us,1000.A,s,r", "name is longer than 200 characters"),
        # 200 characters as they are written, 400 in the spelling that is kept.
        ("\u0958" * 200 + ",us,1000.A,s,r", "name is longer than 200 characters"),
        ("\u200c,us,1000.A,s,r", "name has no visible character"),
        ('"unclosed,us,1000.A,s,r\n', "a quote opened here is not closed"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_reason(row: str, reason: str) -> None:
    (found,) = reasons(f"{HEADER}\n{row}")
    assert found.startswith(f"line 2: {reason}")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"licences": "many"}, "licences 'many' is not a number of licences"),
        ({"licences": -1}, "licences '-1' is not a number of licences"),
        ({"licences": 1.5}, "licences is not text"),
        ({"licences": True}, "licences is not text"),
        ({"licences": 10**400}, "licences '?' is not a number of licences"),
        ({"poll_interval": "soon"}, "poll_interval 'soon' is not seconds or 90s, 15m, 1h, from 1s to 1d"),
        ({"poll_interval": 0}, "poll_interval '0' is not seconds"),
        ({"poll_interval": "2d"}, "poll_interval '2d' is not seconds"),
        ({"api_version": "8"}, "api_version '8' is not like v8"),
        ({"zgid": "abc"}, "zgid 'abc' is not like 600012345"),
        ({"refresh_token": None, "soid": "60001"}, "soid '60001' is not like ZohoCRM.600012345"),
        ({"grant_code": "1000.g.c"}, "refresh_token and grant_code are given: one is enough"),
        ({"client_secret": 5}, "client_secret is not text"),
        ({"name": ["Acme"]}, "name is not text"),
        ({"name": "\ud800"}, "name is not UTF-8"),
        ({"tags": [1]}, "tags is not text"),
        ({"licenses": 5}, "there is no column 'licenses', did you mean licences?"),
        ({"interval": 5}, "there is no column 'interval'"),
        ({"edition": "Enterprize"}, "edition (of 10 characters) is unknown, did you mean enterprise? known are free, "),
        ({"edition": "gold"}, "edition 'gold' is unknown, known are free, standard, "),
        ({"data_center": "Europe"}, "data centre (of 6 characters) is unknown, known are ae, au, "),
        ({"name": "1000.8f2d5c4b8f2d5c4b8f2d5c4b"}, "name looks like a credential: are the columns in the order"),
        ({"tags": ["8f2d5c4b8f2d5c4b8f2d5c4b8f2d5c4b"]}, "tags looks like a credential: are the columns in the order"),
    ],
)
def test_a_bad_field_is_reported_by_its_name(fields: dict[str, Any], reason: str) -> None:
    (found,) = reasons(json_line(**fields), "jsonl")
    assert found.startswith(f"line 1: {reason}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "it is not JSON: "),
        ("[]", "it is not a JSON object"),
        ("7", "it is not a JSON object"),
        ("[" * 100_000, "it is not JSON that can be read"),
        ("1" * 5_000, "it is not JSON that can be read"),
        ('{"name": "a", "name": "b"}', "name is there twice"),
    ],
)
def test_a_line_that_is_not_an_org_is_reported(line: str, reason: str) -> None:
    (found,) = reasons(line, "jsonl")
    assert found.startswith(f"line 1: {reason}")


def test_all_errors_of_a_row_are_reported_together() -> None:
    (found,) = reasons(f"{HEADER}\n,mars,,,\n")
    assert [part.split(" is ")[0] for part in found.removeprefix("line 2: ").split("; ")] == [
        "name",
        "client_id",
        "client_secret",
        "one of refresh_token, grant_code and soid",
        "data centre 'mars'",
    ]


def test_a_duplicate_name_is_reported_with_the_line_of_the_first_one() -> None:
    first, second = read(f"{HEADER}\n{GOOD}\n{GOOD}\n")
    assert first == ACME
    assert second == BadRow(3, "the name is there already, in line 2")


def test_a_line_break_within_quotes_does_not_shift_line_numbers() -> None:
    rows = f'{HEADER},tags\n"Ac\nme",us,1000.A,s,r,x\n{GOOD},"a\r\nb"\nLast,xx,1000.A,s,r,\n'
    assert [row.line for row in read(rows) if isinstance(row, BadRow)] == [2, 4, 6]


NOT_UTF_8 = "name is not UTF-8: save the file as UTF-8 (in Excel: 'CSV UTF-8')"


def test_bytes_that_are_not_utf_8_are_reported_in_their_own_row_only() -> None:
    content = f"{HEADER}\nAcm\xe9,us,1000.A,s,r\n{GOOD}\n".encode("latin-1")
    assert read(content) == [BadRow(2, NOT_UTF_8), ACME]
    assert read(json_line(name="x").encode().replace(b'"x"', b'"\xff"'), "jsonl") == [BadRow(1, NOT_UTF_8)]


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_a_utf_16_file_is_named_as_utf_16(file_format: FileFormat) -> None:
    for sniffed in (file_format, None):
        (found,) = reasons(f"{HEADER}\n{GOOD}\n".encode("utf-16"), sniffed)
        assert "UTF-16" in found


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "line 1: there is no header"),
        ("\n\n", "line 1: there is no header"),
        (GOOD, "line 1: there is no header"),
        ("name,data_center,client_id", "line 1: there is no column client_secret"),
        (f"{HEADER},licenses", "line 1: there is no column 'licenses', did you mean licences?"),
        (f"{HEADER},name", "line 1: column name is there twice"),
    ],
)
def test_an_invalid_header_is_reported_once(header: str, reason: str) -> None:
    (found,) = reasons(header)
    assert found.startswith(reason)


def test_no_error_repeats_a_value_that_may_be_a_secret() -> None:
    secret = "4f1c9a7e5b2d8f604f1c9a7e5b2d8f604f1c9a7e5b"
    contents = [
        f"{secret},{secret}\n",
        f"{HEADER},{secret}\n",
        f"{HEADER}\n{secret},{secret},{secret},{secret} x,{secret}\n",
        f"{HEADER},soid,zgid,licences,poll_interval,api_version\nAcme,us,i,s,{','.join([secret] * 6)}\n",
    ]
    for content in contents:
        found = reasons(content)
        assert found
        assert secret not in "".join(found)
    assert secret not in "".join(reasons(json.dumps({secret: secret, "data_center": secret}), "jsonl"))


def test_a_line_without_an_end_is_not_read_into_memory() -> None:
    rows = read(f"{HEADER}\n{GOOD}\n" + "x" * 2_000_000)
    assert rows[0] == ACME
    assert isinstance(rows[-1], BadRow)
    assert "nothing is read from here on" in rows[-1].reason


@given(content=st.binary(max_size=400), file_format=st.sampled_from(["csv", "jsonl"]))
def test_reading_an_org_file_of_any_bytes_raises_nothing(content: bytes, file_format: FileFormat) -> None:
    assert all(isinstance(row, (OrgEntry, BadRow)) for row in read(content, file_format))


pieces = st.sampled_from(
    [b",", b";", b'"', b"\n", b"\r", b"\t", b"Acme", b"us", b"\xff", b"\x00", b"{", b"}", b":", b"1"]
)
fields = st.sampled_from([field.encode() for field in FIELDS])


@given(
    header=st.just(HEADER.encode()) | st.lists(fields, max_size=8).map(b",".join),
    rows=st.lists(pieces | fields, max_size=60).map(b"".join),
)
def test_reading_any_rows_below_a_valid_header_raises_nothing(header: bytes, rows: bytes) -> None:
    content = header + b"\n" + rows
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
    for row in read(content):
        assert isinstance(row, (OrgEntry, BadRow))
        assert isinstance(row, OrgEntry) or 1 <= row.line <= lines


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(written=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), anything))
def test_reading_any_json_object_raises_nothing(written: dict[str, Any]) -> None:
    (row,) = read(json.dumps(written), "jsonl")
    assert isinstance(row, (OrgEntry, BadRow))


letters = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)


@given(names=st.lists(letters.map(normal_name), unique=True))
def test_every_valid_org_is_read_in_order_in_both_formats(names: list[str]) -> None:
    lines = "".join(json_line(name=name) for name in names)
    assert [row.name for row in read(lines, "jsonl") if isinstance(row, OrgEntry)] == names
    quoted = "".join('"{}",us,i,s,r\n'.format(name.replace('"', '""')) for name in names)
    assert [row.name for row in read(f"{HEADER}\n{quoted}") if isinstance(row, OrgEntry)] == names


@pytest.mark.parametrize("name", ["orgs.CSV", "orgs.jsonl", "orgs.txt", "orgs"])
def test_the_format_of_an_org_file_is_detected_from_its_content_and_not_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"{HEADER}\n{GOOD}\nx\n{GOOD}\n")
    entries, bad = read_org_file(tmp_path / name, ZOHO_DATA_CENTERS)
    assert entries == [ACME]
    assert list(bad.messages()) == [
        "line 3: it has 1 fields where the header names 5",
        "line 4: the name is there already, in line 2",
    ]
    for content in (json_line(), json.dumps([json.loads(json_line())], indent=2), json_line() + json_line(name="Two")):
        (tmp_path / name).write_text(content)
        entries, bad = read_org_file(tmp_path / name, ZOHO_DATA_CENTERS)
        assert (entries[0], len(bad)) == (ACME, 0)


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"orgs\.xlsx is neither \.csv nor \.jsonl"):
        read_org_file(tmp_path / "orgs.xlsx", ZOHO_DATA_CENTERS)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_org_file(tmp_path / "orgs.csv", ZOHO_DATA_CENTERS)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_org_file(tmp_path / "folder.csv", ZOHO_DATA_CENTERS)


@pytest.mark.parametrize("beginning", [b"PK\x03\x04\x14\x00", b"\xd0\xcf\x11\xe0\xa1\xb1"])
def test_an_excel_workbook_is_refused_as_such(beginning: bytes) -> None:
    (found,) = reasons(beginning + bytes(range(256)), None)
    assert found == "line 1: the file is a workbook: save it as CSV (in Excel: 'CSV UTF-8')"


@pytest.mark.parametrize(
    ("column", "attribute"),
    [
        ("tags", "tags"),
        ("poll_interval", "poll_interval_seconds"),
        ("api_version", "api_version"),
        ("edition", "edition"),
        ("licences", "licences"),
        ("seats", "seats"),
        ("price", "price"),
        ("currency", "currency"),
        ("renews_on", "renews_on"),
    ],
)
@pytest.mark.parametrize("written", ['""', "null", "[]", '" "'])
def test_an_empty_value_clears_an_optional_field_and_an_absent_column_keeps_it(
    column: str, attribute: str, written: str
) -> None:
    (absent,) = read(f"{HEADER}\n{GOOD}\n")
    (empty,) = read(f"{HEADER},{column}\n{GOOD},\n")
    credentials = '"client_id": "1000.A", "client_secret": "s3cr3t", "refresh_token": "1000.r.t"'
    (json_row,) = read(f'{{"name": "Acme", "data_center": "us", {credentials}, "{column}": {written}}}\n', "jsonl")
    assert isinstance(absent, OrgEntry)
    assert isinstance(empty, OrgEntry)
    assert isinstance(json_row, OrgEntry)
    assert not absent.cleared
    assert empty.cleared == json_row.cleared == frozenset({attribute})
