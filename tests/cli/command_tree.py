"""Every command of `poller`, made once for all tests: that takes a seventh of a second."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import typer

from poller.cli import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@cache
def command_group() -> Any:
    """`poller` itself, as the library of the command line has it."""
    return typer.main.get_command(command_line())


@cache
def commands() -> Sequence[list[str]]:
    """The words of every command and of every group of commands; those of `poller` itself are none."""

    def walk(command: object, path: list[str]) -> Iterator[list[str]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, [*path, name])

    return list(walk(command_group(), []))
