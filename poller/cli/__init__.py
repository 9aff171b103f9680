"""The command line: its commands, its exit codes, and how it reports errors.

Exit codes: 0 done, 1 something failed and is recorded, 2 usage or settings, 130 Ctrl-C, 141 the pipe that reads the
output was closed. An error is one line on standard error with its remedy; a traceback is a bug. Heavy modules
are imported only by the commands that need them.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from poller import __version__
from poller.cli.options.arguments import env_file_first, require_text
from poller.cli.output import help_texts
from poller.cli.output.pager import paging
from poller.cli.output.standard_output import forget_output, refuse_lost_output, trouble_with_output, write_anything
from poller.core.errors import PollerError
from poller.core.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141
_BUG: Final = 1

_HELP: Final = """Every user count of every Zoho CRM org you look after, as a time series in PostgreSQL.

Example: [bold]poller demo[/bold] (without Zoho), or [bold]poller orgs import orgs.csv && poller poll[/bold]"""

COMMANDS: Final = {
    "migrate": "migrate",
    "orgs": "orgs",
    "keys": "keys",
    "access": "access",
    "audit": "audit",
    "poll": "poll",
    "run": "service",
    "web": "web",
    "status": "status",
    "doctor": "doctor",
    "settings": "settings",
    "trend": "trend",
    "gaps": "gaps",
    "seats": "seats",
    "forecast": "forecast",
    "anomalies": "anomalies",
    "alerts": "alerts",
    "report": "report",
    "plan": "plan",
    "export": "export",
    "demo": "demo",
    "simulate": "simulate",
    "backup": "backup",
    "restore": "backup",
    "psql": "psql",
}
"""The module in `poller.cli.commands` of each command, in the order of `poller --help`."""


def command_line(command: str | None = None) -> typer.Typer:
    """The command line with this command only, so that no other module is imported; with every command by default."""
    app = typer.Typer(
        name="poller",
        help=_HELP,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_poller)
    for name in dict.fromkeys(COMMANDS.values()) if command is None else [COMMANDS[command]]:
        module: Any = import_module(f"poller.cli.commands.{name}")
        module.add_to(app)
    return app


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns the exit code. Raises nothing."""
    with paging() as pages:
        try:
            code = _invoke(arguments)
            pages.end()
            # Flush now, while a write error can still be reported.
            sys.stdout.flush()
        except BaseException as error:  # noqa: BLE001 - every error becomes an exit code and at most one line
            cause = _root(error)
            with suppress(OSError):
                pages.end()
            return 0 if pages.was_left(cause) else _end(cause)
    return code


def _invoke(arguments: Sequence[str]) -> int:
    """Runs one command line; returns the exit code of a command that ends without an error."""
    command = typer.main.get_command(command_line(_command_in(arguments)))
    help_texts.install(command)
    require_text(arguments)
    write_anything()
    try:
        # Handles a request of the shell for completions, and exits.
        command._main_shell_completion({}, "poller", "_POLLER_COMPLETE")  # noqa: SLF001  # `main` would call it
        with command.make_context("poller", env_file_first(arguments)) as context:
            command.invoke(context)
        refuse_lost_output()
    except typer.Exit as end:
        return end.exit_code
    return 0


def _command_in(arguments: Sequence[str]) -> str | None:
    """The command that these arguments begin with; None where help, a completion or an error needs every command."""
    if "_POLLER_COMPLETE" in os.environ:
        return None
    rest = env_file_first(arguments)
    while rest and rest[0].startswith("--env-file"):
        rest = rest[1:] if "=" in rest[0] else rest[2:]
    return rest[0] if rest and rest[0] in COMMANDS else None


def _end(cause: BaseException) -> int:
    """Prints one line about an error, if there is something to say; returns the exit code."""
    match cause:
        case KeyboardInterrupt() | typer.Abort():
            return INTERRUPTED
        case SystemExit():
            return cause.code if isinstance(cause.code, int) else _BUG
        case BrokenPipeError():
            forget_output()
            return PIPE_CLOSED
        case PollerError():
            for line in (str(cause), *getattr(cause, "__notes__", [])):
                _complain(line)
            return cause.exit_code
        case OSError() if (trouble := trouble_with_output(cause)) is not None:
            forget_output()
            return _end(trouble)
        case _:
            return _parsing(cause)


def _parsing(cause: BaseException) -> int:
    """Reports a missing argument or an unknown option; anything else is a bug."""
    describe = getattr(cause, "format_message", None)
    if describe is None:
        return _bug(cause)
    if type(cause).__name__ == "NoArgsIsHelpError":
        print(describe())
        return 2
    context = getattr(cause, "ctx", None)
    path = context.command_path if context is not None else "poller"
    # The parser's own words for a value that is none of the choices.
    what = " ".join(describe().split()).rstrip(".").replace(": Value error, ", ": ")
    hint = "; before a name that begins with - write --" if _may_be_a_name(cause, context) else ""
    _complain(f"{what}; see `{path} --help`{hint}")
    return 2


def _may_be_a_name(cause: BaseException, context: Any) -> bool:
    """Whether the unknown option may be an argument that begins with a dash, such as the name of an org."""
    if type(cause).__name__ != "NoSuchOption" or context is None:
        return False
    return any(parameter.param_type_name == "argument" for parameter in context.command.params)


def _bug(cause: BaseException) -> int:
    import structlog

    if structlog.is_configured():
        structlog.get_logger("poller.cli").debug("cli.bug", exc_info=cause)
    from poller.log import redact_text

    what = " ".join(redact_text(f"{type(cause).__name__}: {cause}").split())
    _complain(f"unexpected {what}; this is a bug: please report it with the output of POLLER_LOG_LEVEL=debug")
    return _BUG


def _complain(line: str) -> None:
    try:
        print(f"poller: {visible(line)}", file=sys.stderr)
    except OSError:
        return


def _root(error: BaseException) -> BaseException:
    """The error to report: of a group, the first one of the poller, else the first one."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_root(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, PollerError)), leaves[0])


def _version(wanted: bool) -> None:
    if wanted:
        print(f"poller {__version__}")
        raise typer.Exit


def _poller(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
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
