"""A process that uses the embedded server until its standard input ends: python user.py DATA_DIR [BINARIES]

It prints one line once the server is ready: `ready VERSION`, or `refused` and the error.
"""

from __future__ import annotations

import sys
from pathlib import Path

from poller.core.errors import EmbeddedError
from poller.embedded import start


def main() -> None:
    data_dir, *binaries = map(Path, sys.argv[1:])
    try:
        server = start(data_dir, binaries=binaries[0] if binaries else None, settings={"fsync": "off"})
    except EmbeddedError as refusal:
        sys.stdout.write(f"refused {refusal}\n")
        return
    with server:
        sys.stdout.write(f"ready {server.version}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
