"""Gives a listing that is longer than the screen to the pager of the person, such as `less`, while it is printed.

`PAGER` names the program; without it, it is `less -FRX`. There is no pager if standard output is not a terminal, if
`PAGER` is empty or `cat`, if the terminal is `dumb`, or if neither program is there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from _thread import interrupt_main
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from poller.cli.output.colours import without_colours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

_LESS: Final = "less -FRX"
_LESS_OPTIONS: Final = "FRX"
"""For `less` without options: colours are shown, and a page that fits the screen ends it."""


def pager_command() -> list[str] | None:
    """The program that shows long listings, with its arguments; None: they are printed at once."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    for text in (os.environ.get("PAGER", _LESS), _LESS):
        try:
            words = shlex.split(text)
        except ValueError:
            continue
        if not words or words == ["cat"]:
            return None
        if shutil.which(words[0]) is not None:
            return words
    return None


class PagedOutput:
    """The output of one command. After `begin`, it goes to a pager as soon as it is longer than the screen.

    A thread writes to the pager, so that a command does not keep its connection to the database while a person reads.
    """

    def __init__(self) -> None:
        self._command: list[str] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._held: list[str] = []
        self._notes: list[str] = []
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._rows = 0
        self._closed = self._ended = False

    def begin(self) -> None:
        """Everything that is written from now on is one listing."""
        self._command = self._command or pager_command()

    def write(self, text: str) -> bool:
        """Takes text of the listing; False if there is no listing, and the caller prints the text itself."""
        if self._command is None:
            return False
        if self._closed:
            raise BrokenPipeError
        if self._process is not None:
            self._lines.put(text)
            return True
        self._held.append(text)
        columns, lines = shutil.get_terminal_size()
        self._rows += sum(_rows_of(line, columns) for line in text.splitlines())
        if self._rows >= lines:
            self._start(self._command)
        return True

    def note(self, line: str) -> bool:
        """Keeps a line for standard error until the listing was shown; False if there is no listing."""
        if self._command is not None:
            self._notes.append(line)
        return self._command is not None

    def end(self) -> None:
        """Prints a listing that fits the screen, or waits until the person has left the pager; then prints notes."""
        if self._held and self._process is None:
            sys.stdout.write("".join(self._held))
            sys.stdout.flush()
        elif self._process is not None:
            # The terminal sends Ctrl-C to the pager too, which decides what it means.
            self._ended = True
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._lines.put(None)
            self._process.wait()
            signal.signal(signal.SIGINT, before)
        for line in self._notes:
            print(line, file=sys.stderr)
        self._command, self._held, self._notes = None, [], []

    def was_left(self, cause: BaseException) -> bool:
        """Whether a command ended because the person left the pager, or pressed Ctrl-C in it."""
        return self._process is not None and isinstance(cause, KeyboardInterrupt | BrokenPipeError)

    def _start(self, command: list[str]) -> None:
        environ = {"LESS": _LESS_OPTIONS, **os.environ}
        sys.stdout.flush()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - what the person chose to read with
                command,
                stdin=subprocess.PIPE,
                env=environ,
                text=True,
                encoding=sys.stdout.encoding,
                errors=sys.stdout.errors,
            )
        except OSError:
            self._command = None
            sys.stdout.write("".join(self._held))
            self._held = []
            return
        self._lines.put("".join(self._held))
        threading.Thread(target=self._feed, args=(self._process.stdin,), daemon=True).start()
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def _watch(self, process: subprocess.Popen[str]) -> None:
        """Interrupts the command, as Ctrl-C does, if the person leaves the pager before the listing ends."""
        process.wait()
        if not self._ended:
            interrupt_main()

    def _feed(self, stream: TextIO) -> None:
        """Writes lines to the pager until the listing ends, or the person has left it."""
        with suppress(OSError), stream:
            while (text := self._lines.get()) is not None:
                stream.write(text)
                if self._lines.empty():
                    stream.flush()
        self._closed = True


def _rows_of(line: str, columns: int) -> int:
    """The rows of the screen that a line fills; one that is too wide fills several."""
    from rich.cells import cell_len

    return max(-(-cell_len(without_colours(line)) // max(columns, 1)), 1)


_current: Final[ContextVar[PagedOutput | None]] = ContextVar("paged_output", default=None)


@contextmanager
def paging() -> Iterator[PagedOutput]:
    """The output of the command within the context."""
    pages = PagedOutput()
    token = _current.set(pages)
    try:
        yield pages
    finally:
        _current.reset(token)


def current() -> PagedOutput | None:
    """The output of the command that runs; None where a test calls a function of a command itself."""
    return _current.get()
