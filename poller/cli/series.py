"""Files of anybody's series on the command line."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from poller.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO


@contextlib.contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The file's text; a `UsageError` where it cannot be read."""
    try:
        if str(path) == "-":
            sys.stdin.reconfigure(encoding="utf-8-sig", newline="")  # type: ignore[union-attr]
            yield sys.stdin
        else:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                yield lines
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8", "save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name a CSV file") from None
