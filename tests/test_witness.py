from __future__ import annotations

import pytest

from poller.simulator import Simulator, SimulatorOptions
from tests import command
from tests.witness import Witness

SECRET = "kept-secret-4711-of-acme"


@pytest.mark.parametrize(
    "told",
    [
        "token 1000.00000001aaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb refused",
        "half of one: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        "POLLER_SECRET_KEYS=k1:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LWFiY2Q=",
        f"in the middle of (client={SECRET})",
        f"Basic {'a2VwdC1zZWNyZXQtNDcxMS1vZi1hY21l'}",
    ],
)
def test_a_printed_secret_is_found(told: str) -> None:
    witness = Witness()
    witness.know(SECRET)
    witness.hear("a process", f"all is well\n{told}\nand on it goes")
    assert {leak.partition(":")[0] for leak in witness.leaks()} == {"a process"}


@pytest.mark.parametrize(
    "told",
    [
        "client 1000.00000001aaaaaaaaaaaaaaaaaaaaaaaa of Acme",
        "database test_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        "kept-secret-4711-of-beta",
        "reproduce it with @seed(74544289226383474161746198744659932158)",
        "",
    ],
)
def test_public_values_are_not_reported_as_leaks(told: str) -> None:
    witness = Witness()
    witness.know(SECRET)
    witness.hear("a process", told)
    assert witness.leaks() == []


@pytest.mark.parametrize(
    "text",
    [
        f"name,client_id,Client Secret\nAcme,1000.A,{SECRET}\n",
        f"name;refresh_token;tags\nAcme;{SECRET};a\n",
        f'{{"name": "Acme", "client_secret": "{SECRET}"}}\n',
        f"client_id=1000.A\nRefresh Token = {SECRET}\n",
    ],
)
def test_secrets_in_an_input_are_recognised_by_their_field_names(text: str) -> None:
    witness = Witness()
    witness.know_text(text)
    assert witness.secrets == {SECRET}


def test_secrets_in_the_settings_are_recognised_encoded_and_decoded() -> None:
    witness = Witness()
    witness.know_settings(
        {
            "POLLER_SECRET_KEYS": "k2:AAAABBBBCCCCDDDD,k1:EEEEFFFFGGGGHHHH",
            "POLLER_DATABASE_URL": "postgresql://me:a%20long%20password@localhost/x",
        }
    )
    assert witness.secrets == {"AAAABBBBCCCCDDDD", "EEEEFFFFGGGGHHHH", "a%20long%20password", "a long password"}


async def test_all_secrets_of_a_simulator_are_known() -> None:
    witness = Witness()
    async with Simulator(SimulatorOptions(orgs=3)) as sim:
        witness.know_simulator(sim)
        assert {org.client_secret for org in sim.fleet()} <= witness.secrets
    assert len(witness.secrets) == 9


async def test_a_secret_printed_by_a_real_command_is_found() -> None:
    witness = Witness()
    witness.know(SECRET)
    ended = await command.run("trend", "--type", SECRET, witness=witness)
    assert ended.code == 2
    assert SECRET in ended.error
    (leak,) = witness.leaks()
    assert leak.startswith(f"poller trend --type {SECRET} (stderr): a secret a test knows")
