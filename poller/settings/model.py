"""The settings as values, each checked alone and against the others.

Refuses to touch what it names: no folder is made, no database opened, no key decoded here. The value of a secret is
never part of an error.
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
from poller.core.policy import PollPolicy
from poller.core.retention import Retention
from poller.core.secret import Secret
from poller.core.slots import LONGEST_INTERVAL_SECONDS
from poller.settings import values
from poller.settings.names import PREFIX

KEY_FILE: Final = "secret.key"
"""In `data_dir`: the keys of the embedded database."""


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


Seconds = Annotated[int, BeforeValidator(values.duration), Field(ge=1, le=LONGEST_INTERVAL_SECONDS)]
Share = Annotated[float, Field(gt=0, le=1)]
Kept = Annotated[Retention | None, BeforeValidator(values.retention)]
"""None: for ever."""
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(values.networks)]
Addresses = Annotated[tuple[SecretStr, ...], BeforeValidator(values.notify_urls)]


def _own_folder() -> Path:
    """The platform's folder for a user's data; not an absolute path where this user has no home folder."""
    try:
        return user_data_path("poller")
    except (RuntimeError, KeyError):
        return Path("~/poller")


class Settings(BaseModel):
    """Every setting, checked. Made by `load`; tests make their own, which reads nothing but what they pass."""

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
    """Of the calls Zoho allows an org to have in flight: the customer's other apps live off the rest."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 64
    request_timeout_seconds: Seconds = Field(default=15, validation_alias="POLLER_REQUEST_TIMEOUT")
    data_centers: Annotated[Mapping[str, DataCenter], BeforeValidator(values.data_centers)] = ZOHO_DATA_CENTERS
    """By name: Zoho's own and the operator's."""
    proxy: Annotated[SecretStr, AfterValidator(values.proxy)] | None = None
    """Of requests to Zoho: an address, or `environment` for HTTPS_PROXY and NO_PROXY; None: no proxy."""
    snapshot_retention: Kept = Retention(months=13)
    """For snapshots: their months are dropped whole, this long after their end."""
    daily_retention: Kept = None
    """For daily counts."""
    web_host: str = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    web_origin: Annotated[str, AfterValidator(values.web_origin)] | None = None
    """The address people use."""
    trusted_proxies: Networks = ()
    """Whose `X-Forwarded-*` headers count."""
    api_key: Annotated[SecretStr, AfterValidator(values.api_key)] | None = None
    """What a caller of the API must show; None: there is no API."""
    metrics_orgs: Annotated[int, Field(ge=0)] = 0
    """How large a fleet may be whose orgs are named at `/metrics/orgs`; 0: none is."""
    notify_urls: Addresses = ()
    """Where alerts and digests are sent."""
    log_format: Annotated[LogFormat, BeforeValidator(values.lower)] | None = None
    """None: console on a terminal, else JSON."""
    log_level: Annotated[LogLevel, BeforeValidator(values.lower)] = LogLevel.INFO

    @property
    def proxy_address(self) -> Secret | None:
        """`proxy`, as it is passed on."""
        return None if self.proxy is None else Secret(self.proxy.get_secret_value())

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
