"""`poller doctor` on a real database and servers: every check passes, and each check fails."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import time_machine
import trustme

from poller.core.datacenters import ZOHO_DATA_CENTERS, DataCenter
from poller.core.maintenance import TASK_SECONDS
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.org_entry import OrgEntry
from poller.core.secret import Secret
from poller.simulator import Simulator, SimulatorOptions
from poller.store import schema
from poller.store.database import connect
from poller.store.orgs.encryption import Keyring
from poller.store.orgs.imports import import_orgs
from poller.store.series.partitions import drop_partitions, month_after, month_of
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from poller.worker.maintenance import maintenance_tasks
from tests.command import KEYS, start
from tests.connect_proxy import connect_proxy
from tests.postgres import run_on
from tests.simulated_fleet import import_by_command
from tests.witness import WITNESS
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]
    Process = Callable[..., Awaitable[Ended]]

NOW = datetime.now(UTC)
SECRET = "client-secret-of-acme-0123456789"
OTHER_KEYS = "k1:b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItYWI="


@dataclass
class Front:
    """A server of a data centre: its address, its reply, and the requests it received."""

    url: str
    status: int = 200
    ahead: timedelta = timedelta()
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    location: str | None = None


@contextmanager
def front(tls: ssl.SSLContext | None = None) -> Iterator[Front]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            told.asked.append((self.command, self.path, dict(self.headers)))
            self.send_response_only(told.status)
            self.send_header("Date", format_datetime(datetime.now(UTC) + told.ahead, usegmt=True))
            if told.location is not None:
                self.send_header("Location", told.location)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if tls is not None:
            scheme, server.socket = "https", tls.wrap_socket(server.socket, server_side=True)
        told = Front(f"{scheme}://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def zoho(monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """The data centre `lab` on loopback; those of Zoho are behind an unreachable proxy, so that none gets a request."""
    with front() as told:
        elsewhere(monkeypatch, told.url)
        monkeypatch.setenv("POLLER_PROXY", "http://127.0.0.1:1")
        yield told


def elsewhere(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The data centre `lab` is reachable; those of Zoho are not."""
    listed = {"lab": {"accounts_server": url, "api_domains": [url]}}
    monkeypatch.setenv("POLLER_DATA_CENTERS", json.dumps(listed))


def on(dsn: str, *statements: str) -> Any:
    """Runs these statements; returns the first value of the last one."""

    async def run() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def make_org(dsn: str, name: str = "acme", data_center: str = "lab") -> None:
    """Adds an org with credentials encrypted with the configured keys."""
    entry = OrgEntry(
        name=name,
        data_center=data_center,
        client_id="1000.CLIENT",
        client_secret=Secret(SECRET),
        refresh_token=Secret(f"1000.refresh-token-of-{name}-0123456789"),
    )
    WITNESS.know(SECRET, f"1000.refresh-token-of-{name}-0123456789")

    async def make() -> None:
        async with await connect(dsn) as database:
            await import_orgs(database, Keyring.from_setting(KEYS), [entry])

    asyncio.run(make())


@pytest.fixture
def fleet(on_database: str, zoho: Front) -> str:
    """The address of a database as a service leaves it: one org, maintenance tasks done, months created."""
    make_org(on_database)
    run_maintenance_tasks(on_database)
    return on_database


def run_maintenance_tasks(dsn: str) -> None:
    async def do() -> None:
        async with await connect(dsn) as database:
            for task in maintenance_tasks(snapshots=None, days=None).values():
                await task.do(database, datetime.now(UTC))
            for name in TASK_SECONDS:
                await database.execute("INSERT INTO chores (name, begun_at, done_at) VALUES ($1, now(), now())", name)
            await database.execute(
                "INSERT INTO workers VALUES (gen_random_uuid(), 'here:1', '0.1.0', now(), now() + interval '1 day')"
            )

    asyncio.run(do())


def findings(ended: Ended) -> dict[str, dict[str, str]]:
    """The results by check; for repeated checks the last one."""
    return {found["check"]: found for found in map(json.loads, ended.out.splitlines())}


def diagnose(poller: Poller, code: int, check: str, verdict: str) -> str:
    """Asserts the exit code of the doctor and its only result that is not OK; returns this result and its remedy."""
    ended = poller("doctor", "--json")
    assert ended.err == ""
    unwell = {name: found["verdict"] for name, found in findings(ended).items() if found["verdict"] != "ok"}
    assert unwell == {check: verdict}
    assert ended.code == code
    found = findings(ended)[check]
    assert found["remedy"]
    return f"{found['what']}; {found['remedy']}"


