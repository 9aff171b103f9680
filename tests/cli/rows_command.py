"""`poller rows`, a command of the tests: lists numbers, and waits for Enter before the last ones.

`rows_command.py ROWS BEFORE`: how many rows, and after how many it waits. The exit code is printed at the end.
"""

from __future__ import annotations

import asyncio
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from poller import cli
from poller.cli.output import terminal
from poller.cli.output.table import Table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import typer


class RowsCommand(ModuleType):
    """A module of a command, such as those in `poller.cli.commands`."""

    @staticmethod
    def add_to(app: typer.Typer) -> None:
        app.command("rows")(rows)


def rows(number: int, before: int) -> None:
    terminal.begin_listing()
    terminal.run(terminal.show_stream(Table(("number", "state"), verdicts=("state",)), numbers(number, before)))


async def numbers(number: int, before: int) -> AsyncIterator[Sequence[str]]:
    loop, typed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, typed.set)
    for row in range(number):
        if row == before:
            await typed.wait()
        yield str(row), "ok"
    loop.remove_reader(sys.stdin)


if __name__ == "__main__":
    # Opening the terminal makes it the one that sends Ctrl-C to this process.
    os.open(os.ttyname(0), os.O_RDWR)
    sys.modules["poller.cli.commands.rows"] = RowsCommand("rows")
    cli.COMMANDS["rows"] = "rows"
    code = cli.run(["rows", *sys.argv[1:]])
    sys.stdout.write(f"exit code {code}\n")
