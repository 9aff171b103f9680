"""The addresses that messages are sent to. Each is a secret: encrypted, and shown by its scheme only."""

# ruff: noqa: ARG001

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.secret import Secret
    from poller.store.orgs.encryption import Keyring
    from poller.store.queries import Connection, Queries


@dataclass(frozen=True, slots=True)
class NotifyAddress:
    """One address: of a rule, or (`rule_id` None) of POLLER_NOTIFY_URLS."""

    id: int
    rule_id: int | None
    scheme: str

    @property
    def masked(self) -> str:
        """What people may see of the address."""
        return f"{self.scheme}://…"


async def set_addresses(connection: Connection, rule_id: int, urls: Sequence[Secret], keyring: Keyring) -> None:
    """Replaces the addresses of a rule; none: its messages go to POLLER_NOTIFY_URLS.

    Addresses that stay keep their waiting messages; those of removed addresses are deleted. The caller checks the
    addresses first (`notify.checks`).
    """


async def list_addresses(queries: Queries, rule_ids: Sequence[int] | None = None) -> list[NotifyAddress]:
    """The addresses of rules (None: all rules), the oldest first; not those of POLLER_NOTIFY_URLS."""
    return []
