"""The cluster on disk: created completely or not at all, and checked before a server starts on it.

Refuses a folder with something else, of another major version, or open to other users: a process that reaches the
socket inside needs no password.
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
    """The major version of the cluster's data; None if there is no cluster yet."""
    try:
        return (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if cluster.exists() and any(cluster.iterdir()):
            raise EmbeddedError(
                f"{cluster} holds something other than a PostgreSQL cluster",
                "move it away, or choose another POLLER_DATA_DIR",
            ) from None
        return None


def ensure(cluster: Path, binaries: Binaries, os_user: OsUser, options: Sequence[str]) -> None:
    """Creates the cluster if there is none; else raises `EmbeddedError` if these programs must not use it."""
    for abandoned in cluster.parent.glob(f"{_PARTIAL}*"):  # left by a killed start; its initdb may still be writing
        shutil.rmtree(abandoned, ignore_errors=True)
    major = major_of(cluster)
    if major is None:
        _make(cluster, binaries, os_user, options)
        return
    if major != binaries.major:
        raise EmbeddedError(
            f"the data in {cluster} is of PostgreSQL {major}, the installed programs are {binaries.version}",
            f"move the data over with pg_dump of PostgreSQL {major}, or move the folder away to start empty",
        )
    status = cluster.stat()
    if status.st_uid != os_user.uid:
        raise EmbeddedError(f"{cluster} belongs to another user (id {status.st_uid})", "run the poller as that user")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise EmbeddedError(f"{cluster} is open to other users", f"chmod 700 '{cluster}'")


def open_folder(folder: Path) -> int:
    """A descriptor of the folder; raises `OSError` if it is a link."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _make(cluster: Path, binaries: Binaries, os_user: OsUser, options: Sequence[str]) -> None:
    """Creates everything in a temporary folder and renames that, so that a crash never leaves half a cluster."""
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=cluster.parent))
    fd = open_folder(partial)
    try:
        if os.geteuid() == 0:
            os.fchown(fd, os_user.uid, os_user.gid)
        here = data_argument(partial, fd)
        initdb = ["initdb", "-D", here, *_initdb_options(binaries, options)]
        # exit_on_error: without it, the single-user server ends with 0 even if the statement failed.
        single = ["postgres", "--single", "-D", here, *options, "-c", "exit_on_error=true", "postgres"]
        for (program, *arguments), stdin in ((initdb, ""), (single, f"CREATE DATABASE {DATABASE}\n")):
            done = run_as(os_user, [binaries.program(program), *arguments], stdin=stdin, pass_fds=(fd,))
            _check(done, f"{program} could not create {cluster}")
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
    # Trust is safe: the folder of the socket is 0700, and the server does not listen on TCP.
    chosen = ["-U", USER, "--auth-local=trust", "--auth-host=reject", "-E", "UTF8", "--data-checksums"]
    chosen += ["--locale=C", "--no-instructions"]
    if int(binaries.major) >= 17:  # PostgreSQL's own C.UTF-8: an upgrade of the C library does not change its order
        chosen += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if "fsync=off" in options:
        chosen.append("--no-sync")
    return chosen


def failure(what: str, output: str) -> EmbeddedError:
    """An error with the most informative line of PostgreSQL's output, and a remedy that fits."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and "database system is" not in line]
    errors = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "error:"))] or lines[-1:]
    why = errors[0] if errors else "it printed no message"
    if "No space left" in output:
        return EmbeddedError(f"{what}: the disk is full", "free some space and start again")
    return EmbeddedError(f"{what}: {why}", "fix that, or set POLLER_DATABASE_URL to another PostgreSQL")


def _sync(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
