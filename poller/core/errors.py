"""The errors that a person may see.

Expected results (a throttled org, a malformed reply) are values, never exceptions. The exceptions are:

    PollerError                 one line on standard error, with the remedy
    ├── UsageError              exit 2: the command or a setting is invalid
    │   ├── UnknownOrgError     there is no such org, or the caller may not see it
    │   ├── UnknownAlertError   the same of an alert
    │   ├── UnknownRuleError    there is no such alert rule
    │   └── SettingsError       a setting is missing or wrong
    └── OperationError          exit 1: a valid command failed
        ├── DatabaseError       PostgreSQL is unreachable, refuses, or has another schema
        │   └── LockedError     PostgreSQL works, but another session holds a lock for too long
        ├── ClockError          a row would lie in the future of PostgreSQL's clock
        ├── CredentialError     a stored secret cannot be decrypted with this process's keys
        │   └── MissingKeyError the key it is encrypted with is not among them
        ├── ConflictError       the org or alert is in a state in which the operation has no effect
        └── EmbeddedError       the embedded PostgreSQL cannot start or be used
"""

from __future__ import annotations


class PollerError(Exception):
    """An error that a person can fix: `what` happened and the `remedy`, as clauses of one line."""

    exit_code = 1

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        """One line: what happened, then what to do about it."""
        return " ".join(f"{self.what}; {self.remedy}".split())


class UsageError(PollerError):
    """A command, an argument or an option is invalid."""

    exit_code = 2


class UnknownOrgError(UsageError):
    """There is no such org, or the caller may not see it: both are the same error."""

    def __init__(self) -> None:
        super().__init__("there is no such org", "GET /api/v1/orgs lists the orgs that this key sees")


class UnknownAlertError(UsageError):
    """There is no such alert, or the caller may not see it: both are the same error."""

    def __init__(self) -> None:
        super().__init__("there is no such alert", "see `poller alerts`, or GET /api/v1/alerts")


class UnknownRuleError(UsageError):
    """There is no alert rule of this name."""


class SettingsError(UsageError):
    """A setting is missing or wrong."""


class OperationError(PollerError):
    """A valid command failed."""


class ConflictError(OperationError):
    """The org or alert is in a state in which the operation has no effect."""


class DatabaseError(OperationError):
    """PostgreSQL is unreachable, refuses the connection, or has another schema than this version needs.

    `passing`: the error may pass, so a service waits and tries again.
    """

    def __init__(self, what: str, remedy: str, *, passing: bool = False) -> None:
        super().__init__(what, remedy)
        self.passing = passing


class LockedError(DatabaseError):
    """Another session's transaction holds a lock that is needed. PostgreSQL itself works."""


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
