"""The audit log: who changed or saw what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class AuditAction(StrEnum):
    """What a caller did. `seen`: looked at an org, or at all it may see; noted once a day."""

    LOG_IN = "log_in"
    LOG_IN_REFUSED = "log_in_refused"
    LOG_OUT = "log_out"
    KEY_ADDED = "key_added"
    KEY_REVOKED = "key_revoked"
    SEEN = "seen"
    EXPORT = "export"
    POLL = "poll"
    PAUSE = "pause"
    RESUME = "resume"
    SET = "set"
    RENAME = "rename"
    REMOVE = "remove"
    PURGE = "purge"
    RESTORE = "restore"
    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    SNOOZE = "snooze"
    UNSNOOZE = "unsnooze"
    RULE_ADDED = "rule_added"
    RULE_CHANGED = "rule_changed"
    RULE_REMOVED = "rule_removed"
    RULE_RESTORED = "rule_restored"
    EXCLUDED = "excluded"
    INCLUDED = "included"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row. `source`: the address the request came from, or `command line`. `org_id` None: no single org."""

    id: int
    at: datetime
    key_id: int | None
    caller: str
    source: str
    action: str
    org_id: int | None
    org: str | None
    detail: Mapping[str, object] | None
