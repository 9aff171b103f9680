"""The entry point of `poller` and `python -m poller`."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Runs the command line and exits with its code. An error is one line on standard error, never a traceback."""
    # Import inside the function, so that Ctrl-C is handled while modules are being loaded.
    try:
        _open_standard_streams()
        from poller.cli import run  # noqa: PLC0415

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _open_standard_streams() -> None:
    """Opens closed standard streams: otherwise the next opened file would get their descriptor, and the output."""
    for number, mode in ((0, "r"), (1, "w"), (2, "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if (sys.stdin, sys.stdout, sys.stderr)[number] is None:
            binary = open(number, f"{mode}b", closefd=False)  # noqa: SIM115  # kept to the end
            setattr(sys, ("stdin", "stdout", "stderr")[number], _Nowhere(binary, encoding="utf-8"))


class _Nowhere(io.TextIOWrapper):
    """Replaces a closed standard stream; `lost` is True if something was written to it."""

    lost = False

    def write(self, text: str) -> int:
        self.lost = True
        return super().write(text)


if __name__ == "__main__":
    main()
