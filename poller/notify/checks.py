"""Checks addresses of receivers when they are set, before anything is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.secret import Secret


async def check_addresses(urls: Sequence[Secret], place: str) -> None:
    """Raises `SettingsError` (exit 2) for the first address that cannot be used, without showing it.

    `place` is where the addresses were written, such as POLLER_NOTIFY_URLS or --url.
    """
