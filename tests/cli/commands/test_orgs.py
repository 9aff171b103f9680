from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]

pytestmark = pytest.mark.usefixtures("on_database")

HEADER = "name,data_center,client_id,client_secret,refresh_token,edition,licences\n"
SECRETS = ("4f1c9a7e5b2d8f60aa", "4f1c9a7e5b2d8f60bb")
ACME = f"Acme,us,1000.A,{SECRETS[0]},{SECRETS[1]},free,3\n"
BETA = f"Beta & Söhne,eu,1000.B,{SECRETS[0]},{SECRETS[1]},enterprise,50\n"


@pytest.fixture
def fleet(tmp_path: Path, poller: Poller) -> Path:
    path = tmp_path / "orgs.csv"
    path.write_text(HEADER + ACME + BETA)
    assert poller("orgs", "import", str(path)).code == 0
    return path


def shown(poller: Poller, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(poller("orgs", "show", name, "--json").out)
    return read


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_an_import_reports_its_changes_and_importing_again_changes_nothing(poller: Poller, fleet: Path) -> None:
    assert poller("orgs", "import", str(fleet)).out == "2 orgs: 0 added, 0 changed, 2 same.\n"
    fleet.write_text(HEADER + ACME.replace("free", "standard") + BETA)
    dry = poller("orgs", "import", str(fleet), "--dry-run")
    assert dry.out == "Acme would be changed: edition\n2 orgs: 0 would be added, 1 changed, 1 same.\n"
    assert shown(poller, "Acme")["edition"] == "free"
    assert poller("orgs", "import", str(fleet)).out == "2 orgs: 0 added, 1 changed, 1 same.\n"
    assert shown(poller, "Acme")["edition"] == "standard"


def test_a_file_with_one_bad_row_imports_nothing(poller: Poller, tmp_path: Path) -> None:
    path = tmp_path / "orgs.csv"
    path.write_text(HEADER + ACME + BETA.replace("eu", "xx") + ACME.replace("Acme", ""))
    ended = poller("orgs", "import", str(path))
    assert (ended.code, ended.out) == (2, "")
    first, second, last = ended.err.splitlines()
    assert first.startswith(f"{path}: line 3: data centre 'xx' is unknown")
    assert second == f"{path}: line 4: name is missing"
    assert last.startswith("poller: 2 rows are wrong, so nothing is imported")
    assert poller("orgs", "list").err.startswith("There is no org yet")


def test_orgs_are_listed_as_a_table_or_as_one_json_object_per_line(poller: Poller, fleet: Path) -> None:
    heading, acme, beta = poller("orgs", "list").out.splitlines()
    headings = ["org", "state", "last", "poll", "counts", "active", "data", "centre", "edition", "licences", "tags"]
    assert heading.split() == headings
    assert acme.split() == ["Acme", "never_polled", "·", "·", "·", "us", "free", "3"]
    assert beta.split() == ["Beta", "&", "Söhne", "never_polled", "·", "·", "·", "eu", "enterprise", "50"]
    lines = [json.loads(line) for line in poller("orgs", "list", "--json").out.splitlines()]
    assert [(line["org"], line["state"], line["counts"]) for line in lines] == [
        ("Acme", "never_polled", {}),
        ("Beta & Söhne", "never_polled", {}),
    ]
    assert shown(poller, "Acme")["grant"] == "refresh_token"


def test_an_org_is_shown_with_its_effective_interval_and_without_secrets(poller: Poller, fleet: Path) -> None:
    ended = poller("orgs", "show", "Acme")
    assert "30m, stretched from 15m: 10% of the credits pay no more" in ended.out
    assert not any(secret in ended.out + poller("orgs", "show", "Acme", "--json").out for secret in SECRETS)
    assert "stretched" not in poller("orgs", "show", "Beta & Söhne").out


def test_an_org_is_paused_and_resumed(poller: Poller, fleet: Path) -> None:
    assert poller("orgs", "pause", "Acme").out == "1 org paused.\n"
    assert shown(poller, "Acme")["state"] == "paused"
    assert poller("orgs", "pause", "Acme", "Beta & Söhne").out == "1 org paused.\n"
    assert poller("orgs", "resume", "Acme", "Beta & Söhne").out == "2 orgs resumed.\n"
    assert shown(poller, "Acme")["state"] == "never_polled"


@pytest.mark.parametrize(
    "command",
    [["orgs", "show"], ["orgs", "pause"], ["orgs", "resume"], ["orgs", "remove", "--yes"], ["poll"], ["trend"]],
)
def test_an_unknown_org_name_gets_a_suggestion(poller: Poller, fleet: Path, command: list[str]) -> None:
    ended = poller(*command, "Acne")
    assert ended.code == 2
    assert ended.error == "poller: there is no org 'Acne'; did you mean 'Acme'?"


def test_removing_an_org_needs_a_confirmation_and_without_a_terminal_removes_nothing(
    poller: Poller, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, "")
    ended = poller("orgs", "remove", "Acme")
    assert (ended.code, ended.error) == (2, "poller: no terminal to confirm at; pass --yes")
    assert shown(poller, "Acme")["state"] == "never_polled"
    assert poller("orgs", "remove", "Acme", "--yes").out == "1 org removed.\n"
    assert shown(poller, "Acme")["state"] == "removed"
    assert poller("orgs", "remove", "Acme", "--purge", "--yes").out == "1 org purged.\n"


def test_removed_orgs_can_be_restored_by_their_state(poller: Poller, fleet: Path) -> None:
    assert poller("orgs", "remove", "Acme", "--yes").code == 0
    assert poller("orgs", "restore", "--state", "paused", "Acme").code == 2
    assert shown(poller, "Acme")["state"] == "removed"
    assert poller("orgs", "restore", "--state", "removed", "--data-center", "us").out.startswith("Acme is back, paused")
    assert shown(poller, "Acme")["state"] == "paused"
    assert "every org" not in poller("orgs", "restore", "--help").out


def test_a_removed_org_keeps_its_name_and_history_and_can_be_restored(
    poller: Poller, fleet: Path, tmp_path: Path
) -> None:
    assert poller("orgs", "remove", "Acme", "--yes").out == "1 org removed.\n"
    for command in (["trend", "Acme"], ["gaps", "Acme"], ["orgs", "show", "Acme"]):
        assert poller(*command).code == 0, command
    exported = poller("export", "--format", "csv", "--out", str(tmp_path / "counts"), "--org", "Acme")
    assert exported.code == 0
    assert '"state": "removed"' in poller("orgs", "show", "Acme", "--json").out
    assert [json.loads(line)["org"] for line in poller("orgs", "list", "--json").out.splitlines()] == ["Beta & Söhne"]
    restored = poller("orgs", "restore", "Acme")
    assert restored.code == 0
    assert restored.out.startswith(
        "Acme is back, paused until it has credentials: give its client id, client secret and a"
    )
    assert shown(poller, "Acme")["state"] == "paused"
    poller("orgs", "set", "Acme", "--tag", "gone")
    poller("orgs", "remove", "Acme", "--yes")
    assert poller("orgs", "restore", "--tag", "gone").code == 0
    assert poller("orgs", "restore", "Acme").error.startswith("poller: the org 'Acme' is not removed")
    assert poller("orgs", "resume", "Acme").error.startswith("poller: the org 'Acme' has no credentials")
    assert poller("orgs", "import", str(fleet)).out == "2 orgs: 0 added, 1 changed, 1 same.\n"
    assert shown(poller, "Acme")["state"] == "never_polled"


def test_a_restored_org_gets_new_credentials_with_orgs_add(
    poller: Poller, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poller("orgs", "set", "Acme", "--tag", "vip")
    poller("orgs", "remove", "Acme", "--yes")
    poller("orgs", "restore", "Acme")
    piped(monkeypatch, f"client_secret={SECRETS[0]}\nrefresh_token=1000.new\n")
    assert poller("orgs", "add", "Acme", "--data-center", "us", "--client-id", "1000.A").code == 0
    org = shown(poller, "Acme")
    assert (org["state"], org["tags"], org["edition"]) == ("never_polled", ["vip"], "free")


def test_settings_are_set_and_unset_without_a_secret(poller: Poller, fleet: Path) -> None:
    assert poller("orgs", "set", "Acme", "--tag", "a,b", "--poll-interval", "5m").out == "1 org changed.\n"
    org = shown(poller, "Acme")
    assert (org["tags"], org["poll_interval_seconds"]) == (["a", "b"], 300)
    again = poller("orgs", "set", "Acme", "Beta & Söhne", "--tag", "a")
    assert again.out == "1 org changed, 1 as asked already.\n"
    assert poller("orgs", "set", "--tagged", "a", "--untag", "a", "--poll-interval", "default").code == 0
    org = shown(poller, "Acme")
    assert (org["tags"], org["poll_interval_seconds"]) == (["b"], None)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([], "nothing to change: no option is given"),
        (["--licences", "many"], "--licences: licences 'many' is not a number of licences; write such a value, or"),
        (["--poll-interval", "2h30"], "--poll-interval: poll_interval '2h30' is not"),
        (["--tag", "a", "--untag", "a"], "--tag and --untag name 'a'"),
    ],
)
def test_an_invalid_org_setting_is_refused_in_one_line(
    poller: Poller, fleet: Path, options: list[str], error: str
) -> None:
    ended = poller("orgs", "set", "Acme", *options)
    assert ended.code == 2
    assert error in ended.error


