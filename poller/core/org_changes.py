"""What a command did, or would do, to orgs: imported, changed, restored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

What = Literal["added", "changed", "restored"]


@dataclass(frozen=True, slots=True)
class OrgChange:
    """What an import did, or would do, with one org; `fields` are the changed columns, and `credentials`."""

    org: str
    what: What
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The number of orgs that an import added, changed, found unchanged, and restored after a removal."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    restored: int = 0


@dataclass(frozen=True, slots=True)
class Restored:
    """A removed org that was restored. `grant`: the kind of credential it had, or None."""

    name: str
    grant: str | None
