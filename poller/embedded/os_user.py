"""The operating system user that PostgreSQL runs as. PostgreSQL refuses root, so root uses an existing other user.

Creates no OS user and changes no permission of the folders above the cluster: the server inherits its folder as a
descriptor.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.core.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FALLBACKS: Final = ("postgres", "nobody")
# Nothing of this process's environment: neither its encryption keys nor PG* variables.
ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class OsUser:
    """The user and group that the server runs as."""

    uid: int
    gid: int

    @property
    def popen_arguments(self) -> dict[str, Any]:
        """Arguments of `subprocess.Popen` that start a program as this user; none unless this process is root."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() == 0 else {}


def os_user_for(data_dir: Path, cluster: Path) -> OsUser:
    """The owner of the cluster, else of the data folder, else the user `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return OsUser(os.geteuid(), os.getegid())
    for folder in (cluster, data_dir):
        if folder.exists() and (status := folder.stat()).st_uid != 0:
            return OsUser(status.st_uid, status.st_gid)
    for name in _FALLBACKS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return OsUser(user.pw_uid, user.pw_gid)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody' to run it as",
        "run the poller as an ordinary user, or set POLLER_DATABASE_URL",
    )


def run_as(
    os_user: OsUser, argv: Sequence[str], *, stdin: str = "", pass_fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs as that user until it ends, and capture its output."""
    return subprocess.run(  # noqa: S603 - our own binaries, no shell
        argv,
        cwd="/",
        env=ENVIRONMENT,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        umask=0o077,
        pass_fds=pass_fds,
        **os_user.popen_arguments,
    )
