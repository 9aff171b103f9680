"""`poller alerts rules`: adding, changing, removing and excluding, each undone; addresses, which are secrets."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from poller.store.database import connect
from poller.store.orgs.encryption import Keyring
from tests.alert_rows import add_alert
from tests.store.fleet import added, entry
from tests.witness import WITNESS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]

HOOK = "webhook+http://127.0.0.1:9/hooks/t0ken-of-the-night-shift"


@pytest.fixture
def fleet(on_database: str) -> str:
    """Two orgs, the first with an alert of `seats_used`."""

    async def write() -> None:
        async with await connect(on_database) as database:
            acme = replace(entry("Acme"), tags=("gold",))
            first, _ = await added(database, Keyring({"k1": bytes(32)}), acme, entry("Birch"))
            await add_alert(database, "seats_used", first)

    asyncio.run(write())
    WITNESS.know(HOOK)
    return on_database


def rows(ended: Ended) -> list[Any]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def rule(poller: Poller, name: str) -> Any:
    return next(one for one in rows(poller("alerts", "rules", "list", "--json")) if one["name"] == name)


@pytest.mark.usefixtures("fleet")
def test_a_new_installation_has_eight_rules_that_are_on(poller: Poller) -> None:
    told = rows(poller("alerts", "rules", "list", "--json"))
    names = "admins_up counts_unknown org_parked seats_run_out seats_used step users_zero worker_clock"
    assert [one["name"] for one in told] == names.split()
    assert all(one["enabled"] for one in told)
    table = poller("alerts", "rules", "list")
    assert "seats_used_percent >= 95 %" in table.out
    # The workers may have addresses that this shell does not know.
    assert "POLLER_NOTIFY_URLS (not set here)" in table.out
    assert "If no worker has it, rules without an address of their own send no messages" in table.err


@pytest.mark.usefixtures("fleet")
def test_a_rule_is_added_with_every_option_and_each_option_is_changed_back(poller: Poller) -> None:
    condition = ("--metric", "adminusers", "--above", "10", "--for", "1h", "--clear", "2h", "--severity", "critical")
    orgs = ("--org", "Acme", "--tag", "gold", "--data-center", "eu")
    quiet = ("--quiet", "22:00-07:00", "--zone", "Europe/Berlin")
    added = poller("alerts", "rules", "add", "many_admins", *condition, *orgs, *quiet, "--disable")
    assert added.out.startswith("The rule many_admins is added;")
    told = rule(poller, "many_admins")
    assert told == {
        "name": "many_admins",
        "metric": "AdminUsers",
        "comparison": ">",
        "threshold": 10,
        "unit": "users",
        "for_seconds": 3_600,
        "clear_seconds": 7_200,
        "severity": "critical",
        "orgs": ["Acme"],
        "tags": ["gold"],
        "data_centers": ["eu"],
        "quiet": {"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"},
        "to": [],
        "enabled": False,
    }
    poller("alerts", "rules", "set", "many_admins", "--all-orgs", "--quiet", "none", "--at-most", "3", "--enable")
    poller("alerts", "rules", "set", "many_admins", "--for", "0", "--severity", "info")
    changed = rule(poller, "many_admins")
    assert (changed["orgs"], changed["tags"], changed["quiet"], changed["enabled"]) == ([], [], None, True)
    assert (changed["comparison"], changed["threshold"]) == ("<=", 3)
    assert (changed["for_seconds"], changed["severity"], changed["clear_seconds"]) == (0, "info", 7_200)
    audit = [(one["action"], one["detail"]["rule"]) for one in rows(poller("audit", "--json"))]
    assert audit == [("rule_changed", "many_admins")] * 2 + [("rule_added", "many_admins")]


@pytest.mark.usefixtures("fleet")
def test_a_removed_rule_resolves_its_alerts_and_can_be_brought_back(poller: Poller) -> None:
    assert poller("alerts", "rules", "remove", "seats_used").out.startswith("The rule seats_used is removed")
    (alert,) = rows(poller("alerts", "--json"))
    assert (alert["state"], alert["resolved_reason"]) == ("resolved", "the rule was removed")
    assert len(rows(poller("alerts", "rules", "list", "--json"))) == 7
    assert poller("alerts", "rules", "remove", "seats_used", "--undo").out == "The rule seats_used is back.\n"
    assert rule(poller, "seats_used")["threshold"] == 95


@pytest.mark.usefixtures("fleet")
def test_an_exclusion_says_why_and_until_when_and_is_undone(poller: Poller) -> None:
    about = ("seats_used", "--org", "Acme", "--type", "ActiveUsers")
    assert poller("alerts", "rules", "exclude", *about, "--until", "30d", "--reason", "trial").code == 0
    assert poller("alerts", "rules", "exclude", "--org", "Birch").out == "1 exclusion stored.\n"
    assert poller("alerts", "rules", "exclude", *about, "--reason", "longer trial").code == 0
    told = {one["org"]: one for one in rows(poller("alerts", "rules", "exclusions", "--json"))}
    assert (told["Acme"]["rule"], told["Acme"]["user_type"]) == ("seats_used", "ActiveUsers")
    assert (told["Acme"]["reason"], told["Acme"]["until"]) == ("longer trial", None)
    assert (told["Birch"]["rule"], told["Birch"]["by"]) == (None, "command line")
    assert "for ever" in poller("alerts", "rules", "exclusions").out
    assert poller("alerts", "rules", "exclude", *about, "--undo").out == "1 exclusion ended.\n"
    assert [one["org"] for one in rows(poller("alerts", "rules", "exclusions", "--json"))] == ["Birch"]
    assert [one["action"] for one in rows(poller("audit", "--json"))][:2] == ["included", "excluded"]


@pytest.mark.usefixtures("fleet")
def test_addresses_are_read_from_a_file_or_standard_input_and_only_their_scheme_is_shown(
    poller: Poller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hooks").write_text(f"# the night shift\n{HOOK}\n")
    assert poller("alerts", "rules", "set", "step", "--to-file", "hooks").err == ""
    assert rule(poller, "step")["to"] == ["webhook+http://…"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{HOOK}\n{HOOK}2\n"))
    assert poller("alerts", "rules", "set", "step", "--to", "-").err == ""
    assert rule(poller, "step")["to"] == ["webhook+http://…"] * 2
    assert poller("alerts", "rules", "set", "step", "--to-default").code == 0
    assert rule(poller, "step")["to"] == []
    warned = poller("alerts", "rules", "set", "step", "--to", HOOK)
    assert warned.err.startswith("poller: warning: other users of this machine can read an address in --to;")
    assert "t0ken" not in poller("audit", "--json").out + warned.out + warned.err


@pytest.mark.usefixtures("fleet")
def test_an_address_that_cannot_be_used_is_refused_without_showing_it(poller: Poller, tmp_path: Path) -> None:
    (tmp_path / "hooks").write_text("nosuchservice://user:t0ken@example.org\n")
    for arguments in (("rules", "set", "step", "--to-file", "hooks"), ("test", "--file", "hooks")):
        refused = poller("alerts", *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert "t0ken" not in refused.error
        assert "; " in refused.error
    assert rule(poller, "step")["to"] == []


@pytest.mark.usefixtures("fleet")
def test_a_message_that_is_not_delivered_is_an_error_with_a_remedy(poller: Poller, tmp_path: Path) -> None:
    (tmp_path / "hooks").write_text(HOOK)
    failed = poller("alerts", "test", "--file", "hooks")
    assert (failed.code, failed.out) == (1, "")
    assert failed.error.startswith("poller: webhook+http://…: ")
    assert "t0ken" not in failed.err


@pytest.mark.usefixtures("fleet")
def test_trying_a_rule_shows_what_it_does_now_and_would_have_done(poller: Poller) -> None:
    told = json.loads(poller("alerts", "rules", "test", "seats_used", "--json").out)
    assert (told["rule"], told["enabled"], told["preview"]["days"]) == ("seats_used", True, 30)
    # Nothing is known of the seats of the org whose alert is open.
    assert [(one["org"], one["holds"]) for one in told["now"]] == [("Acme", None)]
    text = poller("alerts", "rules", "test", "seats_used").out
    assert text.startswith("seats_used: seats_used_percent >= 95 %, warning\n")
    assert "it holds for nobody" in text
    poller("alerts", "rules", "set", "step", "--disable")
    assert "now: it is disabled" in poller("alerts", "rules", "test", "step").out
    assert "unknown, because" in poller("alerts", "rules", "test", "org_parked").out
