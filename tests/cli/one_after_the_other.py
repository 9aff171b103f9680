"""A process that carries out `poller` commands one after the other at a terminal whose width changes in between.

`one_after_the_other.py JSON`: a list of runs, each a command line, the cells of the terminal, and environment variables
(null: unset). Behind what a command printed comes a line of its own. Starting a process for each command would take
most of the time.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import struct
import sys
import termios
from typing import TYPE_CHECKING, Final

from poller.cli import run

if TYPE_CHECKING:
    from collections.abc import Mapping

END: Final = "\x1e\n"


def main(runs: list[tuple[str, int, Mapping[str, str | None]]]) -> None:
    for command, cells, environ in runs:
        for name, value in environ.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        fcntl.ioctl(sys.stdout.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 50, cells, 0, 0))
        run(shlex.split(command))
        sys.stderr.flush()
        sys.stdout.write(END)
        sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
