"""The environment of a `poller run` that a benchmark starts as a process of its own."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

from poller.store.orgs.encryption import KEY_BYTES

if TYPE_CHECKING:
    from poller.app import App


def service_environment(app: App, data_centers: object, interval_seconds: int) -> dict[str, str]:
    """The settings of a service over the database and key of a lab: every credit may be spent, any port is taken."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "POLLER_DATABASE_URL": f"postgresql://poller@/poller?host={app.settings.data_dir / 'postgresql'}",
        "POLLER_SECRET_KEYS": f"bench:{base64.b64encode(bytes(KEY_BYTES)).decode()}",
        "POLLER_DATA_CENTERS": json.dumps(data_centers),
        "POLLER_POLL_INTERVAL": str(interval_seconds),
        "POLLER_CREDIT_SHARE": "1",
        "POLLER_WEB_PORT": "0",
    }
