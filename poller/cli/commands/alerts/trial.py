"""`poller alerts test`: a message to an address, to see that it arrives."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from poller.cli.options.addresses import given_addresses, masked
from poller.cli.output import terminal
from poller.core.errors import UsageError
from poller.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the command to `poller alerts`."""
    app.command("test")(send_test)


def send_test(
    url: Annotated[
        list[str] | None,
        typer.Argument(metavar="[URL]...", help="Addresses; - reads them from standard input. None: the default ones."),
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Read addresses from a file, one a line.")
    ] = None,
) -> None:
    """Send a message to each address at once, and say whether it arrived. Exit 1 if one did not.

    Addresses are those of Apprise (mailto://, slack://, …), webhook+https:// or alertmanager+https://. They are
    secrets: other users of this machine can read an address that is an argument, so that - or --file is better.

    Example: [bold]poller alerts test - < address[/bold]
    """
    settings = terminal.settings()
    urls = given_addresses(url, file, "URL") or [Secret(one.get_secret_value()) for one in settings.notify_urls]
    if not urls:
        raise UsageError("no address is given", "name a URL, or set POLLER_NOTIFY_URLS")
    if terminal.run(_test(settings, urls)):
        raise typer.Exit(1)


async def _test(settings: Settings, urls: Sequence[Secret]) -> int:
    """Sends the messages; how many failed."""
    from poller.core.errors import OperationError
    from poller.notify.trial import send_trial

    failed = 0
    for url in urls:
        try:
            message_id = await send_trial(url, web_origin=settings.web_origin)
        except OperationError as error:
            failed += 1
            terminal.err(f"poller: {masked(url)}: {error}")
        else:
            terminal.say(f"{masked(url)}: delivered, as message {message_id}")
    return failed
