"""What every command needs: settings, logging, the event loop, and writing to the terminal or a pipe."""

from __future__ import annotations

import asyncio
import gc
import shutil
import signal
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from poller.cli.output import colours, pager, signals
from poller.cli.output.wrapping import wrap
from poller.core.errors import UsageError
from poller.core.visible import visible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from rich.progress import Progress

    from poller.cli.output.table import Table
    from poller.settings import Settings, Sources

T = TypeVar("T")

env_file: Final[ContextVar[Path | None]] = ContextVar("env_file", default=None)
"""The settings file that `--env-file` names."""

TERMINATED: Final = 143
_NOTE_HANG: Final = 2
_YOUNG_OBJECTS: Final = 5_000
"""Threshold of the youngest generation of the garbage collector. With Python's default of 700, the collector ran 77
times in 10,000 requests, took a thirtieth of the time of the polls, and freed nothing."""


def settings(*, serving: bool = False, database: bool = True) -> Settings:
    """The settings, with the log set up by them; see `settings_and_sources`."""
    return settings_and_sources(serving=serving, database=database)[0]


def settings_and_sources(*, serving: bool = False, database: bool = True) -> tuple[Settings, Sources]:
    """The settings and where they are written; sets up the log, and warns of every variable that is not a setting.

    A service logs by POLLER_LOG_LEVEL, and its first event names the database. Other commands log only errors unless
    POLLER_LOG_LEVEL is set, because their output says the rest.
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
        err(f"poller: warning: {warning}")
    return loaded, sources


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` on uvloop, if installed. Ctrl-C and SIGTERM cancel `main`, so that it can clean up."""

    async def supervised() -> T:
        stop.of_this_task()
        return await main

    with signals.received() as stop, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(supervised())
        except asyncio.CancelledError:
            if signal.SIGINT in stop.cancelled:
                raise KeyboardInterrupt from None
            raise SystemExit(TERMINATED if stop.cancelled else 1) from None


def tune_gc() -> None:
    """Keeps the garbage collector away from objects that exist now; else it stops the loop for 60 ms at a time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Within `run`: an event that the first Ctrl-C or SIGTERM sets, for commands that run until then.

    The second signal cancels, and the exit code is 1.
    """
    stopped = asyncio.Event()
    with signals.current().set_first(stopped):
        yield stopped


def out(line: str) -> None:
    """Writes a line of the result to standard output, and flushes it.

    On a terminal, control characters are shown as escapes: names may come from other programs. A pipe gets the line
    unchanged.
    """
    write(line)
    sys.stdout.flush()


def write(line: str, end: str = "\n") -> None:
    """Writes one of many lines like `out`, but without a flush."""
    _put(_shown(line) + end)


def out_wrapped(line: str, hang: int, verdict: str = "") -> None:
    """Writes a line of sentences, wrapped to the terminal; further lines are indented by `hang` cells.

    `verdict`: a word of the line that is coloured.
    """
    first, *others = map(_shown, wrap(line, hang, width()))
    is_coloured = verdict and colours.shows_colours(sys.stdout)
    _put("".join(f"{part}\n" for part in (colours.with_coloured(first, verdict) if is_coloured else first, *others)))
    sys.stdout.flush()


def has_pager() -> bool:
    """Whether a listing that is longer than the screen is shown by a pager."""
    return pager.pager_command() is not None


def say(sentence: str) -> None:
    """Writes a sentence of the result, wrapped to the terminal."""
    out_wrapped(sentence, _NOTE_HANG)


def begin_listing() -> None:
    """Says that what follows is a list: if it is longer than the screen, it goes to a pager."""
    if (pages := pager.current()) is not None:
        pages.begin()


def _shown(text: str) -> str:
    return visible(text) if sys.stdout.isatty() else text


def _put(text: str) -> None:
    pages = pager.current()
    if pages is None or not pages.write(text):
        sys.stdout.write(text)


def err(line: str) -> None:
    """Writes a line for a person to standard error, apart from the result; after a listing, if one has started."""
    pages = pager.current()
    cells = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    for part in wrap(visible(line), _NOTE_HANG, cells):
        if pages is None or not pages.note(part):
            print(part, file=sys.stderr)


def check_bom(*, wanted: bool, csv: bool) -> None:
    """Raises `UsageError` for a byte order mark before anything but CSV."""
    if wanted and not csv:
        raise UsageError("--bom is for CSV", "give --format csv too")


def show(table: Table) -> None:
    """Writes a table to standard output, cut to the width of a terminal; a pipe gets everything."""
    table.colours = colours.shows_colours(sys.stdout)
    table.rows = [[_shown(cell) for cell in row] for row in table.rows]
    for line in table.lines(width()):
        _put(f"{line}\n")
    sys.stdout.flush()


async def show_stream(table: Table, rows: AsyncIterator[Sequence[str]]) -> bool:
    """Writes a table of any length while its rows are read; without any row, writes nothing and returns False."""
    table.colours, some = colours.shows_colours(sys.stdout), False
    shown = ([_shown(cell) for cell in row] async for row in rows)
    async for line in table.stream(shown, width()):
        _put(f"{line}\n")
        some = True
    sys.stdout.flush()
    return some


def width() -> int | None:
    """The width of the terminal in cells; None where standard output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def progress() -> Progress:
    """A progress bar on standard error; nothing where that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # Output to a pipe must not go through the bar.
        redirect_stdout=sys.stdout.isatty(),
        disable=not sys.stderr.isatty(),
    )


def counting(progress: Progress, things: str) -> Callable[[int, int], None]:
    """A line of the progress bar, and what moves it: called with how many things are done, and how many there are."""
    task = progress.add_task(things, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
