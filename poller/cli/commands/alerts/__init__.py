"""`poller alerts …`: alerts, what to do about them, and the rules by which they fire."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperGroup

from poller.cli.commands.alerts import digest, handling, listing, rule_changes, rules, trial

_LIST: Final = "list"
_HELP: Final = frozenset({"-h", "--help"})


class ListByDefault(TyperGroup):
    """`poller alerts --tag gold` and `poller alerts Acme` are `poller alerts list …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `list` before arguments that name no command."""
        if not args or (args[0] not in self.commands and not _HELP & set(args[:1])):
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


alerts = typer.Typer(
    name="alerts",
    cls=ListByDefault,
    help="""What is wrong now and needs a person, and the rules by which that is found. Without a command: list.

    Example: [bold]poller alerts --tag gold[/bold]""",
)
_rules = typer.Typer(
    name="rules",
    help="""Rules: which metric of which orgs is watched, when an alert fires, and where its messages go.

    Example: [bold]poller alerts rules set seats_used --at-least 90[/bold]""",
    no_args_is_help=True,
)
for _family in (listing, handling, digest, trial):
    _family.add_to(alerts)
for _family in (rules, rule_changes):
    _family.add_to(_rules)
alerts.add_typer(_rules)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(alerts)
