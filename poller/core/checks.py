"""The result of one check, by `poller doctor` or by `poller orgs check`: what was checked, how it is, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """How the thing that was checked is. Only `WRONG` makes a command fail."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "not checked"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: its name, the status, what was found, and what to do about it.

    `what` is a sentence of the doctor, or the error code of an org check; empty where there is nothing to say. `remedy`
    is empty where nothing is to do.
    """

    check: str
    status: CheckStatus
    what: str = ""
    remedy: str = ""
