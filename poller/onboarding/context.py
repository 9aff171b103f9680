"""What checks of orgs and exchanges of grant codes work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poller.settings import Settings
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring
    from poller.zoho.access import Zoho


@dataclass(frozen=True, slots=True)
class OnboardingContext:
    """The database with the orgs, the keys of their credentials, the settings, and the way to Zoho."""

    database: Database
    keyring: Keyring
    settings: Settings
    zoho: Zoho
