"""The errors a person may meet.

Expected things (a throttled org, a malformed reply) are values, never exceptions. What is left is one small tree:

    PollerError                 one line for standard error, with the remedy in it
    ├── UsageError              exit 2: what was typed or configured cannot work
    │   └── SettingsError       a setting is missing or wrong
    └── OperationError          exit 1: it could have worked, and did not
        ├── DatabaseError       PostgreSQL is away, refuses, or holds another schema
        │   └── LockedError     PostgreSQL is well, but another session holds a lock for too long
        ├── ClockError          a row would lie in the future of PostgreSQL's clock
        ├── CredentialError     a stored secret cannot be decrypted with this process's keys
        │   └── MissingKeyError the key it is encrypted with is not among them
        └── EmbeddedError       the embedded PostgreSQL cannot start or be used
"""

from __future__ import annotations


class PollerError(Exception):
    """Something went wrong that a person can mend: `what` happened and the `remedy`, both plain sentences."""

    exit_code = 1

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        """One line: what happened, then what to do about it."""
        return " ".join(f"{self.what}; {self.remedy}".split())


class UsageError(PollerError):
    """What was typed cannot be done."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is missing or wrong."""


class OperationError(PollerError):
    """It could have worked, and did not."""


class DatabaseError(OperationError):
    """PostgreSQL is away, refuses us, or holds another schema than this version needs.

    `passing`: it may be over by itself, so that a service waits and tries again.
    """

    def __init__(self, what: str, remedy: str, *, passing: bool = False) -> None:
        super().__init__(what, remedy)
        self.passing = passing


class LockedError(DatabaseError):
    """Another session's transaction holds a lock that is needed here. PostgreSQL itself is well."""


class ClockError(OperationError):
    """Something is dated later than PostgreSQL's clock: this machine's clock, or PostgreSQL's, is wrong."""


class CredentialError(OperationError):
    """A stored secret cannot be decrypted with this process's keys."""


class MissingKeyError(CredentialError):
    """The key a stored secret is encrypted with is not among this process's keys."""

    def __init__(self, what: str, remedy: str, *, key_id: str) -> None:
        super().__init__(what, remedy)
        self.key_id = key_id


class EmbeddedError(OperationError):
    """The embedded PostgreSQL cannot be started or used."""