def test_commands_that_change_orgs_ask_for_a_selection(poller: Poller, fleet: Path) -> None:
    for command in ("pause", "resume", "remove", "restore"):
        ended = poller("orgs", command)
        assert (ended.code, ended.error.partition(";")[0]) == (2, "poller: no org is given")
    assert poller("orgs", "pause", "--data-center", "eu").out == "1 org paused.\n"
    assert poller("orgs", "resume", "--state", "paused").out == "1 org resumed.\n"
    nothing = poller("orgs", "resume", "--state", "paused")
    assert (nothing.code, nothing.error) == (2, "poller: no org matches --state paused; see `poller orgs list`")
    assert "no such state" in poller("orgs", "pause", "--state", "broken").error


def test_an_org_is_renamed_with_its_history_and_back(poller: Poller, fleet: Path) -> None:
    before = shown(poller, "Acme")["id"]
    assert poller("orgs", "rename", "Acme", "  Acme   Ltd ").out == "Acme is now Acme Ltd.\n"
    assert shown(poller, "Acme Ltd")["id"] == before
    assert poller("orgs", "rename", "Acme Ltd", "Beta & Söhne").error.startswith(
        "poller: there is an org 'Beta & Söhne'"
    )
    assert poller("orgs", "rename", "Acme Ltd", "Acme").code == 0


