"""Messages to systemd (`Type=notify`, `WatchdogSec=`) if it asks for them; elsewhere nothing happens.

The protocol is one datagram per message to the socket in NOTIFY_SOCKET: see sd_notify(3). Errors are ignored.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Sends a message; returns whether it was sent."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        # A name with @ is an abstract socket, whose name begins with a zero byte.
        datagrams.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        datagrams.send(state.encode())
        return True
    return False


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """How often systemd expects ALIVE; None if it does not. WATCHDOG_PID may name another process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1_000_000 if microseconds.isdecimal() and int(microseconds) else None
