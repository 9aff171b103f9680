"""The cluster on disk: made whole or not at all, and looked at before a server is started on it.

It refuses what it did not make: a folder of something else, of another major version, or open to others (whoever
reaches the socket inside needs no password).
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from poller.core.errors import EmbeddedError
from poller.embedded.os_user import run_as
from poller.embedded.supervisor import data_argument

if TYPE_CHECKING:
    from collections.abc import Sequence
    from subprocess import CompletedProcess

    from poller.embedded.binaries import Binaries
    from poller.embedded.os_user import OsUser

USER: Final = "poller"
DATABASE: Final = "poller"
_PARTIAL: Final = "postgresql.new-"


def major_of(cluster: Path) -> str | None:
    """The major version the cluster's data is of; None where there is none yet."""
    try:
        return (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if cluster.exists() and any(cluster.iterdir()):
            raise EmbeddedError(
                f"{cluster} holds something other than a PostgreSQL cluster",
                "move it away, or choose another POLLER_DATA_DIR",
            ) from None
        return None


def ensure(cluster: Path, binaries: Binaries, account: OsUser, options: Sequence[str]) -> None:
    """Make the cluster where there is none; else refuse one these programs must not be let at."""
    for left in cluster.parent.glob(f"{_PARTIAL}*"):  # of a start that was killed; its initdb may still be writing
        shutil.rmtree(left, ignore_errors=True)
    major = major_of(cluster)
    if major is None:
        _make(cluster, binaries, account, options)
        return
    if major != binaries.major:
        raise EmbeddedError(
            f"the data in {cluster} is of PostgreSQL {major}, the installed programs are {binaries.version}",
            f"move the data over with pg_dump of PostgreSQL {major}, or move the folder away to start empty",
        )
    status = cluster.stat()
    if status.st_uid != account.uid:
        raise EmbeddedError(f"{cluster} belongs to another user (id {status.st_uid})", "run the poller as that user")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise EmbeddedError(f"{cluster} is open to other users", f"chmod 700 '{cluster}'")


def open_folder(folder: Path) -> int:
    """A descriptor of the folder itself; an `OSError` where a link has taken its place."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _make(cluster: Path, binaries: Binaries, account: OsUser, options: Sequence[str]) -> None:
    """All of it beside the place, then one rename: a crash leaves nothing half-made in the place itself."""
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=cluster.parent))
    fd = open_folder(partial)
    try:
        if os.geteuid() == 0:
            os.fchown(fd, account.uid, account.gid)
        here = data_argument(partial, fd)
        initdb = ["initdb", "-D", here, *_initdb_options(binaries, options)]
        # exit_on_error: left alone, the single-user server reports a failed statement and ends with 0.
        single = ["postgres", "--single", "-D", here, *options, "-c", "exit_on_error=true", "postgres"]
        for (program, *arguments), stdin in ((initdb, ""), (single, f"CREATE DATABASE {DATABASE}\n")):
            done = run_as(account, [binaries.program(program), *arguments], stdin=stdin, pass_fds=(fd,))
            _check(done, f"{program} could not make {cluster}")
        partial.rename(cluster)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(fd)
    _sync(cluster.parent)


def _check(done: CompletedProcess[str], what: str) -> None:
    if done.returncode:
        raise failure(what, done.stderr)


def _initdb_options(binaries: Binaries, options: Sequence[str]) -> list[str]:
    # Trust: the folder is 0700 and so is everything above the socket in it. Nobody comes by TCP, nor could.
    chosen = ["-U", USER, "--auth-local=trust", "--auth-host=reject", "-E", "UTF8", "--data-checksums"]
    chosen += ["--locale=C", "--no-instructions"]
    if int(binaries.major) >= 17:  # its own C.UTF-8, which no upgrade of the system's C library re-sorts
        chosen += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if "fsync=off" in options:
        chosen.append("--no-sync")
    return chosen


def failure(what: str, said: str) -> EmbeddedError:
    """An error with the line of PostgreSQL's own words that tells most, and a remedy that fits it."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and "database system is" not in line]
    grave = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "error:"))] or lines[-1:]
    why = grave[0] if grave else "it said nothing"
    if "No space left" in said:
        return EmbeddedError(f"{what}: the disk is full", "free some space and start again")
    return EmbeddedError(f"{what}: {why}", "fix that, or set POLLER_DATABASE_URL to another PostgreSQL")


def _sync(folder: Path) -> None:
    """Make a rename in `folder` outlast a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
