"""A Zoho to try things on: a real server on loopback that keeps Zoho's rules and audits its callers.

It knows the facts from Zoho's documentation for itself: nothing of the poller is imported here, so that what both
agree on was understood twice.
"""

from __future__ import annotations

from poller.simulator.fault_table import FAULTS
from poller.simulator.faults import Fault, load_faults, parse_faults
from poller.simulator.fleet import SimulatedOrg, import_lines
from poller.simulator.options import SimulatorOptions
from poller.simulator.population import USER_TYPES, truth, truths
from poller.simulator.server import Simulator

__all__ = [
    "FAULTS",
    "USER_TYPES",
    "Fault",
    "SimulatedOrg",
    "Simulator",
    "SimulatorOptions",
    "import_lines",
    "load_faults",
    "parse_faults",
    "truth",
    "truths",
]
