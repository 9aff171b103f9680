"""The settings as checked values.

Creates no folder, opens no database and decodes no key. The value of a secret is never part of an error.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # pydantic reads the annotations
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final

from platformdirs import user_data_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from poller.core.datacenters import ZOHO_DATA_CENTERS, DataCenter
from poller.core.digest_schedule import DigestSchedule  # noqa: TC001  # pydantic reads the annotations
from poller.core.policy import PollPolicy
from poller.core.retention import Retention
from poller.core.secret import Secret
from poller.core.slots import LONGEST_INTERVAL_SECONDS
from poller.settings import values
from poller.settings.names import PREFIX

KEY_FILE: Final = "secret.key"
"""In `data_dir`: the keys of the embedded database."""


class LogFormat(StrEnum):
    """The format of log events."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe event that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Seconds = Annotated[int, BeforeValidator(values.duration), Field(ge=1, le=LONGEST_INTERVAL_SECONDS)]
Share = Annotated[float, Field(gt=0, le=1)]
Kept = Annotated[Retention | None, BeforeValidator(values.retention)]
"""None: for ever."""
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(values.networks)]
Addresses = Annotated[tuple[SecretStr, ...], BeforeValidator(values.notify_urls)]


def _own_folder() -> Path:
    """The platform's folder for a user's data; not an absolute path if this user has no home folder."""
    try:
        return user_data_path("poller")
    except (RuntimeError, KeyError):
        return Path("~/poller")


class Settings(BaseModel):
    """Every setting, checked. Created by `load`; tests create their own from arguments only."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, arbitrary_types_allowed=True)

    database_url: Annotated[SecretStr, AfterValidator(values.database_url)] | None = None
    """None: the embedded PostgreSQL in `data_dir`."""
    data_dir: Annotated[Path, AfterValidator(values.folder)] = Field(default_factory=_own_folder)
    secret_keys: SecretStr | None = None
    """`id:base64[,id:base64]`, decoded by the store; None only in embedded mode: a key file in `data_dir`."""
    api_version: Annotated[str, AfterValidator(values.api_version)] = "v7"
    poll_interval_seconds: Seconds = Field(default=900, validation_alias="POLLER_POLL_INTERVAL")
    credit_share: Share = 0.10
    in_flight_share: Share = 0.5
    """The share of an org's requests in flight that the poller may use: the rest is for the customer's other apps."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 64
    request_timeout_seconds: Seconds = Field(default=15, validation_alias="POLLER_REQUEST_TIMEOUT")
    data_centers: Annotated[Mapping[str, DataCenter], BeforeValidator(values.data_centers)] = ZOHO_DATA_CENTERS
    """By name: Zoho's data centres and those that the operator adds."""
    proxy: Annotated[SecretStr, AfterValidator(values.proxy)] | None = None
    """The proxy for requests to Zoho: an address, or `environment` for HTTPS_PROXY and NO_PROXY; None: no proxy."""
    snapshot_retention: Kept = Retention(months=13)
    """How long snapshots are kept: a month is dropped as a whole, this long after its end."""
    daily_retention: Kept = None
    """How long daily counts are kept."""
    web_host: str = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    web_origin: Annotated[str, AfterValidator(values.web_origin)] | None = None
    """The https address at which people open the pages."""
    trusted_proxies: Networks = ()
    """Proxies whose `X-Forwarded-*` headers are believed."""
    api_key: Annotated[SecretStr, AfterValidator(values.api_key)] | None = None
    """The key for the API; None: there is no API."""
    metrics_orgs: Annotated[int, Field(ge=0)] = 0
    """The largest fleet whose orgs are named at `/metrics/orgs`; 0: no org is named."""
    notify_urls: Addresses = ()
    """Where alerts and digests are sent."""
    digest: Annotated[DigestSchedule | None, BeforeValidator(values.digest)] = None
    """When a digest is sent to `notify_urls`; None: never."""
    log_format: Annotated[LogFormat, BeforeValidator(values.lower)] | None = None
    """None: console on a terminal, else JSON."""
    log_level: Annotated[LogLevel, BeforeValidator(values.lower)] = LogLevel.INFO

    @property
    def proxy_address(self) -> Secret | None:
        """`proxy`, as it is passed on."""
        return None if self.proxy is None else Secret(self.proxy.get_secret_value())

    @property
    def notify_addresses(self) -> tuple[Secret, ...]:
        """`notify_urls`, as they are passed on."""
        return tuple(Secret(url.get_secret_value()) for url in self.notify_urls)

    @property
    def key_file(self) -> Path:
        """The encryption keys of the embedded database, created on first use."""
        return self.data_dir / KEY_FILE

    @property
    def poll_policy(self) -> PollPolicy:
        """The settings that decide about polls."""
        return PollPolicy(self.poll_interval_seconds, self.credit_share, self.in_flight_share, self.api_version)

    @property
    def embedded(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database_url is None


def variable(field: str) -> str:
    """The name of the variable that sets a field."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{PREFIX}{field.upper()}"
