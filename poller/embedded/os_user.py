"""Who the server runs as: PostgreSQL refuses root, so root lends it an unprivileged user that is already there.

No OS user is ever made, and no folder above the server's is opened to it: it inherits its folder as a descriptor.
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
# Nothing of ours: not the keys in our environment, not the PG* variables of somebody's shell.
ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class OsUser:
    """The user and group the server runs as, where that is not simply ours."""

    uid: int
    gid: int

    @property
    def popen(self) -> dict[str, Any]:
        """What `subprocess` needs to know of it."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() == 0 else {}


def account_for(data_dir: Path, cluster: Path) -> OsUser:
    """The owner of the cluster, else of the data folder, else the first unprivileged user known for this."""
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
    account: OsUser, argv: Sequence[str], *, stdin: str = "", pass_fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs to its end, as that user; its output is captured."""
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
        **account.popen,
    )
