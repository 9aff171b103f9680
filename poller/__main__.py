"""The door: `poller` and `python -m poller`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    sys.exit("poller: no commands yet")


if __name__ == "__main__":
    main()