async def test_every_check_is_ok_for_a_fleet_that_works(process: Process, on_database: str, tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(orgs=3, grant_share=0.0)) as sim:
        environ = {"POLLER_DATA_CENTERS": json.dumps(sim.data_centers_setting()), "POLLER_WEB_PORT": "0"}
        await import_by_command(sim, tmp_path, process, environ=environ)
        running = await start("run", environ=environ)
        try:
            connection = await asyncpg.connect(on_database)
            names = len(TASK_SECONDS)
            await eventually(
                lambda: connection.fetchval("SELECT count(*) = $1 FROM chores WHERE done_at IS NOT NULL", names), 60
            )
            await connection.close()
            ended = await process("doctor", environ=environ)
            listed = await process("doctor", "--json", environ=environ)
        finally:
            await running.end()
        WITNESS.know_simulator(sim)
        assert sim.audit()["breaches"] == []
    assert (ended.code, ended.err) == (0, "")
    *lines, summary = ended.out.splitlines()
    assert all(line.startswith("ok ") for line in lines), ended.out
    assert summary == f"{len(lines)} ok"
    assert set(findings(listed)) >= {
        *(
            "settings",
            "database",
            "database clock",
            "migrations",
            "partitions",
            "keys",
            "roles",
            "workers",
            "workers' clocks",
            "schedule",
            "future rows",
            "maintenance",
            "messages",
        ),
        *("retention", "Zoho's clock"),
        *(f"data centre {org.data_center}" for org in sim.fleet()),
    }


def test_future_rows_are_reported_until_the_rollups_have_removed_them(poller: Poller, fleet: str) -> None:
    async def write_ahead() -> None:
        async with await connect(fleet) as database:
            slot = NOW + timedelta(days=3)
            org_id = await database.fetchval("SELECT min(id) FROM orgs")
            await write_snapshots(
                database, [Snapshot(org_id, slot, None, Outcome.MISSED, "not_running")], allow_future=True
            )
            await roll_up(database, (NOW + timedelta(days=4)).date())

    async def remove() -> None:
        async with await connect(fleet) as database:
            await maintenance_tasks(snapshots=None, days=None)["rollups"].do(database, NOW)

    asyncio.run(write_ahead())
    found = findings(poller("doctor", "--json"))["future rows"]
    assert found["verdict"] == "wrong"
    until = (NOW + timedelta(days=4)).date()
    assert found["what"].endswith(
        "left in the future: 1 row of slots that have not begun (0 polled), latest polls of 1 org,"
        f" rollups until {until}"
    )
    assert found["remedy"]
    asyncio.run(remove())
    assert findings(poller("doctor", "--json"))["future rows"]["verdict"] == "ok"


async def test_an_existing_embedded_database_is_checked_and_a_missing_one_is_not_created(
    process: Process, zoho: Front, tmp_path: Path
) -> None:
    fresh = await process("doctor", "--json")
    assert fresh.code == 0
    assert findings(fresh)["database"]["verdict"] == "warning"
    assert "poller migrate" in findings(fresh)["database"]["remedy"]
    assert not (tmp_path / "data").exists()
    assert (await process("migrate")).code == 0
    ended = await process("doctor", "--json")
    found = findings(ended)
    assert ended.code == 0
    assert {found[check]["verdict"] for check in ("database", "database clock", "disk", "migrations", "keys")} == {"ok"}
    assert "embedded in" in found["database"]["what"]
    assert not (tmp_path / "data" / "secret.key").exists()


