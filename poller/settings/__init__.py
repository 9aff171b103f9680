"""The settings: `POLLER_*` variables of the environment or of a settings file, read once and passed on as values.

sources = read_sources(env_file)    what is written, and where
settings = check(sources)           the values, or every error at once
settings = load(env_file)           both
"""

from poller.settings.load import check, load, unknown
from poller.settings.model import KEY_FILE, LogFormat, LogLevel, Settings
from poller.settings.names import NAMES, REMEDIES, SECRETS, VARIABLES
from poller.settings.sources import Sources, read_sources, unread_env_file

__all__ = [
    "KEY_FILE",
    "NAMES",
    "REMEDIES",
    "SECRETS",
    "VARIABLES",
    "LogFormat",
    "LogLevel",
    "Settings",
    "Sources",
    "check",
    "load",
    "read_sources",
    "unknown",
    "unread_env_file",
]
