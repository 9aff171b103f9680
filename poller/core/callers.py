"""Who uses the pages and the API, and what that person or program may see and do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Right(StrEnum):
    """What a key allows: `read` shows facts, `operate` also polls, pauses and resumes orgs."""

    READ = "read"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Caller:
    """A person or program that sends requests.

    `name`: of its key, `environment` for POLLER_API_KEY, `this machine` without a key. `tags`: the caller sees only
    orgs with one of these tags; empty: every org. `source`: the address the request came from. `key_id` None: no
    stored key.
    """

    name: str
    right: Right = Right.READ
    tags: tuple[str, ...] = ()
    key_id: int | None = None
    source: str = ""

    @property
    def visible_tags(self) -> list[str] | None:
        """The tags for a query: it shows only orgs with one of them. None: it shows every org."""
        return list(self.tags) or None

    @property
    def may_operate(self) -> bool:
        """Whether the caller may poll, pause and resume orgs."""
        return self.right == Right.OPERATE


THIS_MACHINE: Final = Caller("this machine", Right.OPERATE)
"""The caller where the service is open on loopback: a user of this machine, who may also run the commands."""
ENVIRONMENT: Final = Caller("environment", Right.READ)
"""The caller that shows the key of POLLER_API_KEY."""
COMMAND_LINE: Final = Caller("command line", Right.OPERATE, source="command line")
"""The user of the command line."""
