"""Detects credentials of another Zoho org than the one whose history they would continue."""

from __future__ import annotations

from typing import Final

ANOTHER_ORG: Final = "another_org"
"""The error of a slot, and the reason for parking, if an org's credentials belong to another Zoho org."""


def is_another_org(known: str | None, said: str | None) -> bool:
    """True if the zgid that Zoho reports (`said`) differs from the `known` one; False if either is unknown."""
    return None not in (known, said) and known != said


def remedy_for_another_org(name: str, known: str, said: str) -> str:
    """What a person does if the credentials of org `name` (zgid `known`) belong to the Zoho org with zgid `said`."""
    return (
        f"these credentials are of the Zoho org with zgid {said}, and {name!r} is the one with zgid {known}: import "
        "its own credentials again, and these under a name of their own; if the customer has moved to that Zoho org, "
        f"`poller orgs set {name!r} --zgid learn`"
    )
