"""`poller access` and `poller audit`: keys for pages and API, and what was done with them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from poller.core.access_key import ShownKey
from tests.postgres import run_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.command import Ended

    Poller = Callable[..., Ended]

pytestmark = pytest.mark.usefixtures("on_database")


def test_add_prints_the_key_once_and_alone(poller: Poller) -> None:
    added = poller(
        "access", "add", "night shift", "--may", "operate", "--tag", "emea", "--tag", "gold", "--expires", "90d"
    )
    assert added.code == 0
    key = added.out.removesuffix("\n")
    assert ShownKey.parse(key) is not None
    assert "'night shift' may see and operate orgs tagged emea or gold, until 20" in added.err
    assert "cannot be shown again" in added.err
    assert key not in added.err
    for listed in (poller("access", "list"), poller("access", "list", "--json"), poller("audit", "--json")):
        assert listed.code == 0
        assert "night shift" in listed.out
        assert key.rsplit("_", 1)[1] not in listed.out + listed.err


def test_list_tells_what_each_key_may_do_and_whether_it_works(poller: Poller, on_database: str) -> None:
    assert "make one with `poller access add" in poller("access", "list").err
    for name in ("active", "expired", "revoked"):
        assert poller("access", "add", name, "--may", "read", "--expires", "1d").code == 0
    asyncio.run(run_on(on_database, "UPDATE access_keys SET expires_at = now() WHERE name = 'expired'"))
    assert "'revoked' is revoked" in poller("access", "revoke", "revoked").err
    rows = [json.loads(line) for line in poller("access", "list", "--json").out.splitlines()]
    assert [(row["name"], row["state"]) for row in rows] == [(name, name) for name in ("active", "expired", "revoked")]
    assert rows[0].keys() == {
        *("id", "name", "state", "may", "tags", "created_at", "expires_at", "last_used_at", "revoked_at"),
        "encryption_key",
    }
    assert (rows[0]["may"], rows[0]["tags"], rows[0]["last_used_at"]) == ("read", [], None)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("add", "noc"), 2, "--may"),
        (("add", "noc", "--may", "everything"), 2, "'--may': 'everything' is not one of 'read', 'operate'; see"),
        (("add", "noc", "--may", "read", "--expires", "soon"), 2, "'soon' is not a duration; write 15m"),
        (("add", "noc", "--may", "read", "--expires", "999999999y"), 2, "a key cannot end in more than 100 years"),
        (("add", " ", "--may", "read"), 2, "cannot be the name of a key; give 1 to 100 printable characters"),
        (("add", "noc", "--may", "read", "--tag", ""), 2, "is not a tag; give printable text"),
        (("add", "noc", "--may", "read", "--tag", "emea,gold"), 2, "is not a tag; give printable text, and repeat"),
        (("revoke", "nobody"), 2, "no key named 'nobody' is in use; see them with `poller access list`"),
    ],
)
def test_bad_input_gets_one_line_with_the_remedy(
    poller: Poller, arguments: tuple[str, ...], code: int, told: str
) -> None:
    ended = poller("access", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert told in " ".join(ended.err.split())
    assert "Traceback" not in ended.err


def test_a_name_in_use_is_refused_until_its_key_is_revoked(poller: Poller) -> None:
    assert poller("access", "add", "noc", "--may", "read").code == 0
    again = poller("access", "add", "noc", "--may", "read")
    assert (again.code, again.out) == (2, "")
    assert "there is a key named 'noc'; give another name, or revoke it with: poller access revoke 'noc'" in again.err
    assert poller("access", "revoke", "noc").code == 0
    assert poller("access", "add", "noc", "--may", "read").out.startswith("poller_2_"), "refusals use up no number"


def test_a_tag_that_no_org_has_is_a_warning_beside_the_key(poller: Poller, on_database: str) -> None:
    asyncio.run(
        run_on(on_database, "INSERT INTO orgs (name, data_center, tags) VALUES ('acme', 'eu', '{gold,north sea}')")
    )
    wrong = poller("access", "add", "noc", "--may", "read", "--tag", "glod", "--tag", "gold")
    assert wrong.code == 0
    assert ShownKey.parse(wrong.out.removesuffix("\n")) is not None
    assert [line for line in wrong.err.splitlines() if "warning" in line] == [
        "poller: warning: no org has the tag 'glod' now; see tags with `poller orgs list`"
    ]
    right = poller("access", "add", "sea", "--may", "read", "--tag", " north  sea ")
    assert "may see orgs tagged north sea, until" in right.err
    assert "warning" not in right.err


def test_audit_tells_which_keys_were_added_and_revoked_the_newest_first(poller: Poller) -> None:
    assert "Nothing was noted" in poller("audit").err
    poller("access", "add", "noc", "--may", "read", "--tag", "gold")
    poller("access", "revoke", "noc")
    rows = [json.loads(line) for line in poller("audit", "--since", "1d", "--json").out.splitlines()]
    assert [(row["caller"], row["source"], row["action"]) for row in rows] == [
        ("command line", "command line", "key_revoked"),
        ("command line", "command line", "key_added"),
    ]
    assert rows[1]["detail"]["tags"] == ["gold"]
    assert rows[0].keys() == {"id", "at", "key_id", "caller", "source", "action", "org_id", "org", "detail"}
    table = poller("audit").out
    assert "key_added" in table
    assert poller("audit", "--since", "soon").code == 2


def test_what_a_command_changes_is_noted_with_the_names_of_the_orgs(poller: Poller, on_database: str) -> None:
    asyncio.run(run_on(on_database, "INSERT INTO orgs (name, data_center) VALUES ('acme', 'eu'), ('beta', 'eu')"))
    assert poller("orgs", "pause", "acme", "beta").code == 0
    assert poller("orgs", "set", "acme", "--tag", "gold").code == 0
    assert poller("orgs", "rename", "acme", "zeta").code == 0
    assert poller("orgs", "remove", "zeta", "--yes").code == 0
    rows = [json.loads(line) for line in poller("audit", "--json").out.splitlines()]
    assert [(row["caller"], row["action"], row["org"]) for row in rows] == [
        ("command line", "remove", "zeta"),
        ("command line", "rename", None),
        ("command line", "set", "zeta"),
        ("command line", "pause", None),
    ]
    assert rows[3]["detail"] == {"changed": 2, "selected": 2, "orgs": ["acme", "beta"]}
    assert rows[1]["detail"] == {"old": "acme", "new": "zeta"}


def test_off_loopback_the_service_starts_only_with_a_key_that_works(
    poller: Poller, monkeypatch: pytest.MonkeyPatch, on_database: str
) -> None:
    monkeypatch.setenv("POLLER_WEB_HOST", "0.0.0.0")
    monkeypatch.setenv("POLLER_WEB_ORIGIN", "https://poller.example.org")
    refused = poller("web")
    assert refused.code == 2
    assert "make one with `poller access add NAME --may read`, or set POLLER_API_KEY" in refused.err
    poller("access", "add", "noc", "--may", "read", "--expires", "1d")
    monkeypatch.delenv("POLLER_WEB_ORIGIN")
    assert "POLLER_WEB_ORIGIN is not an https address" in poller("web").err
    asyncio.run(run_on(on_database, "UPDATE access_keys SET expires_at = now()"))
    monkeypatch.setenv("POLLER_WEB_ORIGIN", "https://poller.example.org")
    assert "there is no access key" in poller("web").err
