"""For a wrong address of the database the error names the server, the refusal, and the one thing to change."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

from poller.core.errors import PollerError, SettingsError
from poller.store import schema
from poller.store.address import check_address, target
from poller.store.database import connect
from tests.postgres import address, run_on
from tests.tls_postgres import PASSWORD, Served, needs_tls, running_on_loopback
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECES: Final = ("pa55", "w/rd", "w%2Frd")


@pytest.fixture(scope="module")
def tls() -> Iterator[Served]:
    """A server that accepts passwords over TLS only."""
    with running_on_loopback(tls=True) as served:
        yield served


@pytest.fixture(scope="module")
def plain() -> Iterator[Served]:
    """A server without TLS."""
    with running_on_loopback(tls=False) as served:
        yield served


def descriptors() -> int:
    """The number of open file descriptors of this process."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def refusal(dsn: str) -> str:
    """The error line for an operator, after the refused connection is closed."""
    before = descriptors()
    with pytest.raises(PollerError) as caught:
        async with await connect(dsn, schema_check=False):
            pass
    # Over TLS it is closed when the server has hung up, too: a loop that ends before leaves it open, with a warning.
    await eventually(lambda: descriptors() <= before)
    line = str(caught.value)
    assert "\n" not in line
    for error in (caught.value, caught.value.__cause__, caught.value.__context__):
        assert not [piece for piece in PIECES if piece in f"{error} {error!r}"]
    return line


@needs_tls
@pytest.mark.parametrize("query", ["", "?sslmode=require", "?sslmode=verify-full&sslrootcert={ca}"])
async def test_a_correct_address_with_tls_works(tls: Served, query: str) -> None:
    async with await connect(tls.dsn(query.format(ca=tls.ca)), schema_check=False) as database:
        assert await database.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


@needs_tls
@pytest.mark.parametrize(
    ("query", "says", "remedy"),
    [
        (
            "?sslmode=verify-ca&sslrootcert={other}",
            "its certificate is refused: unable to get local issuer certificate",
            "set sslrootcert in POLLER_DATABASE_URL to the file of the authority that signed it",
        ),
        (
            "?sslmode=verify-full",
            "no certificate authority is given",
            "add sslrootcert=/path/of/the/authority.pem to POLLER_DATABASE_URL",
        ),
        (
            "?sslmode=verify-full&sslrootcert=/no/such.pem",
            "the file /no/such.pem cannot be read: No such file or directory",
            "correct sslrootcert in POLLER_DATABASE_URL",
        ),
        (
            "?sslmode=require&sslcert=/no/such.pem&sslkey=/no/key.pem",
            "the file /no/such.pem cannot be read",
            "correct sslcert in POLLER_DATABASE_URL",
        ),
        ("?sslmode=disable", "wants TLS", "add sslmode=require to POLLER_DATABASE_URL"),
        ("?sslmode=require&channel_binding=require", "the parameter channel_binding", "take channel_binding out"),
        ("?sslmode=require&connect_timeout=5", "the parameter connect_timeout", "take connect_timeout out"),
    ],
)
async def test_a_wrong_parameter_of_an_address_is_reported_with_the_server_that_was_tried(
    tls: Served, query: str, says: str, remedy: str
) -> None:
    line = await refusal(tls.dsn(query.format(other=tls.other_ca)))
    assert f"localhost:{tls.port}, database books" in line
    assert says in line
    assert remedy in line


@needs_tls
async def test_a_certificate_of_another_host_says_which_host_to_write(tls: Served) -> None:
    line = await refusal(tls.dsn(f"?sslmode=verify-full&sslrootcert={tls.ca}", host="127.0.0.1"))
    assert f"127.0.0.1:{tls.port}" in line
    assert "write the host in POLLER_DATABASE_URL as the certificate has it" in line


