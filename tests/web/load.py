"""A process that reads one reply at a steady rate: `load.py HOST PORT PATH KEY BYTES_A_SECOND`."""

from __future__ import annotations

import socket
import sys
import time


def main(host: str, port: str, path: str, key: str, bytes_a_second: str) -> None:
    with socket.create_connection((host, int(port))) as connection:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode())
        taken, began, first = 0, time.monotonic(), b""
        while data := connection.recv(65_536):
            first = first or data[:12]
            taken += len(data)
            time.sleep(max(began + taken / float(bytes_a_second) - time.monotonic(), 0))
    sys.stdout.write(f"{first.decode()} {taken}\n")


main(*sys.argv[1:])
