"""The way in: the socket inside the cluster's folder, under a name short enough for a socket address.

It speaks just enough of PostgreSQL's protocol to tell whether somebody is at home.
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

_LONGEST_SOCKET_PATH: Final = 103 if sys.platform == "darwin" else 107  # sun_path of sys/un.h, less its last NUL
_OPENED: Final = Path("/proc/self/fd")
_ANSWER_SECONDS: Final = 5.0

_PARAMETERS: Final = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
_HELLO: Final = (len(_PARAMETERS) + 8).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + _PARAMETERS  # protocol 3.0
_GOODBYE: Final = b"X\0\0\0\4"
_WELCOME: Final = b"R"
_NOT_NOW: Final = b"C57P03\0"  # cannot_connect_now: starting up, recovering or shutting down


class ServerSocket:
    """Where the server of a cluster is reached by this process: `folder` is what drivers call the host."""

    def __init__(self, cluster: Path) -> None:
        self.is_short = len(os.fsencode(cluster / SOCKET)) <= _LONGEST_SOCKET_PATH
        self.folder = str(cluster)
        self._fd = -1
        if not self.is_short:
            if not _OPENED.exists():
                raise EmbeddedError(f"{cluster} is too long a path for a socket", "choose a shorter POLLER_DATA_DIR")
            self._fd = os.open(cluster, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.folder = str(_OPENED / str(self._fd))

    def answers(self) -> bool:
        """Whether a server is up behind it, and not still starting or already ending."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_ANSWER_SECONDS)
            try:
                link.connect(f"{self.folder}/{SOCKET}")
                link.sendall(_HELLO)
                reply = link.recv(1024)
                if reply.startswith(_WELCOME):
                    link.sendall(_GOODBYE)
            except OSError:
                return False
        return bool(reply) and _NOT_NOW not in reply  # too many connections, say: it is up

    def close(self) -> None:
        """Let go of the folder."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
