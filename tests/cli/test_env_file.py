"""A settings file is read only if it is named, and cannot send the credentials of an org elsewhere."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from poller.simulator import Simulator, SimulatorOptions
from tests.simulated_fleet import import_by_command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import pytest

    from tests.command import Ended

    Poller = Callable[..., Ended]
    Process = Callable[..., Awaitable[Ended]]

UNREAD = (
    "poller: warning: .env in this folder is not read any more; name it with --env-file .env or POLLER_ENV_FILE=.env"
)


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that keeps what is sent to it; its address."""
    received: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", received


async def test_no_settings_file_can_send_the_credentials_of_an_org_to_a_server_that_is_not_zohos(
    process: Process, on_database: str, tmp_path: Path
) -> None:
    (tmp_path / "orgs.csv").write_text(
        "name,data_center,client_id,client_secret,refresh_token\nAcme,us,1000.A,secret-of-acme,token-of-acme\n"
    )
    assert (await process("orgs", "import", "orgs.csv")).code == 0
    async with collector() as (url, received):
        listed = {"us": {"accounts_server": url, "api_domains": [url]}}
        (tmp_path / "poller.env").write_text(f"POLLER_DATA_CENTERS={json.dumps(listed)}\n")
        ended = await process("poll", "--env-file", "poller.env")
    assert (ended.code, ended.out) == (2, "")
    assert ended.error.startswith(
        "poller: POLLER_DATA_CENTERS: 'us' is one of Zoho's own data centres and keeps its addresses; "
    )
    assert received == []


async def test_a_settings_file_in_the_current_folder_is_read_only_if_it_is_named(
    process: Process, on_database: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(orgs=1, grant_share=0.0)) as sim:
        centers = json.dumps(sim.data_centers_setting())
        await import_by_command(sim, tmp_path, process, environ={"POLLER_DATA_CENTERS": centers})
        (tmp_path / ".env").write_text(f"POLLER_DATA_CENTERS={centers}\n")
        unread = await process("poll", environ={"POLLER_LOG_LEVEL": "error"})
        assert unread.code == 1
        assert UNREAD in unread.err.splitlines()
        assert sim.audit()["requests"] == {}
        for arguments, environ in (
            (("poll", "--env-file", ".env"), {}),
            (("--env-file=.env", "poll"), {}),
            (("poll",), {"POLLER_ENV_FILE": ".env"}),
        ):
            read = await process(*arguments, environ={"POLLER_LOG_LEVEL": "error", **environ})
            assert (read.code, read.err) == (0, "")
        assert sim.audit()["requests"] != {}


def test_an_env_file_of_another_program_in_the_current_folder_is_ignored(
    poller: Poller, on_database: str, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("POLLER_WEB_PORT=1\n")
    assert poller("orgs", "list").err.splitlines()[0] == UNREAD, "one of this program causes a warning"
    (tmp_path / ".env").write_text("SOMEBODYS_PORT=1\n")
    assert "warning" not in poller("orgs", "list").err
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert "warning" not in poller("orgs", "list").err


def test_a_settings_file_that_other_users_can_write_ends_every_command(
    poller: Poller, on_database: str, tmp_path: Path
) -> None:
    file = tmp_path / "poller.env"
    file.write_text("POLLER_WEB_PORT=1\n")
    file.chmod(0o666)
    ended = poller("orgs", "list", "--env-file", str(file))
    assert (ended.code, ended.out) == (2, "")
    remedy = f"read it; if everything in it is yours, chmod go-w '{file}'"
    assert ended.error == f"poller: the file of settings {file} can be written by others; {remedy}"
    assert poller("orgs", "list").code == 0, "a file that was named for one command is forgotten with it"


def test_a_misspelled_database_setting_ends_the_command_before_anything_is_created(
    poller: Poller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POLLER_DB_URL", "postgresql://poller:hunter2-hunter2@db/poller")
    ended = poller("orgs", "list")
    assert (ended.code, ended.out) == (2, "")
    assert ended.error.endswith("rename it to POLLER_DATABASE_URL, or unset it")
    assert "hunter2" not in ended.error
    assert list(tmp_path.iterdir()) == []
