"""The options `--tag`, `--state` and `--data-center` of every command that takes orgs."""

from __future__ import annotations

from typing import Annotated

import typer

from poller.core.errors import UsageError
from poller.core.states import State
from poller.query.selection import Selection

Names = Annotated[list[str] | None, typer.Argument(metavar="[ORG]...", help="Names; every org if none.")]
ChangedNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ORG]...", help="Names; orgs may be selected by an option instead."),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Only orgs with this tag; more than once: with all.")
]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state", metavar="STATE", help=f"Only orgs in this state: {', '.join(State)}; or in one of several."
    ),
]
DataCenters = Annotated[
    list[str] | None, typer.Option("--data-center", metavar="DC", help="Only orgs of this data centre, or of several.")
]


def selection(
    names: list[str] | None, tags: list[str] | None, states: list[str] | None, data_centers: list[str] | None
) -> Selection:
    """The selection in these options; a `UsageError` for an unknown state and an empty value.

    Values may be separated by commas.
    """
    return Selection(
        names=tuple(dict.fromkeys(names or ())),
        tags=parts(tags, "--tag"),
        states=tuple(_state(one) for one in parts(states, "--state")),
        data_centers=parts(data_centers, "--data-center"),
    )


def states_of(text: str, option: str) -> tuple[str, ...]:
    """The states in the value of `option`, separated by commas."""
    return tuple(_state(one, option) for one in parts([text], option))


def required(chosen: Selection) -> Selection:
    """Returns the selection; a `UsageError` where no org is given to a command that changes orgs."""
    if chosen.is_everything:
        raise UsageError("no org is given", "name orgs, or select them with --tag, --state or --data-center")
    return chosen


def parts(values: list[str] | None, option: str) -> tuple[str, ...]:
    """The values of an option that may be given several times, or once with commas; each of them once.

    A `UsageError` for an empty value: ignored, it would select every org.
    """
    if any(not value.strip(" ,") for value in values or ()):
        raise UsageError(f"{option} is empty", "give a value, or leave the option out")
    given = (part.strip() for value in values or () for part in value.split(","))
    return tuple(dict.fromkeys(part for part in given if part))


def _state(text: str, option: str = "--state") -> str:
    try:
        return State(text.lower().replace("-", "_")).value
    except ValueError:
        raise UsageError(f"{option} {text}: there is no such state", f"use one of {', '.join(State)}") from None