@needs_tls
async def test_a_wrong_file_of_a_certificate_authority_is_named(tls: Served, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no certificate")
    line = await refusal(tls.dsn(f"?sslmode=verify-full&sslrootcert={wrong}"))
    assert f"the file {wrong} holds no certificate" in line


@needs_tls
async def test_a_server_without_tls_is_reported_if_tls_is_required(plain: Served) -> None:
    line = await refusal(plain.dsn("?sslmode=require"))
    assert f"localhost:{plain.port}, database books does not offer TLS, which sslmode=require asks for" in line
    async with await connect(plain.dsn(), schema_check=False):
        pass


@needs_tls
async def test_errors_for_a_wrong_password_or_database_name_the_server(tls: Served) -> None:
    line = await refusal(tls.dsn(password="pa55"))
    assert f"localhost:{tls.port}, database books: password authentication failed" in line
    assert "percent-encode special characters" in line
    assert f"localhost:{tls.port}, database wrong: " in await refusal(tls.dsn(database="wrong"))


async def test_the_remedy_for_an_unknown_role_is_to_correct_the_address_and_not_pg_hba(
    blank_database_url: str,
) -> None:
    line = await refusal(blank_database_url.replace("://poller@", "://nobody@"))
    assert 'role "nobody" does not exist; correct the user in POLLER_DATABASE_URL' in line
    assert "pg_hba" not in line


@pytest.mark.parametrize("query", ["", "?sslmode=prefer", "?sslmode=allow"])
async def test_a_port_where_another_program_answers_is_not_reported_as_a_postgresql_without_tls(query: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        line = await refusal(f"postgresql://clerk@127.0.0.1:{port}/books{query}")
    assert (
        f"127.0.0.1:{port}, database books: another program answers there, not PostgreSQL; correct host and port"
        in line
    )
    assert "sslmode" not in line


async def test_a_database_that_was_never_migrated_is_reported_by_name(blank_database_url: str) -> None:
    with pytest.raises(PollerError, match=r"the database is empty, .* \(.*, database test_\w+\); run `poller migrate`"):
        await connect(blank_database_url)


@pytest.mark.parametrize("character", "@/#?[]")
async def test_a_password_that_needs_percent_encoding_is_reported_and_never_shown(character: str) -> None:
    line = await refusal(f"postgresql://clerk:pa55{character}w@localhost:5432/books")
    assert "percent-encode special characters" in line


@pytest.mark.parametrize("address", ["h:99999", "h:0", "h:54x2", "one:1,two:x", "[::1]:x"])
def test_an_invalid_port_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="has a port that is not a number from 1 to 65535"):
        check_address(f"postgresql://u:p@{address}/d")


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        ("postgresql://u:p@db.example/poller", "db.example:5432, database poller"),
        ("postgresql://u:p@one,two:6432/poller", "one:5432, two:6432, database poller"),
        ("postgresql://u@/poller?host=%2Frun%2Fpg&port=6432", "/run/pg, database poller"),
        ("postgresql://u:p@[::1]:5433/poller?sslmode=require", "[::1]:5433, database poller"),
        ("postgresql://u:p%40x@h/d?application_name=me@here", "h:5432, database d"),
        ("postgresql://h:5432/d?user=me@here", "h:5432, database d"),
    ],
)
def test_an_address_is_named_by_hosts_ports_and_database(dsn: str, place: str) -> None:
    check_address(dsn)
    assert target(dsn) == place


async def test_a_schema_without_the_right_to_create_is_reported_with_the_missing_grant(
    blank_database_url: str, server_dsn: str
) -> None:
    role = f"role_{uuid.uuid4().hex[:8]}"
    await run_on(server_dsn, f"CREATE ROLE {role} LOGIN")
    dsn = blank_database_url.replace("://poller@", f"://{role}@")
    try:
        with pytest.raises(PollerError, match=f"run `GRANT USAGE, CREATE ON SCHEMA public TO {role};` there"):
            await schema.upgrade(dsn)
        await run_on(blank_database_url, "DROP SCHEMA public")
        with pytest.raises(PollerError, match=f"run `CREATE SCHEMA {role} AUTHORIZATION {role};` there"):
            await schema.upgrade(dsn)
        await run_on(blank_database_url, f"CREATE SCHEMA {role} AUTHORIZATION {role}")
        await schema.upgrade(dsn)
    finally:
        await run_on(blank_database_url, f"DROP OWNED BY {role} CASCADE")
        await run_on(server_dsn, f"DROP ROLE {role}")


async def test_a_database_that_is_not_utf8_is_refused_before_anything_is_created_in_it(server_dsn: str) -> None:
    name = f"latin_{uuid.uuid4().hex[:8]}"
    await run_on(server_dsn, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    dsn = address(server_dsn, name)
    with pytest.raises(PollerError, match=f"encoded in LATIN1.*{name}.*ENCODING 'UTF8' TEMPLATE template0"):
        await schema.upgrade(dsn)
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT to_regclass('poller_locks')") is None
    await connection.close()
    await run_on(server_dsn, f"DROP DATABASE {name}")


@pytest.mark.parametrize(
    "table", ["(version_num) AS VALUES ('0003')", "(version_num) AS VALUES ('ae1027a6acf')", "(version) AS VALUES (1)"]
)
async def test_a_database_that_another_program_migrates_is_refused(blank_database_url: str, table: str) -> None:
    await run_on(blank_database_url, f"CREATE TABLE alembic_version {table}")
    for use in (schema.upgrade, connect):
        with pytest.raises(
            PollerError, match=r"\(.*, database test_\w+\) is .*; give the poller a database of its own"
        ):
            await use(blank_database_url)


def test_the_password_used_by_these_tests_needs_percent_encoding() -> None:
    assert "/" in PASSWORD
