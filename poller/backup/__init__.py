"""Backup and restore of the embedded database: one file with a dump, the key file, and what they are.

A backup is one moment of the database, and may be made while it is used. A restore verifies the whole file and makes a
new cluster from it before it touches the old one, which is then kept beside it under another name.

Refuses to: touch a database that the operator runs; overwrite a file; restore while another process uses the database.
"""

from poller.backup.archive import Manifest
from poller.backup.making import back_up
from poller.backup.restoring import RestoredBackup, restore

__all__ = ["Manifest", "RestoredBackup", "back_up", "restore"]
