"""The door: `poller` and `python -m poller`."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Run the command line; whatever happens, a person gets at most a line, and a script the right exit code."""
    # Within the function: a Ctrl-C while modules are being loaded is as quiet as any other.
    try:
        _open_standard_streams()
        from poller.cli import run  # noqa: PLC0415

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _open_standard_streams() -> None:
    """Where a parent closed one of the three, the next file opened would take its place, and get what is printed."""
    for number, mode in ((0, "r"), (1, "w"), (2, "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if (sys.stdin, sys.stdout, sys.stderr)[number] is None:
            binary = open(number, f"{mode}b", closefd=False)  # noqa: SIM115  # kept to the end
            setattr(sys, ("stdin", "stdout", "stderr")[number], _Nowhere(binary, encoding="utf-8"))


class _Nowhere(io.TextIOWrapper):
    """A stream in the place of one that is closed; it remembers whether anything was lost."""

    lost = False

    def write(self, text: str) -> int:
        self.lost = True
        return super().write(text)


if __name__ == "__main__":
    main()
