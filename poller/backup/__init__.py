"""Backup and restore of the embedded database: one file with a dump, the key file and a manifest.

A backup has the state of one moment, and may be made while the database is in use. A restore verifies the whole file
and creates a new cluster from it; only then it renames the old cluster, which is kept.

Refuses to: touch a database that the operator runs; overwrite a file; restore while another process uses the database.
"""

from poller.backup.archive import Manifest
from poller.backup.making import back_up
from poller.backup.restoring import RestoredBackup, restore

__all__ = ["Manifest", "RestoredBackup", "back_up", "restore"]
