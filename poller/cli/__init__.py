"""The command line: what may be typed, and how every end of it looks to a person and to a script.

Exit codes: 0 done, 1 something failed and is recorded, 2 usage or settings, 130 Ctrl-C, 141 the reader of our output
went away. An error is one line on standard error with its remedy; a traceback is a bug. Nothing heavy is imported
before a command needs it.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from importlib import import_module
from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from poller import __version__
from poller.cli.options.arguments import env_file_first, require_text
from poller.cli.output import help_texts
from poller.core.errors import OperationError, PollerError, UsageError
from poller.core.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141
_BUG: Final = 1
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_STAND_INS: Final = dict(zip("·▁▂▃▄▅▆▇█…±━╺╸", ".12345678~ ---", strict=True))

app = typer.Typer(
    name="poller",
    help="""Every user count of every Zoho CRM org you look after, as a time series in PostgreSQL.

    Example: [bold]poller demo[/bold] shows it all without Zoho; [bold]poller orgs import orgs.csv && poller poll[/bold]
    is the real thing.""",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; the exit code. Nothing is raised."""
    command = typer.main.get_command(app)
    help_texts.install(command)
    try:
        require_text(arguments)
        _write_anything()
        try:
            # Answers the shell that asks for completions, and ends there.
            command._main_shell_completion({}, "poller", "_POLLER_COMPLETE")  # noqa: SLF001  # `main` would call it
            with command.make_context("poller", env_file_first(arguments)) as context:
                command.invoke(context)
            _refuse_lost_output()
            code = 0
        except typer.Exit as end:
            code = end.exit_code
        # Now, while an error of it can still be told.
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the last stop: everything becomes a code, and a line at most
        return _end(_root(error))
    return code


def _end(cause: BaseException) -> int:
    """Say in a line what happened, if there is anything to say; the exit code that goes with it."""
    match cause:
        case KeyboardInterrupt() | typer.Abort():
            return INTERRUPTED
        case SystemExit():
            return cause.code if isinstance(cause.code, int) else _BUG
        case BrokenPipeError():
            _forget_output()
            return PIPE_CLOSED
        case PollerError():
            for line in (str(cause), *getattr(cause, "__notes__", [])):
                _complain(line)
            return cause.exit_code
        case OSError() if (trouble := _with_output(cause)) is not None:
            _forget_output()
            return _end(trouble)
        case _:
            return _parsing(cause)


def _parsing(cause: BaseException) -> int:
    """A missing argument or an unknown option; what is none of these is a bug."""
    describe = getattr(cause, "format_message", None)
    if describe is None:
        return _bug(cause)
    if type(cause).__name__ == "NoArgsIsHelpError":
        print(describe())
        return 2
    context = getattr(cause, "ctx", None)
    path = context.command_path if context is not None else "poller"
    what = " ".join(describe().split()).rstrip(".")
    hint = "; before a name that begins with - write --" if _may_be_a_name(cause, context) else ""
    _complain(f"{what}; see `{path} --help`{hint}")
    return 2


def _may_be_a_name(cause: BaseException, context: Any) -> bool:
    """Whether an unknown option may be meant as an argument, such as the name of an org."""
    if type(cause).__name__ != "NoSuchOption" or context is None:
        return False
    return any(parameter.param_type_name == "argument" for parameter in context.command.params)


def _bug(cause: BaseException) -> int:
    import structlog

    if structlog.is_configured():
        structlog.get_logger("poller.cli").debug("cli.bug", exc_info=cause)
    from poller.log import redact_text

    what = " ".join(redact_text(f"{type(cause).__name__}: {cause}").split())
    _complain(f"unexpected {what}; this is a bug: please report it with what POLLER_LOG_LEVEL=debug tells")
    return _BUG


def _write_anything() -> None:
    """An org may have a name that an old terminal has no letters for: better a `?` than an error.

    What the poller itself draws with has a stand-in of the same width, or all of a sparkline would be question marks.
    """

    def stand_in(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        missing = error.object[error.start : error.end]
        return "".join(_STAND_INS.get(letter, "?") for letter in missing), error.end

    codecs.register_error("poller.stand_in", stand_in)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="poller.stand_in")


def _with_output(cause: OSError) -> PollerError | None:
    """What is wrong with where the output goes, if that is what failed."""
    if cause.errno in _FULL:
        return OperationError(cause.strerror or "no room", "make room, and run it again")
    if cause.errno != errno.EBADF:
        return None
    try:
        os.write(1, b"")
    except OSError:
        return UsageError("standard output cannot be written to", "open it for writing, and run it again")
    return None


def _refuse_lost_output() -> None:
    """Where standard output is closed, an answer that nobody gets is a failure; what was to be done is done."""
    if getattr(sys.stdout, "lost", False):
        raise OperationError("standard output is closed, and the answer is lost", "run it again with it open")


def _forget_output() -> None:
    """What is still in the buffer would be complained of at the interpreter's end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _complain(line: str) -> None:
    try:
        print(f"poller: {visible(line)}", file=sys.stderr)
    except OSError:
        return


def _root(error: BaseException) -> BaseException:
    """What a person should hear of: the first of a group, and of those the poller's own before any other."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_root(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, PollerError)), leaves[0])


def _version(wanted: bool) -> None:
    if wanted:
        print(f"poller {__version__}")
        raise typer.Exit


@app.callback()
def _poller(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
    env_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file",
            metavar="FILE",
            help="Read settings from this file too; the environment wins. Also POLLER_ENV_FILE.",
        ),
    ] = None,
) -> None:
    from poller.cli.output import terminal

    terminal.env_file.set(env_file)


def _add_commands() -> None:
    """Every command, in the order of `poller --help`."""
    for name in (
        "migrate",
        "orgs",
        "keys",
        "poll",
        "service",
        "web",
        "status",
        "doctor",
        "settings",
        "trend",
        "gaps",
        "seats",
        "forecast",
        "anomalies",
        "export",
        "demo",
        "simulate",
        "backup",
        "psql",
    ):
        module: Any = import_module(f"poller.cli.commands.{name}")
        module.add_to(app)


_add_commands()
