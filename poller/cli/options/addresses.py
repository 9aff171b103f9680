"""Addresses that messages go to, as options. They are secrets: better from standard input or a file than arguments."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from poller.cli.output import terminal
from poller.core.errors import UsageError
from poller.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_STDIN: Final = "-"


def given_addresses(values: Sequence[str] | None, file: Path | None, option: str) -> tuple[Secret, ...]:
    """The addresses that are given; `-` reads them from standard input, a line each. Warns of those in arguments."""
    texts = [value for value in values or () if value != _STDIN]
    if texts:
        remedy = "give - and pipe it in, or a file"
        terminal.err(f"poller: warning: other users of this machine can read an address in {option}; {remedy}")
    if _STDIN in (values or ()):
        texts += _from_stdin(option)
    if file is not None:
        try:
            texts += _lines(file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise UsageError(f"{file} cannot be read: {why}", "name a file with an address on each line") from None
    return tuple(Secret(text) for text in dict.fromkeys(texts))


def masked(url: Secret) -> str:
    """What people may see of an address: its scheme."""
    scheme, found, _ = url.reveal().partition("://")
    return f"{scheme}://…" if found and scheme.replace("+", "").isalnum() and len(scheme) <= 30 else "…"


def _from_stdin(option: str) -> list[str]:
    if sys.stdin.isatty():
        import typer

        return _lines(typer.prompt("Address", hide_input=True, err=True))
    found = _lines(sys.stdin.read())
    if not found:
        raise UsageError(f"{option} -: standard input holds no address", "pipe one address per line")
    return found


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
