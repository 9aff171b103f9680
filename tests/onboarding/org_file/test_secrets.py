"""Errors never quote a part of a secret, and are never longer than a screen."""

from __future__ import annotations

import io
import json
import random
import string
import tracemalloc
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, strategies as st

from poller.core.datacenters import ZOHO_DATA_CENTERS
from poller.core.org_entry import FIELDS
from poller.core.org_entry_fields import SECRETS
from poller.onboarding.org_file import BadRow, BadRows, read_org_file, read_orgs
from tests.processor import growth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PIECE: Final = 6
SAFE: Final = "kqvwxzKQVWXZ6789"
"""Letters that no message contains: a message with these letters quotes the file."""
COLUMNS: Final = ("name", "data_center", "client_id", "client_secret", "refresh_token", "zgid", "edition", "tags")


def secret_of(draw: random.Random) -> str:
    letters = draw.choice([SAFE, SAFE[:6], SAFE[12:]])
    return "".join(draw.choices(letters, k=draw.randint(8, 44)))


def messages(content: bytes) -> str:
    bad = BadRows()
    for row in read_orgs(io.BytesIO(content), ZOHO_DATA_CENTERS):
        if isinstance(row, BadRow):
            bad.add(row)
    return "\n".join(bad.messages())


def leaked(secrets: list[str], told: str) -> list[str]:
    pieces = {secret[at : at + PIECE] for secret in secrets for at in range(len(secret) - PIECE + 1)}
    wrap = told.lower()
    return [piece for piece in pieces if piece.lower() in wrap]


def rows_of(draw: random.Random, secrets: list[str]) -> list[dict[str, str]]:
    rows = []
    for number in range(3):
        row = {"name": f"Org {number}", "data_center": "us", "client_id": "1000.A", "zgid": "60001"}
        row |= {"edition": "free", "tags": "a;b"}
        for field in ("client_secret", "refresh_token"):
            row[field] = secret_of(draw)
            secrets.append(row[field])
        rows.append(row)
    return rows


def written(draw: random.Random, secrets: list[str]) -> bytes:
    rows = rows_of(draw, secrets)
    layout = draw.randrange(4)
    if layout == 0:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if layout == 1:
        return json.dumps(rows, indent=2).encode()
    columns, delimiter = list(COLUMNS), draw.choice(",;\t")
    draw.shuffle(columns)
    lines = [columns, *([row[column] for column in columns] for row in rows)]
    return "".join(delimiter.join(line) + "\n" for line in lines).encode()


def shift_columns(draw: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    fields = lines[at].split(b",")
    turn = draw.randrange(len(fields))
    lines[at] = b",".join(fields[turn:] + fields[:turn])
    return b"\n".join(lines)


def drop_bytes(draw: random.Random, content: bytes) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + content[at + draw.choice([1, 1, 1, 5, 40]) :]


def drop_a_separator(draw: random.Random, content: bytes) -> bytes:
    places = [at for at, byte in enumerate(content) if byte in b',;\t\n":{}'] or [0]
    at = draw.choice(places)
    return content[:at] + content[at + 1 :]


def insert_a_separator(draw: random.Random, content: bytes) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + draw.choice([b",", b";", b"\n", b'"', b"\t", b"=", b"\xff", b"\x00"]) + content[at:]


def swap_pieces(draw: random.Random, content: bytes) -> bytes:
    one, two, three = sorted(draw.choices(range(len(content)), k=3))
    return content[:one] + content[two:three] + content[one:two] + content[three:]


def swap_fields(draw: random.Random, content: bytes) -> bytes:
    words = content.replace(b'"', b"\x01").split(b"\x01")
    one, two = draw.randrange(len(words)), draw.randrange(len(words))
    words[one], words[two] = words[two], words[one]
    return b'"'.join(words)


def truncate(draw: random.Random, content: bytes) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] if draw.random() < 0.5 else content[at:]


MUTATIONS: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (
    shift_columns,
    drop_bytes,
    drop_a_separator,
    insert_a_separator,
    swap_pieces,
    swap_fields,
    truncate,
)


