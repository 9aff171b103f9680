"""A process that delivers messages until SIGTERM, with short pauses: `python -m tests.notify.deliver`."""

from __future__ import annotations

import asyncio
import os
import signal

from poller import log
from poller.store.database import connect
from poller.store.orgs.encryption import Keyring
from tests.notify.alerts import deliverer


async def main() -> None:
    log.configure(log_format="json", level="debug")
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    keyring = Keyring.from_setting(os.environ["POLLER_SECRET_KEYS"])
    async with await connect(os.environ["POLLER_DATABASE_URL"], max_size=2) as database:
        await deliverer(database, keyring).run(stopping)


if __name__ == "__main__":
    asyncio.run(main())
