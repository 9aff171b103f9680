"""Dumps the embedded database and loads dumps, with PostgreSQL's own programs."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, Final

from poller.core.errors import OperationError

if TYPE_CHECKING:
    from poller.embedded import EmbeddedServer

_CHUNK: Final = 1 << 20
_ROLES: Final = ("poller_reader", "poller_guest", "poller_web")


def dump(server: EmbeddedServer, target: IO[bytes]) -> None:
    """Writes a dump of one moment of the database to `target`."""
    command = server.program("pg_dump", "-Fc")
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - PostgreSQL's own program, no shell
            command.argv, cwd=command.cwd, env=command.env, stdout=subprocess.PIPE, stderr=said
        ) as running,
    ):
        assert running.stdout is not None  # noqa: S101 - it is a pipe
        try:
            shutil.copyfileobj(running.stdout, target, _CHUNK)
        except BaseException:
            running.kill()
            raise
        if running.wait():
            said.seek(0)
            raise _failed("pg_dump", said.read())


def load(server: EmbeddedServer, source: IO[bytes]) -> None:
    """Loads a dump from `source` into an empty database, completely or not at all."""
    roles = "; ".join(f"CREATE ROLE {role} NOLOGIN" for role in _ROLES)
    _run(server, ("psql", "-qc", roles), None)
    _run(server, ("pg_restore", "--exit-on-error", "--single-transaction"), source)


def _run(server: EmbeddedServer, arguments: tuple[str, ...], source: IO[bytes] | None) -> None:
    command = server.program(*arguments)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - PostgreSQL's own programs, no shell
            command.argv, cwd=command.cwd, env=command.env, stdin=subprocess.PIPE, stdout=said, stderr=said
        ) as running,
    ):
        assert running.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(BrokenPipeError):
            if source is not None:
                shutil.copyfileobj(source, running.stdin, _CHUNK)
        with contextlib.suppress(BrokenPipeError):
            running.stdin.close()
        if running.wait():
            said.seek(0)
            raise _failed(arguments[0], said.read())


def _failed(program: str, said: bytes) -> OperationError:
    lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return OperationError(
        f"{program} failed: {lines[0]}", "see that the disk has room, and try again; nothing was changed"
    )
