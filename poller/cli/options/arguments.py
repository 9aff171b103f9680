"""Checks and reorders the arguments of a command line before they are parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def require_text(arguments: Sequence[str]) -> None:
    """Raises `UsageError` for an argument that is not text in the terminal's encoding."""
    if any("\udc80" <= character <= "\udcff" for argument in arguments for character in argument):
        raise UsageError("an argument is not UTF-8", "type it in the terminal's own encoding")


def env_file_first(arguments: Sequence[str]) -> list[str]:
    """Moves `--env-file FILE` to the front: the option may follow any command."""
    first: list[str] = []
    rest = list(arguments)
    end = rest.index("--") if "--" in rest else len(rest)
    for place in range(end - 1, -1, -1):
        if rest[place] == "--env-file" and place + 1 < len(rest):
            first[:0] = rest[place : place + 2]
            del rest[place : place + 2]
        elif rest[place].startswith("--env-file="):
            first.insert(0, rest.pop(place))
    return first + rest
