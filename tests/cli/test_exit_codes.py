"""Exit codes: 2 for invalid input in every command, typed or in a file; 1 only for an attempted action that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]

pytestmark = pytest.mark.usefixtures("on_database")

HEADER: Final = "name,data_center,client_id,client_secret,refresh_token,zgid"
ACME: Final = "Acme,us,1000.A,4f1c9a7e5b2d8f60aa,4f1c9a7e5b2d8f60bb,600000001"
FILES: Final[dict[str, tuple[str, ...]]] = {
    "acme.csv": (HEADER, ACME),
    "bad_row.csv": (HEADER, ACME.replace("us", "xx")),
    "twice.csv": (HEADER, ACME, ACME),
    "twin.csv": (HEADER, ACME.replace("Acme", "Beta")),
    "twin_of_zgid.csv": (HEADER, "Beta,us,1000.B,4f1c9a7e5b2d8f60cc,4f1c9a7e5b2d8f60dd,600000001"),
    "no_header.csv": (ACME,),
    "empty.csv": (),
    "broken.json": ('[{"name": "Acme"',),
    "orgs.xlsx": ("PK",),
    "series.csv": ("series,day,value", "a,2026-01-01,1"),
    "day.csv": ("series,day,value", "a,2026-13-01,1"),
    "columns.csv": ("x,y", "1,2"),
    "junk.zip": ("junk",),
    "faults.json": ('[{"name": "nope"}]',),
}
FILE_NAMES: Final = ("bad_row.csv", "twice.csv", "twin.csv", "twin_of_zgid.csv", "no_header.csv")
UNREADABLE: Final = ("empty.csv", "broken.json", "orgs.xlsx", "not_there.csv", ".")
NAMING: Final = (
    ("orgs", "show"),
    ("orgs", "check"),
    ("orgs", "pause"),
    ("orgs", "resume"),
    ("orgs", "remove", "--yes"),
    ("orgs", "restore"),
    ("orgs", "set", "--tag", "a"),
    ("poll",),
    ("trend",),
    ("gaps",),
    ("seats",),
    ("forecast",),
    ("anomalies",),
    ("export", "--format", "csv", "--out", "counts", "--org"),
    ("seats", "set", "--purchased", "3"),
)
"""Commands that take names of orgs at their end."""
WRONG: Final = (
    *((("orgs", "import", name)) for name in (*FILE_NAMES, *UNREADABLE)),
    *((*command, "nobody") for command in NAMING),
    *(
        (*command, "--state", "broken")
        for command in NAMING
        if command[0] != "export" and command[:2] != ("seats", "set")
    ),
    ("orgs", "rename", "nobody", "Beta"),
    ("orgs", "rename", "Acme", ""),
    ("orgs", "restore", "Acme", "--state", "removed"),
    ("orgs", "restore", "--state", "ok,never_polled"),
    ("access", "revoke", "nobody"),
    ("forecast", "Acme", "--format", "csv"),
    ("forecast", "Acme", "--series", "series.csv"),
    ("forecast", "--type", "AdminUsers", "--series", "series.csv"),
    ("forecast", "--type", ""),
    ("anomalies", "--since", ""),
    ("anomalies", "Acme", "--series", "series.csv"),
    ("anomalies", "--since", "7d", "--series", "series.csv"),
    ("anomalies", "--tag", "a", "--series", "series.csv"),
    ("anomalies", "--series", "series.csv", "--format", "xml"),
    ("anomalies", "--format", "csv"),
    ("orgs", "set", "Acme"),
    ("orgs", "set", "--tag", "a"),
    ("orgs", "set", "Acme", "--zgid", "abc"),
    ("orgs", "set", "Acme", "--licences", "many"),
    ("orgs", "add", "Acme", "--grant", "password"),
    ("seats", "set", "Acme", "--purchased", "x"),
    ("seats", "set", "Acme", "--renews-on", "2026-99-99"),
    ("seats", "--renews-within", "soon"),
    ("trend", "--since", "yesterday"),
    ("trend", "--plot", "counts.txt"),
    ("trend", "--plot", "nowhere/counts.png"),
    ("backup", "nowhere/backup.zip"),
    ("status", "--fail-on", ""),
    ("alerts", "--state", ""),
    *((*command, "Acme", "--tag=") for command in NAMING if command[0] != "export" and command[-2:] != ("--tag", "a")),
    ("orgs", "list", "--state", ""),
    ("report", "--out", "month.html", "--data-center", ","),
    ("gaps", "--tz", "Mars/Base"),
    ("status", "--fail-on", "broken"),
    ("forecast", "--series", "day.csv", "--horizon", "5", "--format", "csv"),
    ("forecast", "--series", "columns.csv", "--horizon", "5", "--format", "csv"),
    ("forecast", "--series", "not_there.csv", "--horizon", "5", "--format", "csv"),
    ("anomalies", "--series", "day.csv"),
    ("anomalies", "--series", "columns.csv"),
    ("restore", "junk.zip"),
    ("restore", "not_there.zip"),
    ("backup", "junk.zip"),
    ("export", "--format", "csv", "--out", "junk.zip"),
    ("simulate", "--faults", "faults.json"),
    ("simulate", "--faults", "not_there.json"),
    ("simulate", "--port", "99999"),
    ("demo", "--days", "-1"),
    ("keys", "rotate", "--bogus"),
    ("migrate", "--bogus"),
)


@pytest.fixture
def folder(tmp_path: Path, poller: Poller) -> Path:
    """The files above in the current folder, and the org Acme in the database."""
    for name, lines in FILES.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    assert poller("orgs", "import", "acme.csv").code == 0
    return tmp_path


def test_bad_input_exits_with_2_in_every_command_and_changes_nothing(poller: Poller, folder: Path) -> None:
    before = poller("orgs", "show", "Acme", "--json").out
    codes = {" ".join(arguments): poller(*arguments).code for arguments in WRONG}
    assert {line: code for line, code in codes.items() if code != 2} == {}
    assert poller("orgs", "list", "--json").out.count("\n") == 1
    assert poller("orgs", "show", "Acme", "--json").out == before


def test_bad_input_is_answered_on_standard_error_without_a_traceback(poller: Poller, folder: Path) -> None:
    for arguments in WRONG:
        ended = poller(*arguments)
        assert ended.out == "", arguments
        assert ended.err.startswith(("poller: ", *FILE_NAMES, *UNREADABLE)), (arguments, ended.err)
        assert "Traceback" not in ended.err, arguments


def test_the_error_for_an_unknown_state_names_the_option(poller: Poller, folder: Path) -> None:
    assert poller("status", "--fail-on", "broken").error.startswith("poller: --fail-on broken: there is no such state")


def test_a_dry_run_names_fields_as_in_the_import_file(poller: Poller, folder: Path) -> None:
    (folder / "acme.csv").write_text(f"{HEADER},poll_interval,tags\n{ACME},5m,a\n")
    ended = poller("orgs", "import", "acme.csv", "--dry-run")
    assert ended.out.splitlines()[0] == "Acme would be changed: poll_interval, tags"
