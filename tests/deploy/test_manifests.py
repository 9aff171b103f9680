"""The files of `deploy/` and docker-compose.yml: they are valid, and what they start is hardened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from poller import __version__
from poller.settings.names import VARIABLES
from tests.deploy.tools import DEPLOY, ROOT, documents, needs, run

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE: Final = ROOT / "docker-compose.yml"
KUBERNETES: Final = DEPLOY / "kubernetes"
OF_OPERATORS: Final = {"monitor.yaml", "kustomization.yaml"}
"""Files of kinds that Kubernetes itself does not have, so that its schemas say nothing about them."""
MANIFESTS: Final = sorted(path for path in KUBERNETES.glob("*.yaml") if path.name not in OF_OPERATORS)
VERSIONS: Final = ("1.31", "1.34", "1.37")


def services() -> dict[str, dict[str, Any]]:
    [file] = documents(COMPOSE)
    made: dict[str, dict[str, Any]] = file["services"]
    return made


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Every pod of the manifests, by the name of what starts it."""
    every = [one for path in MANIFESTS for one in documents(path) if "template" in one.get("spec", {})]
    return [(one["metadata"]["name"], one["spec"]["template"]["spec"]) for one in every]


@needs("check-jsonschema")
def test_the_compose_file_follows_the_specification_and_a_misspelt_key_would_be_found(tmp_path: Path) -> None:
    check = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    code, text = run(*check, COMPOSE)
    assert code == 0, text
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("read_only:", "read_onyl:"), encoding="utf-8")
    assert run(*check, wrong)[0] != 0


@needs("hadolint")
def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    code, text = run("hadolint", "Dockerfile")
    assert (code, text) == (0, "")


@needs("kubernetes-validate")
@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_follow_the_schemas_of_kubernetes_and_a_misspelt_probe_would_be_found(
    version: str, tmp_path: Path
) -> None:
    check = ("kubernetes-validate", "-k", version, "--strict")
    code, text = run(*check, *MANIFESTS)
    assert code == 0, text
    wrong = tmp_path / "web.yaml"
    wrong.write_text((KUBERNETES / "web.yaml").read_text(encoding="utf-8").replace("livenessProbe", "livenesProbe"))
    assert run(*check, wrong)[0] != 0


def test_the_customization_lists_every_manifest() -> None:
    [customization] = documents(KUBERNETES / "kustomization.yaml")
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(customization["resources"]) == files


def test_compose_and_kubernetes_start_the_image_of_this_version() -> None:
    ours = {service["image"] for service in services().values() if "build" in service}
    assert ours == {f"zoho-user-count-poller:{__version__}"}
    [customization] = documents(KUBERNETES / "kustomization.yaml")
    assert [image["newTag"] for image in customization["images"]] == [__version__]


def test_no_pod_runs_as_root_writes_to_its_image_or_reads_the_clusters_token() -> None:
    assert {name for name, _ in pods()} == {"poller-migrate", "poller-worker", "poller-web"}
    for name, pod in pods():
        assert pod["enableServiceLinks"] is False, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert "memory" in container["resources"]["limits"], name


def test_liveness_never_asks_the_database_and_only_the_web_server_has_a_readiness_probe() -> None:
    probes = {name: {key: one["httpGet"]["path"] for key, one in pod["containers"][0].items() if key.endswith("Probe")}
              for name, pod in pods()}  # fmt: skip
    alive = {"livenessProbe": "/healthz", "startupProbe": "/healthz"}
    assert probes == {
        "poller-migrate": {},
        "poller-worker": alive,
        "poller-web": alive | {"readinessProbe": "/readyz"},
    }


def test_every_service_of_compose_is_limited_and_what_is_ours_is_hardened_and_has_no_secret_in_its_environment() -> (
    None
):
    started = services()
    assert set(started) == {"postgres", "migrate", "poller", "web", "proxy", "prometheus", "grafana", "demo"}
    for name, service in started.items():
        assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert "no-new-privileges:true" in service["security_opt"], name
        tag = service["image"].partition(":")[2]
        assert tag not in {"", "latest"}, name
        if name != "postgres":
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
    for name in ("migrate", "poller", "web", "demo"):
        assert started[name]["user"] == "10001:10001", name
    assert started["poller"]["deploy"]["replicas"] == 2
    for name in ("migrate", "poller", "web"):
        names = started[name]["environment"].keys()
        assert names <= VARIABLES, name
        assert not names & {"POLLER_DATABASE_URL", "POLLER_SECRET_KEYS", "POLLER_API_KEY"}, name


def test_every_file_that_compose_mounts_or_reads_exists_or_is_made_by_its_script() -> None:
    [file] = documents(COMPOSE)
    mounts = [one for service in file["services"].values() for one in service.get("volumes", ())]
    folders = [one.partition(":")[0] for one in mounts if one.startswith("./")]
    assert folders
    assert [one for one in folders if not (ROOT / one).exists()] == []
    script = (DEPLOY / "compose" / "make-secrets").read_text(encoding="utf-8")
    assert [name for name in file["secrets"] if f"\nput {name} " not in script] == []


@needs("promtool", "apt-get install prometheus")
def test_promtool_accepts_the_configuration_of_prometheus() -> None:
    code, text = run("promtool", "check", "config", "--syntax-only", DEPLOY / "prometheus" / "prometheus.yml")
    assert code == 0, text


@needs("systemd-analyze", "apt-get install systemd")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "poller.service"
    # The program and the user of the unit are not on this machine; everything else is checked.
    text = (DEPLOY / "poller.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/poller/.venv/bin/poller", "/bin/true").replace("User=poller", "User=daemon"))
    code, said = run("systemd-analyze", "verify", "--man=no", unit)
    assert (code, said) == (0, "")
    wrong = tmp_path / "wrong.service"
    wrong.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHoem=yes"))
    assert "ProtectHoem" in run("systemd-analyze", "verify", "--man=no", wrong)[1]