def test_each_wrong_setting_is_one_failed_check_and_nothing_else_is_checked(
    poller: Poller, zoho: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLLER_POLL_INTERVAL", "soon")
    monkeypatch.setenv("POLLER_WEB_PORT", "eighty")
    monkeypatch.setenv("POLLER_CONCURENCY", "8")
    ended = poller("doctor")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert [line[:11].strip() for line in lines[:4]] == ["wrong", "wrong", "warning", "not checked"]
    assert "POLLER_POLL_INTERVAL" in lines[0]
    assert lines[0].endswith("; write seconds, or 90s, 15m, 1h, up to 1d")
    assert lines[1].endswith("; write a port from 0 to 65535")
    assert lines[2].endswith("; did you mean POLLER_CONCURRENCY?")
    assert lines[-1] == "2 wrong, 1 warning, 1 not checked" or lines[-1] == "1 warning, 2 wrong, 1 not checked"
    assert zoho.asked == []


def test_a_settings_file_with_secrets_that_other_users_can_read_is_a_warning(
    poller: Poller, fleet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / "poller.env"
    env_file.write_text(f"POLLER_SECRET_KEYS={KEYS}\n")
    env_file.chmod(0o644)
    monkeypatch.delenv("POLLER_SECRET_KEYS")
    monkeypatch.setenv("POLLER_ENV_FILE", str(env_file))
    assert diagnose(poller, 0, "settings", "warning").endswith(f"; chmod 600 {env_file}")
    env_file.chmod(0o600)
    assert findings(poller("doctor", "--json"))["settings"]["verdict"] == "ok"


def test_an_unreachable_database_is_one_failed_check_and_data_centres_are_still_checked(
    poller: Poller, on_database: str, zoho: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    WITNESS.know("hunter2-hunter2")
    monkeypatch.setenv("POLLER_DATABASE_URL", "postgresql://poller:hunter2-hunter2@127.0.0.1:1/poller")
    ended = poller("doctor", "--json")
    found = findings(ended)
    assert ended.code == 1
    assert found["database"]["verdict"] == "wrong"
    assert found["database"]["remedy"].startswith("start PostgreSQL, or correct POLLER_DATABASE_URL")
    assert found["what is in it"]["verdict"] == "not checked"
    assert found["data centre lab"]["verdict"] == found["Zoho's clock"]["verdict"] == "ok"
    assert "hunter2" not in ended.out + ended.err


async def test_a_database_with_pending_migrations_is_checked_as_far_as_its_version_allows(
    process: Process, blank_database_url: str, zoho: Front
) -> None:
    environ = {"POLLER_DATABASE_URL": blank_database_url, "POLLER_SECRET_KEYS": KEYS}
    empty = await process("doctor", "--json", environ=environ)
    assert (empty.code, empty.err) == (1, "")
    assert findings(empty)["migrations"]["remedy"] == "run `poller migrate`"
    assert findings(empty)["maintenance"] | {"what": ""} == {
        "check": "maintenance", "verdict": "not checked", "what": "", "remedy": "run `poller migrate` first",
    }  # fmt: skip
    await schema.upgrade(blank_database_url, "0007")
    older = findings(await process("doctor", "--json", environ=environ))
    assert older["migrations"]["what"] == f"at 0007, this poller needs {schema.head_revision()}"
    assert older["keys"]["verdict"] == "ok"
    assert older["retention"]["verdict"] == "not checked"


def test_one_zoho_org_under_two_names_is_a_warning(poller: Poller, fleet: str) -> None:
    values = "('one', 'us', '7'), ('other', 'us', '7'), ('far', 'eu', '7')"
    asyncio.run(run_on(fleet, f"INSERT INTO orgs (name, data_center, zgid) VALUES {values}"))
    found = findings(poller("doctor", "--json"))["twins"]
    assert found["verdict"] == "warning"
    assert found["what"].startswith("'one' and 'other' have the same zgid: one Zoho org under two names")
    assert found["remedy"] == "keep one: `poller orgs remove 'other'`"


def test_an_org_encrypted_with_a_missing_key_is_named(
    poller: Poller, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLLER_SECRET_KEYS", OTHER_KEYS.replace("k1", "k2"))
    told = diagnose(poller, 1, "keys", "wrong")
    assert told.startswith("missing: the key k1 of 1 row: acme; put it back behind the others in POLLER_SECRET_KEYS")


def test_access_keys_that_are_checked_with_a_missing_key_are_counted(
    poller: Poller, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other", "gone"):
        assert poller("access", "add", name, "--may", "read").code == 0
    assert poller("access", "revoke", "gone").code == 0
    assert findings(poller("doctor", "--json"))["access keys"]["what"] == "2 keys in use"
    monkeypatch.setenv("POLLER_SECRET_KEYS", OTHER_KEYS.replace("k1", "k2"))
    found = findings(poller("doctor", "--json"))["access keys"]
    assert found["verdict"] == "wrong"
    assert found["what"] == "2 keys cannot be used: they are checked with the encryption key k1, which is not here"
    assert found["remedy"].startswith("put it back behind the others in POLLER_SECRET_KEYS, or make new keys")


def test_a_different_key_with_the_same_id_is_detected(
    poller: Poller, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLLER_SECRET_KEYS", OTHER_KEYS)
    assert "does not decrypt with the key 'k1'" in diagnose(poller, 1, "keys", "wrong")


def test_an_invalid_key_is_named_by_its_position(poller: Poller, fleet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLER_SECRET_KEYS", f"{KEYS},k2:short-but-secret-0123456789")
    assert "key 2 is not base64 of 32 bytes" in diagnose(poller, 1, "keys", "wrong")


def test_missing_partitions_of_coming_months_are_named(poller: Poller, fleet: str) -> None:
    missing = month_after(month_of(NOW))
    on(fleet, f"DROP TABLE org_snapshots_{missing:%Y_%m}", "SELECT 1")
    told = diagnose(poller, 1, "partitions", "wrong")
    assert told.startswith(f"not made ahead: {missing:%Y-%m}; start `poller run`: ")


def test_a_default_partition_is_reported(poller: Poller, fleet: str) -> None:
    on(fleet, "CREATE TABLE other PARTITION OF org_snapshots DEFAULT", "SELECT 1")
    told = diagnose(poller, 1, "partitions", "wrong")
    assert told.endswith("ALTER TABLE org_snapshots DETACH PARTITION other")


def test_a_failed_maintenance_task_is_reported_with_its_error(poller: Poller, fleet: str) -> None:
    on(fleet, "UPDATE chores SET failed_at = now(), error = 'PostgreSQL: must be owner' WHERE name = 'retention'")
    assert "retention: PostgreSQL: must be owner" in diagnose(poller, 1, "maintenance", "wrong")


def test_overdue_maintenance_tasks_are_named(poller: Poller, fleet: str) -> None:
    on(fleet, "UPDATE chores SET done_at = now() - interval '3 days' WHERE name IN ('retention', 'partitions')")
    on(fleet, "UPDATE chores SET done_at = now() - interval '2 hours' WHERE name IN ('rollups', 'packing')")
    told = diagnose(poller, 1, "maintenance", "wrong")
    assert told.startswith("not done: partitions for 3d, retention for 3d, rollups for 2h; check its log")


def test_without_a_running_worker_the_remedy_is_to_start_the_service(poller: Poller, fleet: str) -> None:
    on(fleet, "DELETE FROM workers", "UPDATE chores SET done_at = now() - interval '3 days'")
    ended = poller("doctor", "--json")
    found = findings(ended)
    assert ended.code == 1
    assert found["workers"]["verdict"] == "warning"
    assert found["maintenance"]["remedy"] == "start `poller run`: none is at work"


def test_for_jobs_that_wait_too_long_the_remedy_is_more_workers(poller: Poller, fleet: str) -> None:
    on(
        fleet,
        "INSERT INTO pgqueuer (priority, status, entrypoint, execute_after)"
        " VALUES (1, 'queued', 'poll', now() - interval '5 minutes')",
    )
    assert "1 job overdue" in diagnose(poller, 0, "workers", "warning")


def test_reader_roles_without_read_access_are_named(poller: Poller, fleet: str) -> None:
    on(fleet, "REVOKE SELECT ON user_counts FROM poller_guest", "SELECT 1")
    assert diagnose(poller, 0, "roles", "warning") == "may not read yet: poller_guest; run `poller migrate`"


def test_snapshots_written_after_their_day_was_closed_are_counted(
    poller: Poller, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late() -> None:
        slot = datetime(2025, 1, 31, 12, tzinfo=UTC)
        row = Snapshot(1, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 5))
        async with await connect(fleet) as database:
            await write_snapshots(database, [row])
            await roll_up(database, NOW.date())
            await drop_partitions(database, datetime(2025, 2, 1, tzinfo=UTC))
            await write_snapshots(database, [row])

    asyncio.run(late())
    with monkeypatch.context() as kept:
        kept.setenv("POLLER_SNAPSHOT_RETENTION", "forever")
        assert diagnose(poller, 0, "retention", "warning").startswith("1 day of orgs with snapshots that came after")
    told = diagnose(poller, 0, "retention", "warning")
    assert told.startswith("1 month overdue for deletion (snapshots 13mo, daily counts forever); start `poller run`")


def test_a_clock_that_differs_from_zohos_is_reported(poller: Poller, fleet: str, zoho: Front) -> None:
    zoho.ahead = timedelta(seconds=10)
    assert "s ahead of this machine's; set both by NTP" in diagnose(poller, 0, "Zoho's clock", "warning")
    zoho.ahead = timedelta(minutes=-10)
    assert "s behind this machine's; set both by NTP" in diagnose(poller, 1, "Zoho's clock", "wrong")


def test_a_clock_that_differs_from_postgresqls_is_reported(poller: Poller, fleet: str, zoho: Front) -> None:
    with time_machine.travel(datetime.now(UTC) - timedelta(minutes=4), tick=True):
        told = diagnose(poller, 1, "database clock", "wrong")
    assert told.startswith("PostgreSQL's clock is 240 s ahead of this machine's; ")


def test_an_unreachable_data_centre_that_orgs_use_is_a_failed_check(
    poller: Poller, fleet: str, zoho: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_org(fleet, "birch", "other")
    closed = "http://127.0.0.1:1"
    monkeypatch.setenv(
        "POLLER_DATA_CENTERS",
        json.dumps(
            {
                "lab": {"accounts_server": zoho.url, "api_domains": [zoho.url]},
                "other": {"accounts_server": zoho.url, "api_domains": [closed]},
            }
        ),
    )
    assert diagnose(poller, 1, "data centre other", "wrong").startswith(
        f"{closed} cannot be reached: refused; allow connections from this machine"
    )


def test_a_data_centre_with_an_untrusted_certificate_is_a_failed_check(
    poller: Poller, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.delenv("POLLER_PROXY")
    with front(context) as impostor:
        elsewhere(monkeypatch, impostor.url)
        ended = poller("doctor", "--json")
    found = findings(ended)["data centres"]
    assert ended.code == 1
    assert found["what"] == "no server can be reached, of 1: tls"
    assert "CA certificates" in found["remedy"]
    assert impostor.asked == []


def test_the_request_to_a_data_centre_carries_no_credentials_and_follows_no_redirect(
    poller: Poller, fleet: str, zoho: Front
) -> None:
    with front() as stranger:
        zoho.status, zoho.location = 302, stranger.url
        ended = poller("doctor")
    assert ended.code == 0
    ((method, path, headers),) = zoho.asked
    assert (method, path) == ("HEAD", "/")
    assert set(headers) == {"Host", "Accept", "Accept-Encoding", "User-Agent"}
    assert stranger.asked == []


def test_a_data_centre_that_answers_with_a_server_error_is_a_warning(poller: Poller, fleet: str, zoho: Front) -> None:
    zoho.status = 503
    assert "answers 503; " in diagnose(poller, 0, "data centre lab", "warning")


def test_an_unknown_data_centre_is_reported_with_the_number_of_its_orgs(poller: Poller, fleet: str) -> None:
    make_org(fleet, "cedar", "lab")
    on(fleet, "UPDATE orgs SET data_center = 'moon' WHERE name = 'cedar'")
    told = diagnose(poller, 1, "data centre moon", "wrong")
    assert told == "1 org in it, but no setting gives its address; add it to POLLER_DATA_CENTERS"


async def test_without_any_org_every_data_centre_is_checked(process: Process, on_database: str, zoho: Front) -> None:
    async with connect_proxy(0) as proxy:
        proxy.denied = "403 Forbidden"
        ended = await process("doctor", "--json", environ={"POLLER_PROXY": f"http://127.0.0.1:{proxy.port}"})
    found = findings(ended)
    assert found["data centre lab"]["verdict"] == "ok"
    assert {found[f"data centre {name}"]["verdict"] for name in ZOHO_DATA_CENTERS} == {"warning"}
    assert found["data centre eu"]["what"] == "https://accounts.zoho.eu cannot be reached: proxy_denied"
    hosts = {f"{url.removeprefix('https://')}:443" for one in ZOHO_DATA_CENTERS.values() for url in origins(one)}
    assert set(proxy.asked_for) == hosts


def origins(data_center: DataCenter) -> list[str]:
    return [data_center.accounts_server, *data_center.api_domains]


@pytest.mark.parametrize(
    ("address", "why", "remedy"),
    [
        ("user:wrong-wrong-wrong@127.0.0.1", "proxy_login", "correct user and password in POLLER_PROXY"),
        ("127.0.0.1", "proxy_login", "correct user and password in POLLER_PROXY"),
        ("proxy.invalid", "proxy_dns", "correct the host in POLLER_PROXY"),
        ("[::1]", "proxy_unreachable", "correct host and port in POLLER_PROXY"),
    ],
)
async def test_a_proxy_error_is_reported_as_such_and_not_as_a_dns_failure(
    process: Process, on_database: str, address: str, why: str, remedy: str
) -> None:
    async with connect_proxy(0, login="user:right") as proxy:
        environ = {"POLLER_PROXY": f"http://{address}:{proxy.port}"}
        ended = await process("doctor", "--json", environ=environ)
    found = findings(ended)["data centres"]
    assert (ended.code, found["what"]) == (1, f"no server can be reached, of 20: {why}")
    assert found["remedy"].startswith(remedy)
    assert "wrong-wrong" not in ended.out + ended.err


def test_an_error_with_line_breaks_and_control_characters_is_printed_on_one_line(poller: Poller, fleet: str) -> None:
    on(fleet, "UPDATE chores SET error = E'first\\n\\x1b[31msecond' WHERE name = 'rollups'")
    lines = poller("doctor").out.splitlines()
    (line,) = [line for line in lines if "  maintenance " in line]
    assert "rollups: first \\x1b[31msecond" in line