def mutated(seed: int, times: int) -> Iterator[tuple[bytes, list[str]]]:
    draw = random.Random(seed)
    for _ in range(times):
        secrets: list[str] = []
        content = written(draw, secrets)
        for _ in range(draw.randint(1, 3)):
            content = draw.choice(MUTATIONS)(draw, content) or b"x"
        yield content, secrets


@pytest.mark.parametrize("seed", range(4))
def test_no_mutation_of_a_valid_file_makes_an_error_repeat_part_of_a_secret(seed: int) -> None:
    wrong = 0
    for content, secrets in mutated(seed, 3_000):
        told = messages(content)
        assert leaked(secrets, told) == [], (content, told)
        wrong += bool(told)
    # Else the mutations test nothing.
    assert wrong > 1_500


secret_texts = st.text(SAFE, min_size=8, max_size=44)


@given(values=st.permutations([*FIELDS]), secret=secret_texts, cut=st.integers(0, 10))
def test_a_secret_in_any_column_is_not_repeated_in_an_error(values: list[str], secret: str, cut: int) -> None:
    header = ",".join(FIELDS)
    for value in (secret, secret[cut:], f" {secret}", f"{secret}x"):
        row = ",".join(value if field in SECRETS or place % 2 else "5" for place, field in enumerate(values))
        assert leaked([secret], messages(f"{header}\n{row}\n{value},us,1\n".encode())) == []
        assert leaked([secret], messages(f"{header},{value}\n{row}\n".encode())) == []
        assert leaked([secret], messages(json.dumps(dict.fromkeys(values, value) | {value: value}).encode())) == []


def test_an_object_with_very_many_unknown_keys_gets_a_short_error_in_a_time_that_grows_with_their_number() -> None:
    keys = ["".join(random.Random(number).choices(string.ascii_lowercase, k=12)) for number in range(60_000)]

    def messages_of(many: int) -> str:
        return messages(json.dumps(dict.fromkeys(keys[:many], 1)).encode())

    # With the square of their number it would be a hundred times as long.
    assert growth(messages_of, 6_000, 60_000) < 40
    told = messages_of(60_000)
    assert len(told) < 1_000
    assert "and 59,9" in told
    assert len(messages((",".join(["name", *keys]) + "\n").encode())) < 1_000


def bad_rows(path: Path, many: int) -> Path:
    with path.open("w") as file:
        file.write("name,data_center,client_id,client_secret,refresh_token,zgid\n")
        for number in range(many):
            file.write(f"Org {number},xx,1000.A,s,r,\n" if number % 2 else f"Org {number},us,1000.A,s,r,a{number:X}\n")
    return path


def test_very_many_bad_rows_are_counted_and_told_in_short(tmp_path: Path) -> None:
    entries, bad = read_org_file(bad_rows(tmp_path / "orgs.csv", 100_000), ZOHO_DATA_CENTERS)
    told = list(bad.messages())
    assert (entries, len(bad), len(told)) == ([], 100_000, 51)
    assert told[1].startswith("lines 3, 5, 7, 9, 11 and 49,995 more: data centre 'xx' is unknown, known are ")
    assert told[-1].startswith("and ")
    assert told[-1].endswith(" more rows with other reasons")


def test_the_time_of_counting_bad_rows_grows_with_their_number(tmp_path: Path) -> None:
    paths = {many: bad_rows(tmp_path / f"{many}.csv", many) for many in (1_000, 10_000)}
    # With the square of their number it would be a hundred times as long.
    assert growth(lambda many: read_org_file(paths[many], ZOHO_DATA_CENTERS), 1_000, 10_000) < 40


def test_bad_rows_take_the_same_memory_however_many_they_are() -> None:
    bad = BadRows()
    for number in range(100):
        bad.add(BadRow(number, f"reason {number}"))
    tracemalloc.start()
    for number in range(100_000):
        bad.add(BadRow(number, f"other reason {number}"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100_000
    assert len(bad) == 100_100
