"""The ten user types in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.model import UserType

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE_WORDS: Final[Mapping[UserType, str]] = {
    UserType.ALL: "All",
    UserType.ACTIVE: "Active",
    UserType.DEACTIVE: "Deactivated",
    UserType.CONFIRMED: "Confirmed",
    UserType.NOT_CONFIRMED: "Not confirmed",
    UserType.DELETED: "Deleted",
    UserType.ACTIVE_CONFIRMED: "Active confirmed",
    UserType.ADMIN: "Admin",
    UserType.ACTIVE_CONFIRMED_ADMIN: "Active confirmed admin",
    UserType.CURRENT: "Current",
}
"""Each type, before the word "users"."""
