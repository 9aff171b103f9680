"""The part of the table of endpoints that is about alerts."""

from __future__ import annotations

from typing import Final

from poller.core.callers import Right
from poller.web.api.endpoint import Endpoint
from poller.web.api.handlers import (
    alert_exclusions as exclusion_handlers,
    alert_rules as rule_handlers,
    alerts as handlers,
)
from poller.web.api.models import alert_exclusions as exclusion_models, alerts as models

ALERT_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "GET",
        "/alerts",
        "Alerts: those that fire first",
        handlers.alerts,
        models.AlertList,
        query_model=models.AlertsQuery,
        rows="items",
        group="alerts",
        description="A key with tags sees the alerts of its orgs.",
    ),
    Endpoint(
        "GET",
        "/alerts/rules",
        "The rules by which alerts fire",
        rule_handlers.rules,
        models.AlertRuleList,
        refusals=(403,),
        group="alerts",
        description="Only for keys that see every org.",
    ),
    Endpoint(
        "POST",
        "/alerts/rules/{name}",
        "Add a rule, or change it",
        rule_handlers.save,
        models.RuleOperationReply,
        models.RulePath,
        body_model=models.RuleBody,
        right=Right.OPERATE,
        refusals=(409, 422),
        group="alerts",
        description="Only for keys that see every org. What is absent stays.",
    ),
    Endpoint(
        "POST",
        "/alerts/rules/{name}/remove",
        "Remove a rule",
        rule_handlers.remove,
        models.RuleOperationReply,
        models.RulePath,
        body_model=models.RemoveBody,
        right=Right.OPERATE,
        refusals=(409, 422),
        group="alerts",
        description='Its open alerts are resolved; its history stays. `{"undo": true}` brings it back.',
    ),
    Endpoint(
        "GET",
        "/alerts/exclusions",
        "Orgs and user types without alerts",
        exclusion_handlers.exclusions,
        exclusion_models.ExclusionList,
        query_model=exclusion_models.ExclusionsQuery,
        rows="items",
        group="alerts",
        description="Those whose time is over too. A key with tags sees those of its orgs.",
    ),
    Endpoint(
        "POST",
        "/alerts/exclusions",
        "Exclude orgs or a user type from alerts",
        exclusion_handlers.change,
        exclusion_models.ExclusionOperationReply,
        body_model=exclusion_models.ExclusionBody,
        right=Right.OPERATE,
        refusals=(409, 422),
        group="alerts",
        description="Reports still show them. It takes the place of an exclusion of the same rule, org and user type."
        ' `{"undo": true}` with the same subjects ends it. A key with tags names orgs that it sees, and a rule that has'
        " had alerts of its orgs.",
        related="/exclusions",
    ),
    Endpoint(
        "GET",
        "/alerts/{id}",
        "One alert with its history",
        handlers.alert,
        models.AlertReply,
        models.AlertPath,
        group="alerts",
    ),
    Endpoint(
        "POST",
        "/alerts/{id}/ack",
        "Acknowledge an alert",
        handlers.acknowledge,
        models.AlertOperationReply,
        models.AlertPath,
        body_model=models.AcknowledgeBody,
        right=Right.OPERATE,
        refusals=(409, 422),
        group="alerts",
        description='No more messages until it is resolved. `{"undo": true}` undoes it. 409 if it is resolved.',
    ),
    Endpoint(
        "POST",
        "/alerts/{id}/snooze",
        "Snooze an alert",
        handlers.snooze,
        models.AlertOperationReply,
        models.AlertPath,
        body_model=models.SnoozeBody,
        right=Right.OPERATE,
        refusals=(409, 422),
        group="alerts",
        description='No messages for that time: `{"for": "7d"}`, or `{"until": "2026-12-01T09:00:00Z"}`.'
        ' `{"undo": true}` ends it. 409 if the alert is resolved.',
    ),
)
