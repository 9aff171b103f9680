"""A process that carries out `poller` commands one after the other at a terminal whose width changes in between.

`one_after_the_other.py JSON`: a list of pairs, a command line and the cells of the terminal. Behind what a command
printed comes a line of its own. Starting a process for each command would take most of the time.
"""

from __future__ import annotations

import fcntl
import json
import shlex
import struct
import sys
import termios
from typing import Final

from poller.cli import run

END: Final = "\x1e\n"


def main(pairs: list[tuple[str, int]]) -> None:
    for command, cells in pairs:
        fcntl.ioctl(sys.stdout.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 50, cells, 0, 0))
        run(shlex.split(command))
        sys.stderr.flush()
        sys.stdout.write(END)
        sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
