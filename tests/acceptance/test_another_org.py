"""Credentials of another Zoho org never change the history of an org: they are identified before any count."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from poller.core.checks import CheckStatus
from poller.core.errors import UsageError
from poller.core.profile import ProfileChange
from poller.onboarding.checks import check_orgs
from poller.simulator import Fault, control
from poller.store.orgs.changes import set_profiles
from poller.store.orgs.imports import import_orgs
from poller.zoho.org_check import Check
from tests.acceptance.line import Line, line
from tests.simulated_fleet import entries_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.core.org_entry import OrgEntry
    from poller.simulator import SimulatedOrg
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.zoho.org_check import OrgCheck


def plain(org: SimulatedOrg) -> dict[str, Any]:
    """The import row of an org without the values that Zoho itself returns."""
    return {**org.row(), "zgid": "", "edition": "", "licences": ""}


def written(mine: Line, row: dict[str, Any]) -> OrgEntry:
    (entry,) = entries_of([row], mine.app.settings.data_centers)
    return entry


async def give_credentials_of(mine: Line, stranger: int, *, zgid: str = "") -> None:
    """Imports the first org with the credentials of another Zoho org."""
    row = {**plain(mine.sim.org(stranger)), "name": mine.names[0], "zgid": zgid}
    await import_orgs(mine.app.database, mine.app.keyring, [written(mine, row)])


async def asked(mine: Line) -> dict[str, int]:
    requests: dict[str, int] = mine.sim.audit()["requests"]
    return {name: requests.get(name, 0) for name in ("count", "org")}


def one_imported(database: Database, keyring: Keyring, **options: Any) -> Any:
    """Two orgs at Zoho; the fleet has the first one, and the other one is a foreign org."""
    return line(database, keyring, orgs=2, row=plain, **options)


async def forget_stranger(mine: Line) -> None:
    await mine.app.database.execute("DELETE FROM orgs WHERE name = $1", mine.names[1])
    mine.names = mine.names[:1]


@asynccontextmanager
async def one_polled(database: Database, keyring: Keyring) -> AsyncIterator[Line]:
    """The fleet has one org with a history; another org of the same Zoho is a foreign org."""
    async with one_imported(database, keyring) as mine:
        await forget_stranger(mine)
        await mine.poll()
        yield mine


async def test_credentials_of_another_org_are_detected_before_any_count_request_and_park_the_org(
    database: Database, keyring: Keyring
) -> None:
    async with one_imported(database, keyring) as mine:
        await forget_stranger(mine)
        assert (await mine.poll_one()).snapshot.outcome == "ok"
        before = await asked(mine)
        await give_credentials_of(mine, 1)
        mine.clock.turn(minutes=30)
        row = (await mine.poll_one()).snapshot
        assert (row.outcome, row.error, dict(row.counts)) == ("unauthorized", "another_org", {})
        after = await asked(mine)
        assert (after["count"] - before["count"], after["org"] - before["org"]) == (0, 1)
        org = await mine.org()
        assert (org["parked_code"], org["zgid"]) == ("another_org", mine.sim.org(0).zgid)
        for number in (mine.sim.org(0).zgid, mine.sim.org(1).zgid):
            assert number in org["parked_remedy"]
        (spent,) = await database.fetch("SELECT sum(credits)::int AS credits FROM credit_spend")
        assert spent["credits"] == sum(after.values()) + mine.sim.audit()["requests"]["licences"]
        assert mine.breaches == []


async def test_an_org_parked_for_anothers_credentials_is_probed_with_one_request_and_polled_with_its_own_again(
    database: Database, keyring: Keyring
) -> None:
    async with one_polled(database, keyring) as mine:
        await give_credentials_of(mine, 1)
        mine.clock.turn(minutes=30)
        await mine.poll()
        before = await asked(mine)
        mine.clock.turn(hours=25)
        assert (await mine.poll_one()).snapshot.error == "another_org"
        after = await asked(mine)
        assert (after["count"] - before["count"], after["org"] - before["org"]) == (0, 1)
        await give_credentials_of(mine, 0)
        mine.clock.turn(hours=1)
        assert (await mine.poll_one()).snapshot.outcome == "ok"
        assert (await mine.org())["parked_at"] is None


async def test_identifying_new_credentials_costs_no_extra_request(database: Database, keyring: Keyring) -> None:
    async with one_polled(database, keyring) as mine:
        before = await asked(mine)
        token = control.rotate(mine.sim.zoho, 0)
        await mine.import_again([mine.sim.org(0)], refresh_token=token, zgid="", edition="", licences="")
        for _ in range(3):
            mine.clock.turn(minutes=30)
            assert (await mine.poll_one()).snapshot.outcome == "ok"
        after = await asked(mine)
        assert (after["count"] - before["count"], after["org"] - before["org"]) == (30, 1)


@pytest.mark.parametrize(("fault", "outcome"), [("internal_error", "unavailable"), ("too_many_requests", "throttled")])
async def test_an_org_is_not_polled_while_zoho_cannot_say_which_org_its_new_credentials_belong_to(
    database: Database, keyring: Keyring, fault: str, outcome: str
) -> None:
    async with one_polled(database, keyring) as mine:
        await give_credentials_of(mine, 1)
        mine.sim.add_faults(Fault(name=fault, endpoint="org"))
        mine.clock.turn(minutes=30)
        row = (await mine.poll_one()).snapshot
        assert (row.outcome, dict(row.counts)) == (outcome, {})
        mine.sim.clear_faults()
        mine.clock.turn(minutes=30)
        assert (await mine.poll_one()).snapshot.error == "another_org"


async def test_an_org_whose_credentials_lack_the_scope_to_identify_it_is_polled_as_before(
    database: Database, keyring: Keyring
) -> None:
    async with one_polled(database, keyring) as mine:
        token = control.rotate(mine.sim.zoho, 0)
        control.narrow(mine.sim.zoho, 0, "ZohoCRM.users.READ")
        await mine.import_again([mine.sim.org(0)], refresh_token=token, zgid="", edition="", licences="")
        before = await asked(mine)
        for _ in range(3):
            mine.clock.turn(minutes=30)
            assert (await mine.poll_one()).snapshot.outcome == "ok"
        assert (await asked(mine))["org"] - before["org"] == 1


async def test_an_imported_zgid_that_differs_from_the_zgid_of_the_credentials_parks_the_org_and_stores_no_count(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=1, row=lambda org: {**plain(org), "zgid": "600099999"}) as mine:
        row = (await mine.poll_one()).snapshot
        assert (row.outcome, row.error, dict(row.counts)) == ("unauthorized", "another_org", {})
        assert (await mine.org())["parked_code"] == "another_org"
        await mine.import_again([mine.sim.org(0)], edition="", licences="")
        mine.clock.turn(minutes=30)
        assert (await mine.poll_one()).snapshot.outcome == "ok"


async def test_an_import_that_names_another_zgid_for_an_org_with_a_history_is_refused(
    database: Database, keyring: Keyring
) -> None:
    async with one_polled(database, keyring) as mine:
        own, other = mine.sim.org(0).zgid, mine.sim.org(1).zgid
        by_soid = {**plain(mine.sim.org(1)), "name": mine.names[0], "refresh_token": "", "soid": f"ZohoCRM.{other}"}
        for row in ({**mine.sim.org(1).row(), "name": mine.names[0]}, by_soid):
            with pytest.raises(UsageError, match=f"zgid {own}.*zgid {other}.*poller orgs set .* --zgid {other}"):
                await import_orgs(database, keyring, [written(mine, row)])
        assert (await mine.org())["zgid"] == own


@pytest.mark.parametrize("said", ["learn", "number"])
async def test_an_org_with_a_new_zgid_is_polled_under_its_old_name_once_the_operator_confirms_it(
    database: Database, keyring: Keyring, said: str
) -> None:
    async with one_polled(database, keyring) as mine:
        (org_id,) = [row["id"] for row in await database.fetch("SELECT id FROM orgs")]
        other = mine.sim.org(1).zgid
        if said == "learn":
            await give_credentials_of(mine, 1)
            mine.clock.turn(minutes=30)
            assert (await mine.poll_one()).snapshot.error == "another_org"
            assert await set_profiles(database, [org_id], ProfileChange(clear=frozenset({"zgid"}))) == 1
        else:
            assert await set_profiles(database, [org_id], ProfileChange(zgid=other)) == 1
            await give_credentials_of(mine, 1, zgid=other)
        mine.clock.turn(minutes=30)
        assert (await mine.poll_one()).snapshot.outcome == "ok"
        org = await mine.org()
        assert (org["zgid"], org["parked_at"]) == (other, None)


async def test_the_zgid_of_one_org_cannot_be_set_for_another_org(database: Database, keyring: Keyring) -> None:
    async with line(database, keyring, orgs=2, data_centers=("sim-eu",)) as mine:
        (org_id, _) = [row["id"] for row in await database.fetch("SELECT id FROM orgs ORDER BY id")]
        other = mine.sim.org(1).zgid
        with pytest.raises(UsageError, match=f"has the zgid of the org '{mine.names[1]}'"):
            await set_profiles(database, [org_id], ProfileChange(zgid=other))
        with pytest.raises(UsageError, match="one zgid for 2 orgs"):
            await set_profiles(database, [org_id, org_id + 1], ProfileChange(zgid="1"))


async def test_orgs_check_reports_credentials_of_another_org_parks_the_org_and_keeps_its_zgid(
    database: Database, keyring: Keyring
) -> None:
    async with one_polled(database, keyring) as mine:
        await give_credentials_of(mine, 1)
        found: list[OrgCheck] = []
        async with mine.zoho() as zoho:
            await check_orgs(mine.context(zoho), mine.names, found.append)
        (finding,) = [one for one in found[0].results if one.check is Check.CREDENTIALS]
        assert (finding.status, finding.what) == (CheckStatus.WRONG, "another_org")
        assert mine.sim.org(1).zgid in (finding.remedy or "")
        org = await mine.org()
        assert (org["parked_code"], org["zgid"]) == ("another_org", mine.sim.org(0).zgid)


async def test_new_credentials_are_identified_even_after_an_edition_was_set(
    database: Database, keyring: Keyring
) -> None:
    async with one_polled(database, keyring) as mine:
        await give_credentials_of(mine, 1)
        (org_id,) = [row["id"] for row in await database.fetch("SELECT id FROM orgs")]
        await set_profiles(database, [org_id], ProfileChange(edition="enterprise", licences=9))
        before = await asked(mine)
        mine.clock.turn(minutes=30)
        assert (await mine.poll_one()).snapshot.error == "another_org"
        assert (await asked(mine))["count"] == before["count"]
