"""`poller orgs import`: the sources of a file, and how errors in a file are shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]

pytestmark = pytest.mark.usefixtures("on_database")

HEADER = "name,data_center,client_id,client_secret,refresh_token\n"
SECRETS = ("4f1c9a7e5b2d8f60cc", "4f1c9a7e5b2d8f60dd")
ACME = f"Acme,us,1000.A,{SECRETS[0]},{SECRETS[1]}\n"


async def test_orgs_are_imported_from_standard_input() -> None:
    org = dict(zip(HEADER.strip().split(","), ACME.strip().split(","), strict=True))
    for content in (HEADER + ACME, json.dumps([org], indent=2)):
        ended = await command.run("orgs", "import", "-", "--dry-run", stdin=content.encode())
        assert (ended.code, ended.out) == (0, "1 org: 1 would be added, 0 changed, 0 same.\n"), ended


async def test_an_error_in_rows_from_standard_input_names_standard_input() -> None:
    ended = await command.run("orgs", "import", "-", stdin=(HEADER + ACME.replace("Acme", "")).encode())
    assert ended.err.splitlines() == [
        "standard input: line 2: name is missing",
        "poller: 1 row is wrong, so nothing is imported; fix standard input and import it again",
    ]


def test_orgs_are_imported_from_a_process_substitution() -> None:
    script = f"exec {sys.executable} -m poller orgs import <(printf '%s' \"$ORGS\") --dry-run"
    ended = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "ORGS": HEADER + ACME}, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, b"1 org: 1 would be added, 0 changed, 0 same.\n"), ended


def test_the_download_of_zohos_api_console_is_imported_with_a_given_name_and_data_centre(
    poller: Poller, tmp_path: Path
) -> None:
    path = tmp_path / "self_client.json"
    client = {"client_id": "1000.A", "client_secret": SECRETS[0], "grant_type": "authorization_code"}
    path.write_text(json.dumps({**client, "scope": ["ZohoCRM.users.READ"], "expiry_time": 1, "code": SECRETS[1]}))
    ended = poller("orgs", "import", str(path), "--name", "Acme", "--data-center", "eu", "--dry-run")
    assert (ended.code, ended.out) == (0, "1 org: 1 would be added, 0 changed, 0 same.\n")
    with path.open("rb") as stdin:
        added = subprocess.run(
            [*command.POLLER, "orgs", "add", "Acme", "--data-center", "eu", "--client-id", "1000.A", "--zgid", "x"],
            stdin=stdin,
            capture_output=True,
            check=False,
        )
    # Every field was read: only the one that is wrong is named.
    assert added.stderr.startswith(b"poller: the org cannot be added: zgid 'x' is not like 600012345;")
    ended = poller("orgs", "import", str(path))
    assert ended.code == 2
    assert ended.err.splitlines()[0].endswith("a self_client.json names no org: add --name and --data-center")


def test_bad_rows_with_the_same_reason_share_a_line(poller: Poller, tmp_path: Path) -> None:
    path = tmp_path / "orgs.csv"
    path.write_text(HEADER + "".join(ACME.replace("Acme,us", f"Org {number},xx") for number in range(1_500)))
    ended = poller("orgs", "import", str(path))
    first, last = ended.err.splitlines()
    assert first == (
        f"{path}: lines 2, 3, 4, 5, 6 and 1,495 more: data centre 'xx' is unknown, known are"
        " ae, au, ca, cn, eu, in, jp, sa, uk, us (POLLER_DATA_CENTERS adds others)"
    )
    assert last == f"poller: 1,500 rows are wrong, so nothing is imported; fix {path} and import it again"


def test_an_ansi_file_is_refused_in_one_line_that_says_how_to_save_it_as_utf_8(poller: Poller, tmp_path: Path) -> None:
    path = tmp_path / "orgs.csv"
    path.write_bytes((HEADER + "".join(ACME.replace("Acme", f"Café {number}") for number in range(9))).encode("cp1252"))
    first, _ = poller("orgs", "import", str(path)).err.splitlines()
    assert first == (
        f"{path}: lines 2, 3, 4, 5, 6 and 4 more: name is not UTF-8: save the file as UTF-8 (in Excel: 'CSV UTF-8')"
    )
