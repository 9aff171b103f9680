"""What every command needs of the process it runs in: settings, logging, an event loop, a terminal to write to.

It refuses to know any command.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import signal
import sys
import textwrap
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from poller.core.errors import UsageError
from poller.core.visible import visible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
    from pathlib import Path

    from rich.progress import Progress

    from poller.cli.output.table import Table
    from poller.settings import Settings, Sources

T = TypeVar("T")

env_file: Final[ContextVar[Path | None]] = ContextVar("env_file", default=None)
"""The file of settings that `--env-file` names."""

TERMINATED: Final = 143
_SMALL_INDENT: Final = 4
_YOUNG_OBJECTS: Final = 5_000
"""Python's 700 are fewer than the requests in flight are made of: it searched them 77 times in 10,000 requests, for a
thirtieth of a poll's time, and found nothing."""


def settings(*, serving: bool = False, database: bool = True) -> Settings:
    """The settings, with the log set up by them; see `settings_and_sources`."""
    return settings_and_sources(serving=serving, database=database)[0]


def settings_and_sources(*, serving: bool = False, database: bool = True) -> tuple[Settings, Sources]:
    """The settings and where they are written; sets up the log, and warns of every variable that is not a setting.

    A command that serves logs by POLLER_LOG_LEVEL, and its first event names the database. One that answers logs
    errors alone unless POLLER_LOG_LEVEL is set, to a terminal and to a pipe: its answer says the rest.
    """
    from poller import log
    from poller.settings import check, read_sources, unknown, unread_env_file
    from poller.settings.report import database_in_use

    sources = read_sources(env_file.get())
    warnings = unknown(sources, database=database)
    loaded = check(sources)
    quiet = not serving and "log_level" not in loaded.model_fields_set
    log.configure(log_format=loaded.log_format, level="error" if quiet else loaded.log_level)
    if serving:
        import structlog

        structlog.get_logger("poller.cli").info("database.used", database=database_in_use(loaded))
    for warning in (*warnings, *unread_env_file(sources.env_file)):
        say(f"poller: warning: {warning}")
    return loaded, sources


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on the fastest loop there is; Ctrl-C and SIGTERM cancel it, so that it can clean up."""
    terminated = False

    async def supervised() -> T:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await main

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(supervised())
        except asyncio.CancelledError:
            raise SystemExit(TERMINATED if terminated else 1) from None


def tune_gc() -> None:
    """What is loaded by now stays: let the garbage collector pass it over, or no reply is read for 60 ms at a time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Set at the first Ctrl-C or SIGTERM, for what is meant to be ended that way; the second one cancels at once."""
    stopped = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if stopped.is_set() and task is not None:
            task.cancel()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def tell(line: str) -> None:
    """A line of the result, on standard output; at once, for those who read along.

    A terminal gets it without control characters: names may have been written into the database by other programs. A
    pipe gets it as it is.
    """
    write(line)
    sys.stdout.flush()


def write(line: str, end: str = "\n") -> None:
    """A line of many, as `tell` writes it; it may stay in the buffer."""
    sys.stdout.write((visible(line) if sys.stdout.isatty() else line) + end)


def tell_folded(line: str, hang: int) -> None:
    """The same for a line with sentences in it: folded at blanks where the terminal is narrower, `hang` cells in."""
    for part in wrap(line, hang, width()):
        tell(part)


def wrap(line: str, hang: int, cells: int | None) -> list[str]:
    """A line in parts of at most `cells`, all but the first indented by `hang`; whole where there is no limit.

    Where `hang` would take half of the line, the parts are indented by a little.
    """
    if cells is None or not line.strip():
        return [line]
    from rich.cells import cell_len

    indent = " " * (hang if cells >= 2 * hang else min(_SMALL_INDENT, hang))
    if cell_len(line) == len(line):
        return textwrap.wrap(line, cells, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return _folded_by_cells(line, indent, cells)


def _folded_by_cells(line: str, indent: str, cells: int) -> list[str]:
    """The same for a line with characters that take two cells, or none."""
    from rich.cells import cell_len

    lead = line[: len(line) - len(line.lstrip())]
    parts, current = [], lead
    for word in line.split():
        blank = "" if not current.strip() else " "
        if current.strip() and cell_len(current) + cell_len(blank + word) > cells:
            parts.append(current)
            current, blank = indent, ""
        current += blank + word
    return [*parts, current]


def say(line: str) -> None:
    """A line for the person, beside the result: on standard error."""
    print(visible(line), file=sys.stderr)


def check_bom(*, wanted: bool, csv: bool) -> None:
    """Refuse a byte order mark before anything but CSV."""
    if wanted and not csv:
        raise UsageError("--bom is for CSV", "give --format csv too")


def show(table: Table) -> None:
    """A table on standard output, cut to the terminal; to a pipe it goes whole."""
    for line in table.lines(width()):
        tell(line)


async def show_stream(table: Table, rows: AsyncIterator[Sequence[str]]) -> None:
    """The same of a table of any length, while its rows are read."""
    async for line in table.stream(rows, width()):
        write(line)
    sys.stdout.flush()


def width() -> int | None:
    """Cells in a line of the terminal; None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def progress() -> Progress:
    """A progress bar on standard error; nothing at all where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # What goes to a pipe must not be drawn above the bar.
        redirect_stdout=sys.stdout.isatty(),
        disable=not sys.stderr.isatty(),
    )


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
