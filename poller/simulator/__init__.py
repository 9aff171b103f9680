"""A simulated Zoho for tests and demos: an HTTP server on loopback that applies Zoho's rules and audits its clients.

Imports nothing of the poller. Both were written from Zoho's documentation independently, so a misreading in one shows
as a disagreement.
"""

from __future__ import annotations

from poller.simulator.fault_table import FAULTS
from poller.simulator.faults import Fault, load_faults, parse_faults
from poller.simulator.fleet import SimulatedOrg, import_lines
from poller.simulator.options import SimulatorOptions
from poller.simulator.population import USER_TYPES, expected_count, expected_counts
from poller.simulator.server import Simulator

__all__ = [
    "FAULTS",
    "USER_TYPES",
    "Fault",
    "SimulatedOrg",
    "Simulator",
    "SimulatorOptions",
    "expected_count",
    "expected_counts",
    "import_lines",
    "load_faults",
    "parse_faults",
]
