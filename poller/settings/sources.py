"""Where the settings are written: the environment, a named file of settings, and files of single secrets.

Reads no file that the operator did not name. Strips whitespace around values; an empty value counts as not set.
Kubernetes and Docker set variables for a service called `poller`: these are ignored.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from poller.core.errors import SettingsError
from poller.settings.names import ENV_FILE, FILE_SUFFIX, PREFIX, SECRETS, VARIABLES
from poller.settings.private_file import read_private

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT: Final = "environment"
_ENV_FILE_BYTES: Final = 65_536
_SERVICE_LINK: Final = re.compile(
    r"POLLER(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://\S+:\d+")


@dataclass(frozen=True, slots=True)
class Value:
    """The text of one setting, and its source."""

    text: str = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The settings by name, and all other variables that are set."""

    values: Mapping[str, Value]
    others: Mapping[str, str]
    """Where each is set, by name, without the value, which may be a secret."""
    env_file: Path | None = None


def read_sources(env_file: Path | None = None, environ: Mapping[str, str] | None = None) -> Sources:
    """Reads `environ` (by default this process's) and then `env_file`, or the file that POLLER_ENV_FILE names.

    The environment wins over the file. Raises `SettingsError` for a file that cannot be used.
    """
    environ = os.environ if environ is None else environ
    written = _stripped(environ)
    if env_file is None and ENV_FILE in written:
        env_file = Path(written[ENV_FILE]).expanduser()
    written = {name: text for name, text in written.items() if not _is_service_link(name, text)}
    places = [(ENVIRONMENT, written)]
    if env_file is not None:
        places.append((str(env_file), _stripped(_file_of_settings(env_file))))
    values: dict[str, Value] = {}
    others: dict[str, str] = {}
    for place, found in places:
        for name, value in _values(place, found).items():
            values.setdefault(name, value)
        for name in found:
            if name.upper() not in VARIABLES:
                others.setdefault(name, place)
    return Sources(values, others, env_file)


def _stripped(written: Mapping[str, str]) -> dict[str, str]:
    return {name: text.strip() for name, text in written.items() if text.strip()}


def _values(place: str, found: Mapping[str, str]) -> dict[str, Value]:
    """The settings of one source; a secret may be in a file that the source names."""
    settings = {name.upper(): text for name, text in found.items() if name.upper() in VARIABLES}
    settings |= {name: text for name, text in found.items() if name in VARIABLES}  # the exact spelling wins
    values = {}
    for name, text in settings.items():
        if name == ENV_FILE:
            continue
        if name.endswith(FILE_SUFFIX) and (secret := name.removesuffix(FILE_SUFFIX)) in SECRETS:
            if secret in settings:
                raise SettingsError(f"{secret} and {name} are both set in the {place}", "unset one of them")
            path = Path(text).expanduser()
            if content := read_private(path, f"{name}: the file").strip():
                values[secret] = Value(content, f"{path} ({name} in the {place})")
            else:
                raise SettingsError(f"{name}: the file {path} is empty", f"write the value into it, or unset {name}")
        else:
            values[name] = Value(text, place)
    return values


def _file_of_settings(path: Path) -> dict[str, str]:
    text = read_private(path, "the file of settings")
    for line in parse_stream(io.StringIO(text)):
        if line.error:
            # The line itself may contain a secret.
            raise SettingsError(f"line {line.original.line} of {path} is not a setting", "write NAME=value")
    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def _is_service_link(name: str, text: str) -> bool:
    """Whether Kubernetes or Docker set this for a service called `poller`, `poller-web` or the like."""
    if _SERVICE_LINK.fullmatch(name):
        return True
    return name.startswith(PREFIX) and name.endswith("_PORT") and _SERVICE_ADDRESS.fullmatch(text) is not None


def unread_env_file(named: Path | None) -> list[str]:
    """A warning where the current folder has a `.env` with settings of the poller, which earlier releases read."""
    found = Path(".env")
    try:
        if not found.is_file() or (named is not None and found.samefile(named)):
            return []
        with found.open("rb") as file:
            if b"POLLER_" not in file.read(_ENV_FILE_BYTES):
                return []
    except OSError:
        return []
    return [".env in this folder is not read any more; name it with --env-file .env or POLLER_ENV_FILE=.env"]
