"""The settings: `POLLER_*` variables of the environment or of `.env`, read once and passed on as plain values.

It refuses to touch what it names: no folder is made, no database opened, no key decoded here. The value of a secret
is never part of an error.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping  # noqa: TC003  # pydantic reads the annotations
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from poller.core.datacenters import ZOHO_DATA_CENTERS, DataCenter, with_operators
from poller.core.errors import SettingsError
from poller.core.model import API_VERSION
from poller.core.retention import FOREVER, Retention, parse_retention
from poller.core.slots import LONGEST_INTERVAL_SECONDS, parse_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

PREFIX: Final = "POLLER_"
ENV_FILE: Final = Path(".env")
SHORTEST_API_KEY: Final = 32


class LogFormat(StrEnum):
    """How a log event is written."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe event that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _seconds(value: object) -> object:
    return parse_interval(value) if isinstance(value, str) else value


def _retention(value: object) -> object:
    return parse_retention(value) if isinstance(value, str) else value


def _database_url(url: SecretStr) -> SecretStr:
    try:
        scheme = urlsplit(url.get_secret_value()).scheme
    except ValueError:
        scheme = ""
    if scheme not in {"postgresql", "postgres"}:
        raise ValueError("it is not the address of a PostgreSQL database")
    return url


def _api_key(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < SHORTEST_API_KEY:
        raise ValueError(f"it is shorter than {SHORTEST_API_KEY} characters")
    return key


def _api_version(version: str) -> str:
    if not re.fullmatch(API_VERSION, version):
        raise ValueError(f"{version!r} is not a version of Zoho's API")
    return version


def _data_centers(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        listed = json.loads(value)
    except (ValueError, RecursionError) as wrong:
        raise ValueError("it is not JSON") from wrong
    if not isinstance(listed, dict):
        raise ValueError("it is not a JSON object of data centres by name")  # noqa: TRY004  # pydantic's protocol
    for name, entry in listed.items():
        domains = entry.get("api_domains") if isinstance(entry, dict) else None
        if not isinstance(domains, list) or not all(isinstance(domain, str) for domain in domains):
            raise ValueError(f"{name!r} needs an accounts_server and a list of api_domains")
    return with_operators(listed)


def _folder(path: Path) -> Path:
    return path.expanduser().absolute()


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Seconds = Annotated[int, BeforeValidator(_seconds), Field(ge=1, le=LONGEST_INTERVAL_SECONDS)]
Share = Annotated[float, Field(gt=0, le=1)]
Kept = Annotated[Retention | None, NoDecode, BeforeValidator(_retention)]
"""None: for ever."""


class Settings(BaseModel):
    """Every setting, checked. Made by `load`; tests make their own, which reads nothing but what they pass."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, arbitrary_types_allowed=True)

    database_url: Annotated[SecretStr, AfterValidator(_database_url)] | None = None
    """None: the embedded PostgreSQL in `data_dir`."""
    data_dir: Annotated[Path, AfterValidator(_folder)] = Field(default_factory=lambda: user_data_path("poller"))
    secret_keys: SecretStr | None = None
    """`id:base64[,id:base64]`, decoded by the store; None only in embedded mode: a key file in `data_dir`."""
    api_version: Annotated[str, AfterValidator(_api_version)] = "v7"
    poll_interval_seconds: Seconds = Field(default=900, validation_alias="POLLER_POLL_INTERVAL")
    credit_share: Share = 0.10
    in_flight_share: Share = 0.5
    """Of the calls Zoho allows an org to have in flight: the customer's other apps live off the rest."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 64
    request_timeout_seconds: Seconds = Field(default=15, validation_alias="POLLER_REQUEST_TIMEOUT")
    data_centers: Annotated[Mapping[str, DataCenter], NoDecode, BeforeValidator(_data_centers)] = ZOHO_DATA_CENTERS
    """By name: Zoho's own and the operator's."""
    snapshot_retention: Kept = Retention(months=13)
    """For snapshots: their months are dropped whole, once they have been over for so long."""
    daily_retention: Kept = None
    """For daily counts."""
    web_host: str = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    api_key: Annotated[SecretStr, AfterValidator(_api_key)] | None = None
    """What whoever asks the API must show; None: there is no API."""
    metrics_orgs: Annotated[int, Field(ge=0)] = 0
    """How large a fleet may be whose orgs are named at `/metrics/orgs`; 0: none is."""
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] | None = None
    """None: console on a terminal, else JSON."""
    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = LogLevel.INFO

    @property
    def embedded(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database_url is None


def load(env_file: Path | None = ENV_FILE) -> Settings:
    """The settings of this process's environment, then of `env_file`; what is empty counts as not set.

    Raises a `SettingsError` for the first wrong setting, with a note (PEP 678) for each further one.
    """
    try:
        found = _Environment(_env_file=env_file)
        # What was set and what is a default stays known, in `model_fields_set`.
        settings = Settings.model_construct(found.model_fields_set, **dict(found))
    except ValidationError as wrong:
        faults = [_fault(details) for details in wrong.errors(include_url=False)]
    except (OSError, UnicodeDecodeError) as unreadable:
        raise SettingsError(f"{env_file} cannot be read", "make it a readable UTF-8 file") from unreadable
    else:
        faults = list(_contradictions(settings))
        if not faults:
            return settings
    error = SettingsError(*faults[0])
    for what, remedy in faults[1:]:
        error.add_note(f"{what}; {remedy}")
    # The cause would carry the values, secrets among them.
    raise error from None


def unknown(environ: Mapping[str, str] | None = None, env_file: Path | None = ENV_FILE) -> list[str]:
    """A sentence for each `POLLER_` variable that is no setting: a spelling mistake, most likely.

    A warning, not an error: a newer release's environment must not stop an older one that is rolled back to.
    """
    names = set(os.environ if environ is None else environ)
    if env_file is not None and env_file.is_file():
        names |= set(dotenv_values(env_file))
    found = []
    for name in sorted(name for name in names if name.upper().startswith(PREFIX)):
        # What only the tests read has a prefix of its own.
        if name.upper() in NAMES or name.upper().startswith("POLLER_TEST_"):
            continue
        close = difflib.get_close_matches(name.upper(), NAMES, n=1)
        hint = f"did you mean {close[0]}?" if close else "remove it"
        found.append(f"{name} is not a setting; {hint}")
    return found


class _Environment(BaseSettings, Settings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, env_file_encoding="utf-8", validate_by_name=False
    )


def _name_of(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{PREFIX}{field.upper()}"


NAMES: Final = tuple(_name_of(field) for field in Settings.model_fields)
"""Every variable the poller reads, in the order of the documentation."""

_REMEDIES: Final[Mapping[str, str]] = {
    "POLLER_DATABASE_URL": "write postgresql://user:password@host/database, or unset it for the embedded PostgreSQL",
    "POLLER_DATA_DIR": "name a folder",
    "POLLER_SECRET_KEYS": 'make a key with: echo "k1:$(openssl rand -base64 32)", and keep it where backups are kept',
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
    "POLLER_SNAPSHOT_RETENTION": f"write 13mo, 400d, 2y or {FOREVER}",
    "POLLER_DAILY_RETENTION": (
        f"write {FOREVER}, 10y, 120mo or 4000d, and no less than POLLER_SNAPSHOT_RETENTION, which is 13mo if not set"
    ),
    "POLLER_WEB_HOST": "write an address or a host name",
    "POLLER_WEB_PORT": "write a port from 0 to 65535",
    "POLLER_API_KEY": "make one with: openssl rand -hex 32",
    "POLLER_METRICS_ORGS": "write the number of orgs that may be named, 0 for none",
    "POLLER_LOG_FORMAT": "write console or json",
    "POLLER_LOG_LEVEL": "write debug, info, warning or error",
}


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """What is wrong with settings that are right one by one."""
    if settings.database_url is not None and settings.secret_keys is None:
        name = "POLLER_SECRET_KEYS"
        yield f"{name}: it is required where POLLER_DATABASE_URL is set", _REMEDIES[name]
    snapshots, daily = settings.snapshot_retention, settings.daily_retention
    if daily is not None and (snapshots is None or daily.roughly_days < snapshots.roughly_days):
        name = "POLLER_DAILY_RETENTION"
        yield f"{name}: daily counts would be kept for less long than the snapshots they are made of", _REMEDIES[name]


def _fault(details: ErrorDetails) -> tuple[str, str]:
    """What is wrong and what to do; pydantic's own messages hold no value, ours hold only what is no secret."""
    field = str(details["loc"][0]) if details["loc"] else ""
    name = field if field in NAMES else f"{PREFIX}{field.upper()}"
    context: Mapping[str, Any] = details.get("ctx", {})
    what = str(context["error"]) if "error" in context else details["msg"][:1].lower() + details["msg"][1:]
    return f"{name}: {what}", _REMEDIES.get(name, "mend it")
