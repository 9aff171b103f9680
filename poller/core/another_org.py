"""Whether credentials belong to another Zoho org than the one whose history they would continue."""

from __future__ import annotations

from typing import Final

ANOTHER_ORG: Final = "another_org"
"""Error of a slot, and reason of parking, where an org's credentials are those of another Zoho org."""


def is_another_org(known: str | None, said: str | None) -> bool:
    """Whether the org says another number (`zgid`) than the one that is known; an unknown number is no proof."""
    return None not in (known, said) and known != said


def remedy_for_another_org(name: str, known: str, said: str) -> str:
    """What a person does about credentials of the Zoho org `said`, given to the org of `known`."""
    return (
        f"these credentials are of the Zoho org with zgid {said}, and {name!r} is the one with zgid {known}: import "
        "its own credentials again, and these under a name of their own; if the customer has moved to that Zoho org, "
        f"`poller orgs set {name!r} --zgid learn`"
    )
