"""Checks addresses of receivers when they are set, before anything is stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from poller.core.errors import SettingsError
from poller.notify import apprise_sender, webhook
from poller.notify.schemes import OWN
from poller.store.queue.addresses import scheme_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.secret import Secret


async def check_addresses(urls: Sequence[Secret], place: str) -> None:
    """Raises `SettingsError` (exit 2) for the first address that cannot be used, without showing it.

    `place` is where the addresses were written, such as POLLER_NOTIFY_URLS or --url.
    """
    for number, url in enumerate(urls, start=1):
        try:
            if scheme_of(url) in OWN:
                webhook.check(url)
            else:
                # The first use imports Apprise, which takes a second.
                await asyncio.to_thread(apprise_sender.check, url)
        except SettingsError as error:
            which = f"{place}, address {number}" if len(urls) > 1 else place
            raise SettingsError(f"{which}: {error.what}", error.remedy) from None
