"""`python -m benchmarks [GROUP…]`: run the groups of benchmarks and print a table for each."""

from __future__ import annotations

import argparse
import asyncio

from benchmarks import memory, poll

GROUPS = {"poll": poll.main, "memory": memory.main}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="all, if none is named")
    parser.add_argument("--orgs", type=int, help="the size of the fleet, where a group has one")
    arguments = parser.parse_args()
    for group in arguments.groups or GROUPS:
        asyncio.run(GROUPS[group](arguments.orgs))


if __name__ == "__main__":
    main()
