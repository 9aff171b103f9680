"""The Unix socket of the server, in the cluster's folder, under a path that is short enough for a socket address.

Sends a startup packet to see whether the server accepts connections.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Final

from poller.core.errors import EmbeddedError
from poller.embedded.cluster import DATABASE, USER
from poller.embedded.supervisor import SOCKET

_MAX_SOCKET_PATH: Final = 103 if sys.platform == "darwin" else 107  # sun_path of sys/un.h without its last NUL
_OPEN_FILES: Final = Path("/proc/self/fd")
_REPLY_SECONDS: Final = 5.0

_PARAMETERS: Final = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
_STARTUP: Final = (len(_PARAMETERS) + 8).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + _PARAMETERS  # protocol 3.0
_TERMINATE: Final = b"X\0\0\0\4"
_AUTHENTICATION: Final = b"R"
_CANNOT_CONNECT_NOW: Final = b"C57P03\0"  # starting up, recovering or shutting down


class ServerSocket:
    """The address of a cluster's server for this process: `folder` is what drivers call the host."""

    def __init__(self, cluster: Path) -> None:
        self.is_short = len(os.fsencode(cluster / SOCKET)) <= _MAX_SOCKET_PATH
        self.folder = str(cluster)
        self._fd = -1
        if not self.is_short:
            if not _OPEN_FILES.exists():
                raise EmbeddedError(f"{cluster} is too long a path for a socket", "choose a shorter POLLER_DATA_DIR")
            self._fd = os.open(cluster, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.folder = str(_OPEN_FILES / str(self._fd))

    def accepts_connections(self) -> bool:
        """True if the server is up: neither starting nor shutting down."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_REPLY_SECONDS)
            try:
                connection.connect(f"{self.folder}/{SOCKET}")
                connection.sendall(_STARTUP)
                reply = connection.recv(1024)
                if reply.startswith(_AUTHENTICATION):
                    connection.sendall(_TERMINATE)
            except OSError:
                return False
        # Any other error, such as too many connections, shows that the server is up.
        return bool(reply) and _CANNOT_CONNECT_NOW not in reply

    def close(self) -> None:
        """Close the descriptor of the folder."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
