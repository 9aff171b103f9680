"""The door: `poller` and `python -m poller`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; whatever happens, a person gets at most a line, and a script the right exit code."""
    # Within the function: a Ctrl-C while modules are being loaded is as quiet as any other.
    try:
        from poller.cli import run  # noqa: PLC0415

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