def test_an_org_is_added_by_lines_on_standard_input(poller: Poller, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, f"# Acme\nclient_secret={SECRETS[0]}\n\nRefresh Token = {SECRETS[1]}\ntags=a,b\n")
    ended = poller("orgs", "add", "Acme", "--data-center", "eu", "--client-id", "1000.A", "--poll-interval", "5m")
    assert (ended.code, ended.err) == (0, "")
    org = shown(poller, "Acme")
    assert (org["data_center"], org["poll_interval_seconds"], org["tags"]) == ("eu", 300, ["a", "b"])


def test_an_org_is_added_once(poller: Poller, fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, f"client_secret={SECRETS[0]}\nsoid=ZohoCRM.600012345\n")
    ended = poller("orgs", "add", "Acme", "--data-center", "eu", "--client-id", "1000.A")
    assert (ended.code, ended.error) == (
        2,
        "poller: there is an org 'Acme' already; change it with `poller orgs import` or `poller orgs set`",
    )
    assert shown(poller, "Acme")["data_center"] == "us"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"{SECRETS[0]}\n", "line 1 of standard input: it is not KEY=VALUE"),
        (f"\n{SECRETS[0]}={SECRETS[1]}\n", "line 2 of standard input: a field has no name the poller knows"),
        (f"client_sekret={SECRETS[1]}\n", "there is no field 'client_sekret', did you mean client_secret?"),
        ("", "client_secret is missing; one of refresh_token, grant_code and soid is needed"),
        (f"client_secret={SECRETS[0]} x\nrefresh_token={SECRETS[1]}\n", "client_secret has a space"),
    ],
)
def test_errors_of_orgs_add_do_not_repeat_secrets(
    poller: Poller, monkeypatch: pytest.MonkeyPatch, text: str, error: str
) -> None:
    piped(monkeypatch, text)
    ended = poller("orgs", "add", "Acme", "--data-center", "eu", "--client-id", "1000.A")
    assert ended.code == 2
    assert error in ended.error
    assert not any(secret in ended.err for secret in SECRETS)


def test_a_secret_as_an_argument_is_refused(poller: Poller) -> None:
    for option in ("--client-secret", "--refresh-token", "--grant-code"):
        assert poller("orgs", "add", "Acme", option, SECRETS[0]).code == 2


def test_migrate_changes_nothing_if_the_database_is_up_to_date(poller: Poller) -> None:
    for arguments in (["migrate", "--check"], ["migrate"]):
        ended = poller(*arguments)
        assert ended.code == 0
        assert ended.error.startswith("The database is up to date, at revision ")


def test_the_status_counts_orgs_by_state(poller: Poller, fleet: Path) -> None:
    poller("orgs", "pause", "Acme")
    fleet_part, _, service_part = poller("status").out.partition("\n\n")
    facts = dict(line.rsplit(maxsplit=1) for line in fleet_part.splitlines())
    assert facts == {"orgs": "2", "never_polled": "1", "paused": "1"}
    assert "no `poller run` was seen in the last minute" in service_part
    assert "within 15m  0 of 1 active orgs" in service_part


def test_every_command_that_takes_orgs_selects_them_by_tag_state_and_data_centre(
    poller: Poller, fleet: Path, tmp_path: Path
) -> None:
    poller("orgs", "set", "Acme", "--tag", "vip")
    for command in (["trend"], ["gaps"], ["orgs", "list"], ["orgs", "show"]):
        out = poller(*command, "--tag", "vip", "--state", "never_polled", "--data-center", "us").out
        assert "Acme" in out, command
        assert "Beta" not in out, command
    nobody = ["--tag", "vip", "--data-center", "eu"]
    export = ["export", "--format", "csv", "--out", str(tmp_path / "counts")]
    for command in (["trend"], ["gaps"], ["poll"], ["orgs", "check"], ["orgs", "pause"], export):
        ended = poller(*command, *nobody)
        assert (ended.code, ended.error) == (
            2,
            "poller: no org matches --tag vip --data-center eu; see `poller orgs list`",
        ), command
