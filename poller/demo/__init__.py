"""The demo: a simulated Zoho, its own database, months of history, orgs in trouble, and polls every few seconds.

Only Zoho is simulated: the history is written by the store, and polls use HTTP and the limits. The demo uses only its
own database, even if the settings name another, and refuses to start twice in the same folder.
"""

from poller.demo.folder import FOLDER, is_of_another_fleet
from poller.demo.interval_tally import IntervalTally
from poller.demo.options import DemoOptions
from poller.demo.running import Demo, open_demo

__all__ = ["FOLDER", "Demo", "DemoOptions", "IntervalTally", "is_of_another_fleet", "open_demo"]
