"""After an import of new credentials the next poll depends only on these, in any state the old ones left."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from poller.core.secret import Secret
from poller.onboarding.grant_codes import exchange_waiting_codes
from poller.simulator import Fault
from poller.store.orgs.encryption import Column
from poller.store.orgs.imports import import_orgs
from poller.store.orgs.orgs import remove
from poller.store.orgs.tokens import TokenStore
from poller.zoho.tokens import TokenPorts, Tokens
from tests.acceptance.line import Line, line
from tests.simulated_fleet import entries_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from poller.core.reply import NoReply, Reply
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.zoho.token_request import Form

WRONG: Final[dict[str, dict[str, Any]]] = {
    "refresh_token": {"refresh_token": Secret("1000.of-another-consent")},
    "client_secret": {"client_secret": Secret("of-another-client")},
    "client_id": {"client_id": "1000.ANOTHERCLIENT"},
    "soid": {"refresh_token": None, "soid": "ZohoCRM.1"},
    "grant_code": {"refresh_token": None, "grant_code": Secret("1000.a-code-never-exchanged")},
    "data_center": {"data_center": "sim-us"},
}
"""How an org may have been written down before, other than as it is now."""

seconds = st.one_of(st.none(), st.integers(-100_000, 100_000))

PRIOR = st.fixed_dictionaries(
    {
        "token_ends": seconds,
        "lease_ends": seconds,
        "cool_until": seconds,
        "hold_until": seconds,
        "probe_at": seconds,
        "generation": st.integers(0, 2**40),
        "cool_downs": st.integers(0, 1_000),
        "probes": st.integers(0, 1_000),
        "holds": st.integers(0, 1_000),
        "rate_factor": st.floats(0.01, 1.0),
        "credits_remaining": st.one_of(st.none(), st.integers(0, 5_000)),
        "key_id": st.sampled_from(["k1", "a key that was lost"]),
    }
)


async def leave(mine: Line, prior: dict[str, Any]) -> None:
    """Sets every org to the state that its old credentials could have left."""

    def at(name: str) -> Any:
        return None if prior[name] is None else mine.clock.now() + timedelta(seconds=prior[name])

    database, keyring = mine.app.database, mine.app.keyring
    ids = [row["id"] for row in await database.fetch("SELECT id FROM orgs WHERE removed_at IS NULL")]
    for org_id in ids:
        has_token = prior["token_ends"] is not None
        token = keyring.encrypt(org_id, Column.ACCESS, Secret("1000.old.token")) if has_token else None
        domain = mine.app.settings.data_centers["sim-eu"].api_domain
        await database.execute("DELETE FROM access_tokens WHERE org_id = $1", org_id)
        await database.execute(
            "INSERT INTO access_tokens VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            *(org_id, token, prior["key_id"] if has_token else None, domain if has_token else None),
            *(mine.clock.now() - timedelta(days=2) if has_token else None, at("token_ends"), prior["generation"]),
            *(uuid4() if at("lease_ends") else None, at("lease_ends"), at("cool_until"), prior["cool_downs"]),
        )
        await database.execute("DELETE FROM org_limits WHERE org_id = $1", org_id)
        await database.execute(
            "INSERT INTO org_limits VALUES ($1, $2, $3, $4, $5, $6)",
            *(org_id, at("hold_until"), prior["holds"], prior["rate_factor"], prior["credits_remaining"]),
            None if prior["credits_remaining"] is None else mine.clock.now(),
        )
        await database.execute(
            """
            UPDATE orgs SET parked_at = CASE WHEN $2::timestamptz IS NOT NULL THEN now() END,
                            parked_code = 'invalid_code', parked_remedy = 'import it again',
                            probe_at = $2, probes = $3 WHERE id = $1
            """,
            *(org_id, at("probe_at"), prior["probes"]),
        )


def tokens_over(store: TokenStore, post: Callable[[str, Form], Awaitable[Reply | NoReply]], mine: Line) -> Tokens:
    """A token manager that sends its requests with `post`."""
    ports = TokenPorts(
        read_credentials=store.read_credentials,
        read=store.read,
        acquire_lease=store.acquire_lease,
        save=store.save,
        release=store.release,
        cool_down=store.cool_down,
        park=store.park,
        save_refresh_token=store.save_refresh_token,
        post=post,
        now=mine.clock.now,
        sleep=mine.clock.sleep,
    )
    return Tokens(ports, mine.app.settings.data_centers)


async def outcomes(mine: Line, names: list[str]) -> dict[str, tuple[str, str | None]]:
    polled = await mine.poll()
    return {name: (polled[name].snapshot.outcome.value, polled[name].snapshot.error) for name in names}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prior=PRIOR)
async def test_the_first_poll_with_new_credentials_gets_every_count_after_any_state_of_the_old_ones(
    database: Database, keyring: Keyring, prior: dict[str, Any]
) -> None:
    await database.execute("TRUNCATE orgs, token_budgets CASCADE")
    of_one: dict[str, Any] = {"data_centers": ("sim-eu", "sim-us"), "orgs_per_client": len(WRONG)}
    async with line(database, keyring, orgs=len(WRONG), **of_one) as mine:
        right = entries_of((org.row() for org in mine.sim.fleet()), mine.app.settings.data_centers)
        wrong = [replace(one, **change) for one, change in zip(right, WRONG.values(), strict=True)]
        await import_orgs(database, keyring, wrong)
        await leave(mine, prior)
        await import_orgs(database, keyring, right)
        found = await outcomes(mine, [one.name for one in right])
        assert dict(zip(WRONG, found.values(), strict=True)) == dict.fromkeys(WRONG, ("ok", None))
        (left,) = await database.fetch("SELECT count(parked_at) AS parked, max(probes) AS probes FROM orgs")
        assert (left["parked"], left["probes"]) == (0, 0)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prior=PRIOR)
async def test_a_new_grant_code_is_exchanged_and_the_org_polled_after_any_state_of_the_old_credentials(
    database: Database, keyring: Keyring, prior: dict[str, Any]
) -> None:
    await database.execute("TRUNCATE orgs, token_budgets CASCADE")
    async with line(database, keyring, orgs=1) as mine:
        await leave(mine, prior)
        code = mine.sim.zoho.grant_code(0)
        await mine.import_again([mine.sim.org(0)], refresh_token="", grant_code=code)
        async with mine.zoho() as zoho:
            (exchanged,) = await exchange_waiting_codes(mine.context(zoho), None)
        assert exchanged.refusal is None
        assert await outcomes(mine, mine.names) == {mine.names[0]: ("ok", None)}


async def test_an_org_whose_credentials_are_replaced_and_put_back_is_polled(
    database: Database, keyring: Keyring
) -> None:
    async with line(database, keyring, orgs=1) as mine:
        assert (await mine.poll_one()).snapshot.outcome == "ok"
        await mine.import_again([mine.sim.org(0)], refresh_token="1000.of-another-consent")
        assert (await mine.poll_one()).snapshot.error == "invalid_code"
        await mine.import_again([mine.sim.org(0)])
        assert (await mine.poll_one()).snapshot.outcome == "ok"


async def test_an_org_that_was_removed_and_imported_again_is_polled(database: Database, keyring: Keyring) -> None:
    async with line(database, keyring, orgs=1) as mine:
        await mine.poll()
        await remove(database, mine.names, mine.clock.now())
        await mine.import_again([mine.sim.org(0)])
        assert (await mine.poll_one()).snapshot.outcome == "ok"


@pytest.mark.parametrize("fault", ["token_invalid_code", "token_throttled_400_en", None])
async def test_a_late_reply_to_the_old_credentials_does_not_affect_the_newly_imported_ones(
    database: Database, keyring: Keyring, fault: str | None
) -> None:
    faults = () if fault is None else (Fault(name=fault, times=1),)
    async with line(database, keyring, orgs=1, faults=faults) as mine:
        (org,) = await mine.orgs()
        replaced = False

        async def post(accounts_server: str, form: Form) -> Reply | NoReply:
            """Gets the reply of Zoho, and imports new credentials before the reply is used."""
            nonlocal replaced
            reply = await zoho.client.post_token(accounts_server, form)
            if not replaced:
                replaced = True
                await mine.import_again([mine.sim.org(0)], client_secret="another")
                await mine.import_again([mine.sim.org(0)])
            return reply

        async with mine.zoho() as zoho:
            store = TokenStore(database, keyring)
            await tokens_over(store, post, mine).get(org)
        (row,) = await database.fetch("SELECT token, cool_until, lease_holder FROM access_tokens")
        assert tuple(row) == (None, None, None)
        assert (await mine.org())["parked_at"] is None
        assert (await mine.poll_one()).snapshot.outcome == "ok"
