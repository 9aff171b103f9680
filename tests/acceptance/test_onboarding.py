"""Connects orgs as an operator does, with credentials of every kind, and checks them."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

from poller.core.checks import CheckStatus
from poller.core.datacenters import with_operators
from poller.onboarding.checks import check_orgs
from poller.onboarding.grant_codes import exchange_waiting_codes
from poller.simulator import Simulator, SimulatorOptions, control
from poller.store.orgs.encryption import Keyring
from poller.zoho.org_check import Check, OrgCheck
from tests.acceptance.line import Line, line
from tests.acceptance.processes import Machine, at_terminal, machine
from tests.command import KEYS
from tests.simulated_fleet import import_fleet

if TYPE_CHECKING:
    from pathlib import Path

    from poller.onboarding.grant_exchange import CodeProgress
    from poller.simulator import SimulatedOrg
    from poller.store.database import Database


def by(kind: str, org: SimulatedOrg, **more: Any) -> dict[str, Any]:
    """The row of an import file with this kind of credential."""
    row = {**org.row(), "edition": "", "licences": "", "zgid": ""}
    for other in ("refresh_token", "grant_code", "soid"):
        row.pop(other, None)
    return row | {kind: getattr(org, kind)} | more


def file_of(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "orgs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


async def shown(mine: Machine, org: str) -> str:
    return (await mine.run("orgs", "show", org)).out


# --- at the command line ---------------------------------------------------------------------------------------------


async def test_orgs_of_every_kind_of_credential_are_connected_and_polled(database_url: str, tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(orgs=4)) as sim:
        mine = machine(sim, database_url)
        orgs = list(sim.fleet())
        kinds = ("refresh_token", "grant_code", "soid")
        file = file_of(tmp_path, *(by(kind, org) for kind, org in zip(kinds, orgs, strict=False)))
        imported = await mine.run("orgs", "import", file)
        assert (imported.code, imported.out) == (0, "3 orgs: 3 added, 0 changed, 0 same.\n")
        secrets = "\n".join(
            f"{name}={getattr(orgs[3], name)}" for name in ("data_center", "client_id", "client_secret", "grant_code")
        )
        added = await mine.run("orgs", "add", orgs[3].name, "--grant", "grant_code", stdin=secrets)
        assert added.code == 0, added.err
        polled = await mine.run("poll", "--json")
        assert polled.code == 0, polled.err
        assert {json.loads(row)["outcome"] for row in polled.out.splitlines()} == {"ok"}
        # A second import of the same file changes nothing, and asks for no code a second time.
        assert (await mine.run("orgs", "import", file)).out == "3 orgs: 0 added, 0 changed, 3 same.\n"
        listed = (await mine.run("orgs", "list", "--json")).out.splitlines()
        assert {row["org"]: (row["edition"], row["grant"]) for row in map(json.loads, listed)} == {
            org.name: (org.edition, "soid" if kind == "soid" else "refresh_token")
            for org, kind in zip(orgs, (*kinds, "grant_code"), strict=True)
        }
        assert sim.audit()["breaches"] == []


async def test_an_expired_grant_code_is_reported_as_expired_and_sent_to_zoho_only_once(
    database_url: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=2)) as sim:
        mine = machine(sim, database_url)
        good, late = sim.fleet()
        sim.zoho.used_codes.add(late.grant_code)
        file = file_of(tmp_path, by("grant_code", good), by("grant_code", late))
        ended = await mine.run("orgs", "import", file)
        assert (ended.code, ended.out) == (1, "2 orgs: 2 added, 0 changed, 0 same.\n")
        told = [text for text in ended.err.splitlines() if text.startswith("poller: ")]
        assert len(told) == 1
        assert told[0].startswith(f"poller: {late.name}: grant_code_expired: the grant code has expired or was used")
        again = await mine.run("orgs", "check", late.name)
        assert again.code == 1
        assert "credentials             fault  grant_code_expired" in again.out
        assert "make a new one in the API console" in again.out
        assert sim.audit()["token_asks"] == 2
        assert "parked: grant_code_expired" in await shown(mine, late.name)
        fresh = by("grant_code", late, grant_code=sim.zoho.grant_code(1))
        assert (await mine.run("orgs", "import", file_of(tmp_path, fresh))).code == 0
        assert (await mine.run("poll")).code == 0


async def test_every_command_that_shows_a_parked_org_shows_its_remedy(database_url: str, tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(orgs=2)) as sim:
        mine = machine(sim, database_url)
        lost, well = sim.fleet()
        control.revoke(sim.zoho, 0)
        assert (await mine.run("orgs", "import", file_of(tmp_path, lost.row(), well.row()))).code == 0
        assert (await mine.run("poll")).code == 1
        remedy = "Zoho no longer takes the org's refresh token: the consent was revoked"
        status = (await mine.run("status")).out
        assert "parked  1\n" in status
        assert f"  1 parked, invalid_code: {remedy}" in status
        assert f"      {lost.name}\n" in status
        table = await shown(mine, lost.name)
        assert "state          parked: invalid_code, since 2" in table
        assert f"what to do     {remedy}" in table
        assert "next probe     2" in table
        # The service leaves it alone until its probe; who names it is taken at his word.
        assert (await mine.run("poll", "--json")).code == 1
        assert sim.audit()["orgs"][0]["token_asks"] == 1
        control.restore(sim.zoho, 0)
        assert (await mine.run("poll", lost.name)).code == 0
        assert "parked" not in (await mine.run("status")).out


async def test_a_client_close_to_twenty_refresh_tokens_causes_a_warning(database_url: str, tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(orgs=21, orgs_per_client=21)) as sim:
        mine = machine(sim, database_url)
        orgs = list(sim.fleet())
        few = await mine.run("orgs", "import", file_of(tmp_path, *(org.row() for org in orgs[:14])))
        assert (few.code, "warning" in few.err) == (0, False)
        many = await mine.run("orgs", "import", file_of(tmp_path, *(org.row() for org in orgs[:15])))
        assert f"poller: warning: client {orgs[0].client_id} has 15 refresh tokens: Zoho keeps 20" in many.err
        every = await mine.run("orgs", "import", file_of(tmp_path, *(org.row() for org in orgs)))
        assert every.code == 0
        assert "has 21 refresh tokens" in every.err
        assert "the oldest have ended" in every.err


async def test_orgs_check_prints_a_remedy_for_each_fault(database_url: str, tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(orgs=6)) as sim:
        mine = machine(sim, database_url)
        orgs = list(sim.fleet())
        rows = [org.row() for org in orgs]
        rows[1]["client_secret"] = "b" * 42
        rows[2]["data_center"] = next(name for name in sim.urls if name != orgs[2].data_center)
        control.revoke(sim.zoho, 3)
        control.narrow(sim.zoho, 4, "ZohoCRM.users.READ")
        control.deny_api(sim.zoho, 5)
        assert (await mine.run("orgs", "import", file_of(tmp_path, *rows))).code == 0
        ended = await mine.run("orgs", "check", "--json")
        assert ended.code == 1
        found = {row["org"]: row for row in map(json.loads, ended.out.splitlines())}
        faults = {
            name: {subject: one["code"] for subject, one in row["findings"].items() if one["standing"] == "fault"}
            for name, row in found.items()
        }
        scopes = {"ZohoCRM.org.READ": "OAUTH_SCOPE_MISMATCH", "ZohoCRM.features.READ": "OAUTH_SCOPE_MISMATCH"}
        assert [faults[org.name] for org in orgs] == [
            {},
            {"credentials": "invalid_client_secret"},
            {"credentials": "invalid_client"},
            {"credentials": "invalid_code"},
            scopes,
            {"API access": "NO_PERMISSION"},
        ]
        assert (found[orgs[0].name]["edition"], found[orgs[0].name]["licences"]) == (orgs[0].edition, orgs[0].licences)
        people = await mine.run("orgs", "check", orgs[0].name, orgs[4].name, orgs[5].name)
        assert people.code == 1
        assert f"{orgs[0].name}: OK\n" in people.out
        assert "  ZohoCRM.org.READ        fault  OAUTH_SCOPE_MISMATCH\n      the consent lacks a scope" in people.out
        assert "Setup > Security Control > Profiles" in people.out
        assert people.out.endswith("3 orgs: 1 OK, 2 failed\n")
        assert sim.audit()["breaches"] == []


async def test_orgs_check_refuses_an_unknown_org_before_it_sends_any_request(database_url: str) -> None:
    async with Simulator(SimulatorOptions(orgs=1)) as sim:
        ended = await machine(sim, database_url).run("orgs", "check", "Unknown")
        assert (ended.code, ended.err) == (2, "poller: there is no org 'Unknown'; see `poller orgs list`\n")


async def test_at_a_terminal_the_queue_of_grant_codes_is_shown_and_can_be_interrupted_and_resumed(
    database: Database, database_url: str
) -> None:
    options = SimulatorOptions(orgs=11, orgs_per_client=11, grant_share=1.0)
    async with Simulator(options) as sim:
        mine = machine(sim, database_url)
        data_centers = with_operators(sim.data_centers_setting())
        await import_fleet(database, Keyring.from_setting(KEYS), sim, data_centers)
        async with at_terminal(mine, "orgs", "check") as (screen, checking):
            await screen.shows("so 1 will expire before its turn")
            await screen.shows("1 grant code waits for 1")
            await screen.shows("10/11")
            checking.send_signal(signal.SIGINT)
            assert await checking.wait() == 130
        listed = (await mine.run("orgs", "list", "--json")).out.splitlines()
        assert Counter(json.loads(row)["grant"] for row in listed) == {"refresh_token": 10, "grant_code": 1}
        assert "which exchanges its grant code" in await shown(mine, sim.org(10).name)
        assert sim.audit()["token_issues"] == 10
        assert sim.audit()["breaches"] == []


# --- with the clock turned -------------------------------------------------------------------------------------------


async def checks(mine: Line, *names: str) -> dict[str, OrgCheck]:
    found: dict[str, OrgCheck] = {}
    async with mine.zoho() as zoho:
        await check_orgs(mine.context(zoho), names or None, lambda one: found.update({one.org.name: one}))
    return found


async def test_grant_codes_of_one_client_are_paced_across_processes_and_restarts(
    database: Database, keyring: Keyring
) -> None:
    options: dict[str, Any] = {"orgs": 25, "orgs_per_client": 25, "grant_share": 1.0, "grant_code_seconds": 900}
    async with line(database, keyring, **options) as mine:
        seen: list[CodeProgress] = []
        async with mine.zoho() as zoho:
            first = await exchange_waiting_codes(mine.context(zoho), mine.names[:6])
        async with mine.zoho() as zoho:
            rest = await exchange_waiting_codes(mine.context(zoho), None, seen.append)
        assert [one.refusal.code if one.refusal else None for one in first] == [None] * 6
        # Ten at once, ten after eleven minutes; the last five expired and are reported as such.
        assert [one.refusal.code if one.refusal else None for one in rest] == [None] * 14 + ["grant_code_expired"] * 5
        assert (seen[0].waiting, seen[-1].waiting) == (19, 0)
        assert max(progress.pause_seconds for progress in seen) > 600
        assert mine.breaches == []
        polled = await mine.poll()
        outcomes = [polled[name].snapshot.error for name in mine.names]
        assert outcomes == [None] * 20 + ["grant_code_expired"] * 5


async def test_polling_an_org_whose_grant_code_is_not_exchanged_yet_sends_no_request_and_names_the_command_to_run(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=1, grant_share=1.0) as mine:
        row = (await mine.poll_one()).snapshot
        assert (row.outcome, row.error, row.requests) == ("unauthorized", "grant_code_waiting", 0)
        assert mine.audit()["token_asks"] == 0


async def test_orgs_check_of_a_parked_org_without_faults_unparks_it_and_stores_its_org_info(
    database: Database, keyring: Keyring
) -> None:
    def unsaid(org: SimulatedOrg) -> dict[str, Any]:
        return {**org.row(), "edition": "", "licences": ""}

    async with line(database, keyring, orgs=1, row=unsaid) as mine:
        control.deny_api(mine.sim.zoho, 0)
        await mine.poll()
        assert (await mine.org())["parked_code"] == "NO_PERMISSION"
        assert (await checks(mine))[mine.names[0]].status(Check.API_ACCESS) is CheckStatus.WRONG
        assert (await mine.org())["parked_code"] == "NO_PERMISSION"
        control.restore(mine.sim.zoho, 0)
        assert (await checks(mine))[mine.names[0]].ok
        org = await mine.org()
        assert (org["parked_at"], org["edition"]) == (None, mine.sim.org(0).edition)
        assert mine.breaches == []


async def test_an_import_with_more_grant_codes_than_zoho_can_exchange_in_time_is_refused_before_any_is_used(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=12, orgs_per_client=12, grant_share=1.0)) as sim:
        mine = machine(sim, database_url)
        rows = [org.row() for org in sim.fleet()]
        for arguments in ((), ("--dry-run",)):
            refused = await mine.run("orgs", "import", file_of(tmp_path, *rows), *arguments)
            assert refused.code == 2
            assert refused.error.startswith(
                f"poller: 12 grant codes of the client {rows[0]['client_id']}: Zoho exchanges"
            )
            assert "so 2 would expire; nothing is imported; import 10 of these orgs now" in refused.error
        assert await database.fetchval("SELECT count(*) FROM orgs") == 0
        assert sim.audit()["orgs"] == []
        assert (await mine.run("orgs", "import", file_of(tmp_path, *rows[:10]))).code == 0
        # What is exchanged is no code any more, however often its file is imported.
        assert (await mine.run("orgs", "import", file_of(tmp_path, *rows[:10]))).code == 0
        later = await mine.run("orgs", "import", file_of(tmp_path, *rows))
        assert "2 grant codes of the client" in later.error
        assert "so 2 would expire" in later.error
