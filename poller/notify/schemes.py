"""The poller's own kinds of addresses, for receivers that are programs. All other schemes are Apprise's."""

from __future__ import annotations

from typing import Final

WEBHOOK: Final = ("webhook+https", "webhook+http")
"""The alert is posted as JSON."""
ALERTMANAGER: Final = ("alertmanager+https", "alertmanager+http")
"""Alerts are posted to the API of a Prometheus Alertmanager."""
OWN: Final = (*WEBHOOK, *ALERTMANAGER)


def is_for_programs(scheme: str) -> bool:
    """Whether the receiver reads the alerts themselves instead of words about them."""
    return scheme in OWN
