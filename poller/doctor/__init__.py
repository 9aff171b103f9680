"""Checks of everything the poller depends on: settings, database, stored data, service, data centres.

Nothing is changed: no database is created or migrated, no key is made, no credential is sent. A check that fails
becomes a result with a remedy, and the other checks go on.
"""
