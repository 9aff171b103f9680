"""The names of the settings, the remedy for each, and which unknown names are misspelled settings."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from poller.core.errors import SettingsError
from poller.core.retention import FOREVER

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PREFIX: Final = "POLLER_"
FILE_SUFFIX: Final = "_FILE"
ENV_FILE: Final = "POLLER_ENV_FILE"
DATABASE: Final = "POLLER_DATABASE_URL"
FOLDER: Final = "POLLER_DATA_DIR"
_TESTS: Final = "POLLER_TEST_"

_NEW_KEY: Final = 'make a key with: echo "k1:$(openssl rand -base64 32)", and keep it where backups are kept'
REMEDIES: Final[Mapping[str, str]] = {
    DATABASE: "write postgresql://user:password@host/database, or unset it for the embedded PostgreSQL",
    FOLDER: "name a folder",
    "POLLER_SECRET_KEYS": _NEW_KEY,
    "POLLER_API_VERSION": "write a path segment such as v7",
    "POLLER_POLL_INTERVAL": "write seconds, or 90s, 15m, 1h, up to 1d",
    "POLLER_CREDIT_SHARE": "write a share above 0 and up to 1, such as 0.10",
    "POLLER_IN_FLIGHT_SHARE": "write a share above 0 and up to 1, such as 0.5",
    "POLLER_CONCURRENCY": "write a whole number from 1 to 10000",
    "POLLER_REQUEST_TIMEOUT": "write seconds, or 15s, 1m",
    "POLLER_DATA_CENTERS": (
        'write JSON such as {"lab": {"accounts_server": "https://accounts.example", '
        '"api_domains": ["https://api.example"]}}'
    ),
    "POLLER_PROXY": "write http://user:password@host:port, or environment for HTTPS_PROXY and NO_PROXY",
    "POLLER_SNAPSHOT_RETENTION": f"write 13mo, 400d, 2y or {FOREVER}",
    "POLLER_DAILY_RETENTION": (
        f"write {FOREVER}, 10y, 120mo or 4000d, and no less than POLLER_SNAPSHOT_RETENTION, which is 13mo if not set"
    ),
    "POLLER_WEB_HOST": "write an address or a host name",
    "POLLER_WEB_PORT": "write a port from 0 to 65535",
    "POLLER_WEB_ORIGIN": "write the address people use, such as https://poller.example",
    "POLLER_TRUSTED_PROXIES": "write addresses or networks, comma-separated, such as 127.0.0.1,10.0.0.0/8",
    "POLLER_API_KEY": "make one with: openssl rand -hex 32",
    "POLLER_METRICS_ORGS": "write the number of orgs that may be named, 0 for none",
    "POLLER_NOTIFY_URLS": (
        "write addresses, comma-separated, such as mailtos://user:password@mail.example or webhook+https://host/path"
    ),
    "POLLER_DIGEST": "write daily 08:00 Europe/Berlin, or monday 08:00 Europe/Berlin",
    "POLLER_LOG_FORMAT": "write console or json",
    "POLLER_LOG_LEVEL": "write debug, info, warning or error",
}
NAMES: Final = tuple(REMEDIES)
"""Every setting, in the order of the documentation."""
SECRETS: Final = (DATABASE, "POLLER_SECRET_KEYS", "POLLER_API_KEY", "POLLER_PROXY", "POLLER_NOTIFY_URLS")
"""Settings whose value may be in a file: the variable with `_FILE` at its end names the file."""
VARIABLES: Final = frozenset({*NAMES, *(f"{name}{FILE_SUFFIX}" for name in SECRETS), ENV_FILE})
"""Every variable the poller reads."""

_DATABASE_LIKE: Final = re.compile(r"POLLER_(.*_)?(DATABASE|DB|DSN|POSTGRES|POSTGRESQL|PG[A-Z]*)(_.*)?|POLLER_UR[LI]")
_DECISIVE: Final = (DATABASE, f"{DATABASE}{FILE_SUFFIX}", FOLDER)
_OF_OTHERS: Final = frozenset({"DATABASE_URL", "DATABASE_URL_FILE"})
"""The names that most programs use for these settings. The poller does not read them."""


def misspelled(others: Mapping[str, str], used: Collection[str]) -> list[str]:
    """A sentence for each `POLLER_` variable of `others` (name, place) that is not a setting; `used`: the settings.

    A warning, not an error: after a rollback, the environment may have settings of the newer release. Raises
    `SettingsError` for a name that seems to name the database, if no setting does.
    """
    found = []
    for name in sorted(others):
        meant = _database_setting(name.upper())
        if meant is not None and not {DATABASE, meant} & set(used):
            what = f"{name} ({others[name]}) is not a setting, and without it the embedded database would be used"
            raise SettingsError(what, f"rename it to {meant}, or unset it")
        if name.upper().startswith(PREFIX) and not name.upper().startswith(_TESTS):
            meant = meant or _closest(name.upper().removeprefix(PREFIX), 0.6)
            found.append(f"{name} is not a setting; " + (f"did you mean {meant}?" if meant else "remove it"))
    return found


def _database_setting(name: str) -> str | None:
    """The setting that an unknown name probably means, if that setting decides which database is used."""
    if name.startswith(_TESTS):
        return None
    if _DATABASE_LIKE.fullmatch(name) or name in _OF_OTHERS:
        return f"{DATABASE}{FILE_SUFFIX}" if name.endswith(FILE_SUFFIX) else DATABASE
    if name.startswith(PREFIX):
        meant = _closest(name.removeprefix(PREFIX), 0.7)
        return meant if meant in _DECISIVE else None
    # A misspelled prefix, such as POLER_DATABASE_URL.
    return next(iter(difflib.get_close_matches(name, _DECISIVE, n=1, cutoff=0.9)), None)


def _closest(rest: str, cutoff: float) -> str | None:
    """The variable whose name after the prefix is most similar to `rest`."""
    names = sorted(name.removeprefix(PREFIX) for name in VARIABLES)
    close = difflib.get_close_matches(rest, names, n=1, cutoff=cutoff)
    return f"{PREFIX}{close[0]}" if close else None
