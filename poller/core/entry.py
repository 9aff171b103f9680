"""An org as an operator writes it down: a row of an import file, or the answers of `poller orgs add`.

Checked by whoever reads it (`poller.orgfile`); it refuses to know how it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poller.core.secret import Secret


@dataclass(frozen=True, slots=True)
class OrgEntry:
    """One org to add or change, by name. Exactly one of `refresh_token`, `grant_code` and `soid` is there.

    None in an optional field: not said; what Zoho tells later may fill it.
    """

    name: str
    data_center: str
    client_id: str
    client_secret: Secret
    refresh_token: Secret | None = None
    grant_code: Secret | None = None
    soid: str | None = None
    zgid: str | None = None
    edition: str | None = None
    licences: int | None = None
    poll_interval_seconds: int | None = None
    api_version: str | None = None
    tags: tuple[str, ...] = ()
