"""Stop signals: one, several at once, and for a command that does not end."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Final

import pytest

COMMAND: Final = """
import asyncio, signal, sys
from poller import cli
from poller.cli.output import terminal
from types import ModuleType

async def work(again):
    loop = asyncio.get_running_loop()
    print("started", flush=True)
    try:
        await asyncio.sleep(600)
    finally:
        # Between two callbacks of the loop, where an exception of a handler would end up in the loop itself.
        for number in again:
            loop.call_soon(signal.raise_signal, number)
        try:
            await asyncio.sleep(600 if again else 0)
        finally:
            print("cleaned up", flush=True)

async def serve():
    with terminal.stop_signals() as stopped:
        print("started", flush=True)
        await stopped.wait()
        print("cleaned up", flush=True)

def hang():
    async def main():
        print("started", flush=True)
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                print("still here", flush=True)
    terminal.run(main())

class Command(ModuleType):
    @staticmethod
    def add_to(app):
        app.command("work")(lambda: terminal.run(work([])))
        app.command("twice")(lambda: terminal.run(work([signal.SIGINT])))
        app.command("both")(lambda: terminal.run(work([signal.SIGTERM])))
        app.command("hang")(hang)
        app.command("serve")(lambda: terminal.run(serve()))

sys.modules["poller.cli.commands.added"] = Command("added")
cli.COMMANDS.update(dict.fromkeys(["work", "twice", "both", "hang", "serve"], "added"))
sys.exit(cli.run(sys.argv[1:]))
"""


def start(name: str, program: list[str] | None = None) -> subprocess.Popen[str]:
    running = subprocess.Popen(
        [*(program or []), sys.executable, "-c", COMMAND, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    return running


@pytest.mark.parametrize("name", ["work", "twice", "both"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_cleans_up_once_however_many_stop_signals_it_gets(
    name: str, number: signal.Signals, code: int
) -> None:
    with start(name) as running:
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    # Whoever pressed Ctrl-C gets its exit code, also after a SIGTERM.
    assert running.returncode == (130 if name == "twice" else code)
    assert (out, err) == ("cleaned up\n", "")


def test_the_third_ctrl_c_ends_a_command_that_does_not_stop() -> None:
    with start("hang") as running:
        assert running.stdout is not None
        for _ in range(2):
            running.send_signal(signal.SIGINT)
            assert running.stdout.readline() == "still here\n"
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=60) == ("", "")
    assert running.returncode == 130


def test_a_service_in_the_background_of_a_script_stops_at_a_signal_that_other_commands_ignore_there() -> None:
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    with start("work", ignoring) as working, start("serve", ignoring) as serving:
        for running in (working, serving):
            running.send_signal(signal.SIGINT)
        assert serving.communicate(timeout=60) == ("cleaned up\n", "")
        assert working.poll() is None
        working.send_signal(signal.SIGTERM)
        working.communicate(timeout=60)
    assert (serving.returncode, working.returncode) == (0, 143)
