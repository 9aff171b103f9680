"""The simulated orgs: names, credentials and Zoho's ids, all computed from the seed and the org's number.

So a restarted simulator has the same fleet, and a fleet of 50,000 orgs takes no memory. Every identifier contains the
number of its org and is checked by computing it again. Secrets are long hexadecimal strings, so that a test can search
for them in any output. Has no state: `state` knows which credentials were revoked or rotated.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from poller.simulator import population
from poller.simulator.company_names import FIRST_WORDS, LAST_WORDS, SECOND_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Credential = Literal["refresh_token", "grant_code", "soid"]
IMPORT_COLUMNS: Final = (
    "name",
    "data_center",
    "client_id",
    "client_secret",
    "refresh_token",
    "grant_code",
    "soid",
    "zgid",
    "edition",
    "licences",
)

_NAMES: Final = len(FIRST_WORDS) * len(SECOND_WORDS) * len(LAST_WORDS)
_TOKEN: Final = re.compile(r"1000\.([0-9a-f]{8})([0-9a-f]{24})(?:\.([0-9a-f]{32}))?")


@dataclass(frozen=True, slots=True, repr=False)
class SimulatedOrg:
    """One org as its operator knows it. `credential` names the kind of grant that this org uses."""

    index: int
    name: str
    data_center: str
    client_id: str
    client_secret: str
    refresh_token: str
    grant_code: str
    soid: str
    zgid: str
    edition: str
    licences: int
    time_zone: str
    credential: Credential

    def __repr__(self) -> str:
        """Without secrets."""
        return f"SimulatedOrg(index={self.index}, name={self.name!r}, data_center={self.data_center!r})"

    def row(self) -> dict[str, str | int]:
        """The row of an import file, with only the grant of this org."""
        given: dict[str, str | int] = {column: getattr(self, column) for column in IMPORT_COLUMNS}
        for other in {"refresh_token", "grant_code", "soid"} - {self.credential}:
            del given[other]
        return given


@dataclass(frozen=True, slots=True)
class Fleet:
    """All orgs, computed on demand. `orgs_per_client` orgs share one client, as at a service provider."""

    seed: int
    size: int
    data_centers: tuple[str, ...]
    orgs_per_client: int = 1
    grant_share: float = 0.0
    soid_share: float = 0.0

    def org(self, index: int, *, at_seconds: float, generation: int = 0) -> SimulatedOrg:
        """The org of that number, with its licences at that time; each `generation` has another refresh token."""
        shape = population.shape_of(self.seed, index)
        client = index // self.orgs_per_client
        zgid = self.zgid(index)
        return SimulatedOrg(
            index=index,
            name=self.name(index),
            data_center=self.data_center(index),
            client_id=self.client_id(client),
            client_secret=self.client_secret(client),
            refresh_token=self.refresh_token(index, generation),
            grant_code=self.grant_code(index),
            soid=f"ZohoCRM.{zgid}",
            zgid=zgid,
            edition=shape.edition,
            licences=population.licences_at(shape, at_seconds),
            time_zone=shape.time_zone,
            credential=self._credential(index),
        )

    def data_center(self, index: int) -> str:
        """The data centre of the org: the same for all orgs of one client."""
        return self.data_centers[(index // self.orgs_per_client) % len(self.data_centers)]

    def name(self, index: int) -> str:
        """The name of the org, unique in the fleet."""
        lap, place = divmod(index, _NAMES)
        # A step without a common factor with the number of names uses each name once per lap.
        place = (place * 7_919 + int(self._hex("name", 0), 16)) % _NAMES
        place, last = divmod(place, len(LAST_WORDS))
        first, second = divmod(place, len(SECOND_WORDS))
        numeral = f" {lap + 1}" if lap else ""
        return f"{FIRST_WORDS[first]} {SECOND_WORDS[second]} {LAST_WORDS[last]}{numeral}"

    def zgid(self, index: int) -> str:
        """Zoho's number of the org."""
        return str(self._zgid_base() + index)

    def client_id(self, client: int) -> str:
        """The client id, which is not secret."""
        return f"1000.{client:08x}{self._hex('client', client)[:24]}"

    def client_secret(self, client: int) -> str:
        """The client secret."""
        return self._hex("client-secret", client) + self._hex("client-secret-end", client)[:10]

    def refresh_token(self, index: int, generation: int = 0) -> str:
        """The refresh token of an org; each rotation has the next `generation`."""
        return self._token("refresh", index, generation)

    def grant_code(self, index: int, minted: int = 0) -> str:
        """A grant code, which can be exchanged once for the refresh token."""
        return self._token("grant", index, minted)

    def access_token(self, index: int, number: int) -> str:
        """The access token of that number."""
        return self._token("access", index, number)

    def index_of_token(self, token: str) -> int | None:
        """The org that a token or code names; the caller must check that the token is genuine."""
        found = _TOKEN.fullmatch(token)
        if found is None or found[3] is None:
            return None
        index = int(found[1], 16)
        return index if index < self.size else None

    def client_of_id(self, client_id: str) -> int | None:
        """The client's number; None if the fleet has no such client."""
        found = _TOKEN.fullmatch(client_id)
        if found is None or found[3] is not None:
            return None
        client = int(found[1], 16)
        known = client * self.orgs_per_client < self.size and client_id == self.client_id(client)
        return client if known else None

    def index_of_zgid(self, zgid: str) -> int | None:
        """The org with that zgid; None if the fleet has no such org."""
        if not (zgid.isascii() and zgid.isdigit()):
            return None
        index = int(zgid[:20]) - self._zgid_base()
        return index if 0 <= index < self.size else None

    def _credential(self, index: int) -> Credential:
        place = int(self._hex("credential", index)[:8], 16) / 0x1_0000_0000
        if place < self.grant_share:
            return "grant_code"
        return "soid" if place < self.grant_share + self.soid_share else "refresh_token"

    def _zgid_base(self) -> int:
        return 600_000_000 + int(self._hex("zgid", 0)[:2], 16) * 1_000_000

    def _token(self, kind: str, index: int, number: int) -> str:
        return f"1000.{index:08x}{self._hex(kind, index, number)[:24]}.{self._hex(f'{kind}-end', index, number)}"

    def _hex(self, kind: str, index: int, number: int = 0) -> str:
        return hashlib.blake2b(f"{kind}:{self.seed}:{index}:{number}".encode(), digest_size=16).hexdigest()


def import_lines(orgs: Iterable[SimulatedOrg], file_format: Literal["csv", "jsonl"]) -> Iterator[str]:
    """The lines of an import file for `poller orgs import`, each with its line end."""
    if file_format == "csv":
        yield ",".join(IMPORT_COLUMNS) + "\n"
    for org in orgs:
        if file_format == "jsonl":
            yield json.dumps(org.row(), ensure_ascii=False) + "\n"
            continue
        line = io.StringIO()
        csv.DictWriter(line, IMPORT_COLUMNS, restval="", lineterminator="\n").writerow(org.row())
        yield line.getvalue()
