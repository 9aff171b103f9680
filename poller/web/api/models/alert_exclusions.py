"""Parameters and replies about exclusions: orgs and user types without alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from poller.web.api.models.alerts import Body, RuleName
from poller.web.api.models.base import MOST_VALUES, Model, PageQuery, Text, Texts
from poller.web.api.models.parameters import When

LONGEST_REASON = 300
Reason = Annotated[str, StringConstraints(max_length=LONGEST_REASON, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class ExclusionsQuery(PageQuery):
    """Parameters of GET /alerts/exclusions."""

    org: Annotated[Texts, Field(description="Only exclusions of this org. Repeatable.")] = ()
    rule: Annotated[
        tuple[RuleName, ...], Field(max_length=MOST_VALUES, description="Only exclusions from this rule. Repeatable.")
    ] = ()


class ExclusionBody(Body):
    """What is excluded: the orgs, the user type and the rule that are given, at least one of them."""

    rule: Annotated[RuleName | None, Field(description="From this rule. Absent: from every rule.")] = None
    orgs: Annotated[
        list[Text] | None,
        Field(max_length=1_000, description="Names, an exclusion for each. Absent: every org, if the key sees them."),
    ] = None
    user_type: Annotated[Text | None, Field(description="Such as `ActiveUsers`. Absent: every alert.")] = None
    reason: Annotated[Reason, Field(description="Why; it is shown with the exclusion.")] = ""
    until: Annotated[
        When | None, Field(description="Until when: `30d`, a day or an ISO 8601 time. Absent: for ever.")
    ] = None
    undo: Annotated[bool, Field(description="True: the exclusions of exactly these subjects end.")] = False


class ExclusionItem(Model):
    """One exclusion. `rule`, `org` and `user_type` null: every one."""

    rule: str | None
    org: str | None
    org_id: int | None
    user_type: str | None
    reason: str
    until: Annotated[datetime | None, Field(description="Null: for ever. In the past: it is over.")]
    by: Annotated[str, Field(description="The name of an access key, or `command line`.")]


class ExclusionList(Model):
    """Exclusions, the oldest first."""

    items: list[ExclusionItem]
    next_cursor: str | None


class ExclusionOperationReply(Model):
    """The exclusions that were stored or ended."""

    exclusions: list[ExclusionItem]
    changed: Annotated[bool, Field(description="False: it was so before.")]
    message: str
