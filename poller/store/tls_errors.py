"""Explains TLS errors of the connection to PostgreSQL, and names the file or option to correct."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from poller.core.errors import DatabaseError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_URL: Final = "POLLER_DATABASE_URL"
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_MODES: Final = "disable, allow, prefer, require, verify-ca, verify-full"
_OPTIONAL: Final = ("allow", "prefer")
_WRONG_NAME: Final = (62, 64)
_EXPIRED: Final = 10
"""OpenSSL's error codes: the certificate is for another host name or address; it has expired."""


def of_configuration(where: str, said: str) -> SettingsError | None:
    """Explains an address with TLS options that asyncpg does not understand; never quotes asyncpg's message `said`."""
    if "root certificate file" in said:
        return SettingsError(
            f"{where}: sslmode asks to verify its certificate, and no certificate authority is given",
            f"add sslrootcert=/path/of/the/authority.pem to {_URL}",
        )
    if "sslmode" in said:
        return SettingsError(f"{_URL} has an unknown sslmode", f"write one of {_MODES}")
    if "target_session_attrs" in said:
        return SettingsError(f"{_URL} has an unknown target_session_attrs", "write read-write, primary or any")
    return None


def of_connection(where: str, error: BaseException, options: Mapping[str, str]) -> DatabaseError | SettingsError | None:
    """Explains a connection that failed; returns None if TLS is not the cause."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return DatabaseError(
            f"{where}: its certificate is refused: {error.verify_message.rstrip('.')}", _certificate_remedy(error)
        )
    if "rejected SSL upgrade" in str(error):
        # A PostgreSQL without TLS declines it, and asyncpg connects without TLS unless the address requires it.
        if options.get("sslmode", "prefer") in _OPTIONAL:
            return DatabaseError(
                f"{where}: another program answers there, not PostgreSQL", f"correct host and port in {_URL}"
            )
        return DatabaseError(
            f"{where} does not offer TLS, which sslmode={options['sslmode']} asks for",
            f"turn on ssl in its postgresql.conf, or write sslmode=prefer in {_URL} where the network is trusted",
        )
    return _of_files(where, options)


def _certificate_remedy(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _WRONG_NAME:
        return f"write the host in {_URL} as the certificate has it, or sslmode=verify-ca"
    if error.verify_code == _EXPIRED:
        return "renew the server's certificate"
    return f"set sslrootcert in {_URL} to the file of the authority that signed it"


def _of_files(where: str, options: Mapping[str, str]) -> SettingsError | None:
    """Explains the first file that cannot be read or has the wrong content."""
    for name in _FILES:
        path = options.get(name)
        try:
            if path is not None:
                Path(path).read_bytes()
        except OSError as error:
            what = f"{where}: the file {path} cannot be read: {error.strerror}"
            return SettingsError(what, f"correct {name} in {_URL}")
    context = ssl.create_default_context()
    try:
        if "sslrootcert" in options:
            context.load_verify_locations(options["sslrootcert"])
    except ssl.SSLError:
        what = f"{where}: the file {options['sslrootcert']} holds no certificate"
        return SettingsError(what, f"correct sslrootcert in {_URL}")
    try:
        if "sslcert" in options:
            context.load_cert_chain(options["sslcert"], options.get("sslkey"), lambda: options.get("sslpassword", ""))
    except ssl.SSLError:
        what = f"{where}: the file {options['sslcert']} and its key do not belong together"
        return SettingsError(what, f"correct sslcert and sslkey in {_URL}")
    return None
