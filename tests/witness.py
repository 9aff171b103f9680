"""Records the output and the secrets of all pollers of the suite; at the end the output is searched for the secrets.

A secret is recognised by its value if a test or the simulator made it, and otherwise by its format. The witness does
not use the redaction of the poller to recognise secrets.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from poller.simulator import Simulator

SHORTEST: Final = 12
"""What is shorter could stand in a text by chance; no test may use a shorter secret and expect it to be looked for."""
_AROUND: Final = 60
_CREDENTIAL: Final = re.compile(
    r"(?:client[ _]?secret|refresh[ _]?token|grant[ _]?code|access[ _]?token)\"?\s*[=:]\s*\"?([^\s\",;]+)",
    re.IGNORECASE,
)
_PASSWORD: Final = re.compile("://[^/:@]*:([^@]*)@")
_RUN: Final = re.compile(rf"\S{{{SHORTEST},}}")
# Public values of a similar format are excluded: a client id is `1000.` and one run of digits, a test's
# database is called test_… or template_…, and a number without any letter is the seed of a test that failed.
_SHAPES: Final = {
    "a token or grant code of Zoho's": re.compile(r"1000\.[0-9a-f]{16,}\.[0-9a-f]{16,}"),
    "a client secret, or a part of a token": re.compile(
        r"(?<![0-9a-z_])(?<!1000\.)(?=[0-9]*[a-f])[0-9a-f]{30,}(?![0-9a-z])"
    ),
    "a key of 32 bytes": re.compile(r"(?<![\w+/=-])[\w+/-]{43}=(?!\w)"),
}


@dataclass
class Witness:
    """The recorded output by source, and every known secret."""

    heard: dict[str, list[str]] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)

    def hear(self, source: str, text: str | bytes) -> None:
        """Records printed or logged text."""
        if text:
            told = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
            self.heard.setdefault(source, []).append(told)

    def know(self, *secrets: str) -> None:
        """Records secrets that must not appear in any output."""
        self.secrets.update(secret for secret in secrets if len(secret) >= SHORTEST)

    def know_text(self, text: str) -> None:
        """Records values under the name of a secret in an org file or in KEY=VALUE lines."""
        self.know(*(found[1] for found in _CREDENTIAL.finditer(text)))
        head, _, rows = text.partition("\n")
        names = re.split("[,;\t]", head.lower())
        for place in (place for place, name in enumerate(names) if re.search("secret|token|code", name)):
            self.know(
                *(row[place] for row in (re.split("[,;\t]", row) for row in rows.split("\n")) if len(row) > place)
            )

    def know_settings(self, environ: Mapping[str, str]) -> None:
        """Records the encryption keys and the password of the database."""
        self.know(environ.get("POLLER_API_KEY", ""))
        for key in environ.get("POLLER_SECRET_KEYS", "").split(","):
            self.know(key.partition(":")[2])
        password = _PASSWORD.search(environ.get("POLLER_DATABASE_URL", ""))
        if password:
            self.know(password[1], unquote(password[1]))

    def know_simulator(self, sim: Simulator) -> None:
        """Records every credential of the simulated fleet and every issued token."""
        for org in sim.fleet():
            self.know(org.client_secret, org.refresh_token, org.grant_code)
        self.know(*sim.zoho.tokens)

    def leaks(self) -> list[str]:
        """Each place where a secret was found: source, kind of secret, and the surrounding text."""
        return self.known_leaks() + [
            _told(source, what, text, at)
            for source, texts in self.heard.items()
            for text in texts
            for what, at in _of_a_shape(text)
        ]

    def known_leaks(self) -> list[str]:
        """As `leaks`, but only known secrets: other programs print long numbers too."""
        begins = self._begins()
        return [
            _told(source, "a secret a test knows", text, at)
            for source, texts in self.heard.items()
            for text in texts
            for at in _known(text, begins)
        ]

    def _begins(self) -> dict[str, list[str]]:
        """The first characters of each secret, plain and as in `Authorization: Basic`."""
        begins: dict[str, list[str]] = {}
        for secret in self.secrets:
            for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("=")):
                begins.setdefault(form[:SHORTEST], []).append(form)
        return begins


def _told(source: str, what: str, text: str, at: int) -> str:
    return f"{source}: {what} in …{text[max(0, at - _AROUND) : at + _AROUND]!r}…"


def _of_a_shape(text: str) -> Iterator[tuple[str, int]]:
    for what, shape in _SHAPES.items():
        for found in shape.finditer(text):
            yield what, found.start()


def _known(text: str, begins: Mapping[str, list[str]]) -> Iterator[int]:
    # There are thousands of secrets and megabytes of text: each place is looked up, not each secret looked for.
    for run in _RUN.finditer(text):
        for at in range(run.start(), run.end() - SHORTEST + 1):
            if any(text.startswith(form, at) for form in begins.get(text[at : at + SHORTEST], ())):
                yield at


WITNESS: Final = Witness()
"""The one of this run of the suite."""
