"""Real terminals of any size: what a program shows on one."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


def shown(
    program: Sequence[str],
    *,
    cells: int = 80,
    lines: int = 50,
    stop_at: bytes = b"\0",
    on_output: Callable[[int, bytes], None] = lambda _terminal, _text: None,
    environ: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
) -> str:
    """The output of a program on a terminal of this size; the program is stopped after it wrote `stop_at`.

    `on_output` gets the terminal, to type at it, and everything that was shown until now. No pager runs, unless
    `environ` names one.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, cells, 0, 0))
    given = {name: text for name, text in environ.items() if name not in {"COLUMNS", "LINES"}}
    given = {"PAGER": "cat", "TERM": "xterm"} | given
    with subprocess.Popen(
        program, stdin=theirs, stdout=theirs, stderr=theirs, env=given, cwd=cwd, start_new_session=True
    ) as process:
        os.close(theirs)
        read = b""
        while True:
            try:
                block = os.read(ours, 65_536)
            except OSError:
                break
            if not block:
                break
            read += block
            on_output(ours, read)
            if stop_at in read:
                process.terminate()
                stop_at = b"\0"
    os.close(ours)
    return read.decode().replace("\r\n", "\n")
