"""Looks for known vulnerabilities in the locked packages, and writes their list (SBOM): the end of `make check`.

Uses pip-audit and CycloneDX of `make deploy-tools`, and a network. Where one is missing it says so and succeeds;
it exits with 1 only if a package has a known vulnerability. The list is `build/sbom.json`, in CycloneDX's format.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements.lock"
PROGRAMS: Final = ROOT / ".venv" / "deploy-tools" / "bin"
_SECONDS: Final = 90


def main() -> int:
    """Prints a line for each of the two, and a line for each vulnerability."""
    if not (PROGRAMS / "pip-audit").exists():
        print("vulnerabilities: passed over, pip-audit is not installed: make deploy-tools")
        return 0
    write_list(ROOT / "build" / "sbom.json")
    return look_up()


def write_list(path: Path) -> None:
    """Writes the packages with their versions and hashes."""
    path.parent.mkdir(exist_ok=True)
    command = [
        str(PROGRAMS / "cyclonedx-py"),
        "requirements",
        str(LOCK),
        "--output-reproducible",
        "--output-file",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    count = len(json.loads(path.read_text(encoding="utf-8"))["components"]) if done.returncode == 0 else 0
    print(f"list of packages: {count} in {path.relative_to(ROOT)}" if count else f"list of packages: {done.stderr}")


def look_up() -> int:
    """Asks the database of vulnerabilities about each package; returns the exit code."""
    command = [str(PROGRAMS / "pip-audit"), "-r", str(LOCK), "--require-hashes", "--disable-pip", "-f", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        print("vulnerabilities: passed over, the database of vulnerabilities does not answer")
        return 0
    found = [(one["name"], one["version"], hole["id"]) for one in packages for hole in one.get("vulns", ())]
    audited = sum("skip_reason" not in one for one in packages)
    print(
        f"vulnerabilities: {len(found)} known in {audited} packages; {len(packages) - audited} could not be looked up"
    )
    for name, version, hole in found:
        print(f"{name} {version} has {hole}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
