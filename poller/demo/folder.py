"""The folder of the demo: whose fleet its database has, and a lock against a second demo."""

from __future__ import annotations

import fcntl
import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from poller import embedded
from poller.core.errors import UsageError
from poller.embedded.exchange import unused
from poller.settings import KEY_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from poller.demo.options import DemoOptions

FOLDER: Final = "demo"
"""The folder in `DATA_DIR` with the demo's database and key; the next demo uses it again."""
MADE_OF: Final = "demo.json"
"""The file in the demo's folder that says for which fleet its database was made."""


def is_of_another_fleet(folder: Path, options: DemoOptions) -> bool:
    """True if the demo's database has another fleet than `options`, or fewer days."""
    if not embedded.is_made(folder):
        return False
    try:
        made = json.loads((folder / MADE_OF).read_text(encoding="utf-8"))
        return bool(made != {**options.history, "days": max(made["days"], options.days)})
    except (OSError, ValueError, TypeError, KeyError):
        return True


def forget_another_fleet(folder: Path, options: DemoOptions) -> None:
    """Removes the demo's database if it has another fleet, and records the options of the next one."""
    made_of = folder / MADE_OF
    if is_of_another_fleet(folder, options):
        with unused(folder):
            made_of.unlink(missing_ok=True)
            shutil.rmtree(folder / "postgresql")
            (folder / KEY_FILE).unlink(missing_ok=True)
    if not made_of.exists():
        made_of.write_text(json.dumps(options.history), encoding="utf-8")


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds the folder for one demo; a `UsageError` if another demo runs in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another demo is running in {folder}", "end it, or set POLLER_DATA_DIR to another folder"
            ) from None
        yield
