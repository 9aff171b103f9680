"""Completion in a shell, and `-h`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Ended

    Poller = Callable[..., Ended]


async def completions(words: str) -> list[str]:
    """The completions that bash offers for the last word."""
    environ = {"_POLLER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    ended = await command.run(environ=environ)
    assert (ended.code, ended.err) == (0, "")
    return ended.out.split()


async def test_the_shell_completes_commands_subcommands_and_options() -> None:
    assert await completions("poller migr") == ["migrate"]
    assert {"add", "import", "list"} <= set(await completions("poller orgs "))
    assert await completions("poller settings --js") == ["--json"]


@pytest.mark.parametrize(("shell", "place"), [("bash", ".bash_completions/poller.sh"), ("zsh", ".zfunc/_poller")])
async def test_completion_is_installed_for_a_shell(tmp_path: Path, shell: str, place: str) -> None:
    # Typer asks which shell its parent is; where it is not to ask, the shell is an argument.
    environ = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ended = await command.run("--install-completion", shell, environ=environ)
    assert (ended.code, ended.err) == (0, "")
    assert f"completion installed in {tmp_path / place}" in ended.out
    assert "_POLLER_COMPLETE=complete_" in (tmp_path / place).read_text()


@pytest.mark.parametrize("arguments", [(), ("orgs",), ("orgs", "list"), ("settings",), ("psql",)], ids=" ".join)
def test_the_option_h_shows_the_help_of_every_command(poller: Poller, arguments: tuple[str, ...]) -> None:
    short, long = poller(*arguments, "-h"), poller(*arguments, "--help")
    assert (short.code, short.err) == (0, "")
    assert short.out == long.out
    assert "-h, --help" in short.out
