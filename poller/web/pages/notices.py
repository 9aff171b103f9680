"""What operations came to, each kept until the page after it shows it once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

_MOST_NOTICES: Final = 500


@dataclass(frozen=True, slots=True)
class Notice:
    """What an operation came to. `undo`: the address whose form undoes it; empty: it cannot be undone here."""

    text: str
    remedy: str = ""
    is_refusal: bool = False
    undo: str = ""


class Notices:
    """The notices of one process that no page has shown yet."""

    def __init__(self) -> None:
        self._kept: dict[str, Notice] = {}

    def keep(self, notice: Notice) -> str:
        """Keeps a notice; returns its name for the address, which cannot be guessed."""
        if len(self._kept) >= _MOST_NOTICES:
            del self._kept[next(iter(self._kept))]
        name = secrets.token_urlsafe(9)
        self._kept[name] = notice
        return name

    def take(self, name: str) -> Notice | None:
        """Returns the notice of that name once; None if it was shown, or if there is none."""
        return self._kept.pop(name, None)
