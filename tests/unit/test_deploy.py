"""What is in ``deploy/`` and the compose file: configs that load, and services that start the program as it
is and give it the time that its end takes.
"""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.doc_blocks import ROOT
from support.doc_checks import command_fault
from support.servers import needs

from tracesieve.config.loading import load_settings
from tracesieve.run.shutdown import END_S

DEPLOY = ROOT / "deploy"
BY_KIND = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
POD = BY_KIND["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
# What Kubernetes knows of each field that the manifest uses: a misspelt one would be ignored or refused.
KNOWN = {
    "Deployment": {"replicas", "strategy", "selector", "template"},
    "pod": {"terminationGracePeriodSeconds", "securityContext", "containers", "volumes"},
    "container": {
        *("name", "image", "args", "envFrom", "ports", "startupProbe", "livenessProbe", "readinessProbe"),
        *("resources", "securityContext", "volumeMounts"),
    },
}


@pytest.fixture
def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "tracesieve.service")
    return parser["Service"]


def loaded(folder: Path, text: str) -> Any:
    file = folder / "tracesieve.yaml"
    file.write_text(text)
    return load_settings(file)


def test_the_unit_starts_the_program_and_leaves_it_the_time_that_its_end_takes(
    unit: configparser.SectionProxy,
) -> None:
    program, *arguments = shlex.split(unit["ExecStart"])
    assert program.endswith("/bin/tracesieve")
    assert command_fault(["tracesieve", *arguments]) is None
    assert int(unit["TimeoutStopSec"].removesuffix("s")) > END_S
    assert (unit["Restart"], unit["RestartPreventExitStatus"]) == ("on-failure", "2")
    # Everything that is written lies where systemd lets the service write.
    variables = dict(one.split("=", 1) for one in unit["Environment"].split())
    assert variables["TRACESIEVE_STORE"].startswith(f"/var/lib/{unit['StateDirectory']}/")
    assert variables["XDG_CACHE_HOME"] == f"/var/cache/{unit['CacheDirectory']}"
    assert unit["ProtectSystem"] == "strict"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "tracesieve.service").read_text()
    here = text.replace("/opt/tracesieve/bin/tracesieve", needs("true")).replace(
        "User=tracesieve", "User=root"
    )
    (tmp_path / "tracesieve.service").write_text(here)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "tracesieve.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "tracesieve.service:" in done.stderr) == (0, False), done.stderr


def test_the_manifest_has_fields_that_there_are_and_names_that_fit() -> None:
    assert set(BY_KIND) == {"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service"}
    deployment = BY_KIND["Deployment"]
    assert deployment["apiVersion"] == "apps/v1"
    assert set(deployment["spec"]) <= KNOWN["Deployment"]
    assert set(POD) <= KNOWN["pod"]
    assert set(CONTAINER) <= KNOWN["container"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == BY_KIND["Service"]["spec"]["selector"]
    volumes = {one["name"]: one for one in POD["volumes"]}
    assert {one["name"] for one in CONTAINER["volumeMounts"]} == set(volumes)
    assert volumes["config"]["configMap"]["name"] == BY_KIND["ConfigMap"]["metadata"]["name"]
    claim = volumes["store"]["persistentVolumeClaim"]["claimName"]
    assert claim == BY_KIND["PersistentVolumeClaim"]["metadata"]["name"]


def test_the_pod_is_one_writes_where_it_may_and_is_asked_where_it_answers(tmp_path: Path) -> None:
    deployment = BY_KIND["Deployment"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")
    assert POD["terminationGracePeriodSeconds"] > END_S
    assert command_fault(["tracesieve", *CONTAINER["args"]]) is None
    settings = loaded(tmp_path, BY_KIND["ConfigMap"]["data"]["tracesieve.yaml"])
    mounts = {one["mountPath"]: one.get("readOnly", False) for one in CONTAINER["volumeMounts"]}
    assert mounts[settings.store] is False
    assert str(Path(settings.source.table).parent) in mounts
    assert CONTAINER["args"][-1] in {f"/config/{name}" for name in BY_KIND["ConfigMap"]["data"]}
    (port,) = CONTAINER["ports"]
    assert settings.metrics is not None
    assert settings.metrics.listen == f"0.0.0.0:{port['containerPort']}"
    paths = {CONTAINER[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert paths == {"/readyz", "/healthz"}
    # The image's own user, who may write the store.
    image = (DEPLOY / "Dockerfile").read_text()
    assert f"--uid {POD['securityContext']['runAsUser']} " in image
    assert POD["securityContext"]["fsGroup"] == POD["securityContext"]["runAsGroup"]


def test_the_composed_config_and_prometheus_name_the_services_that_are_there() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    settings = load_settings(DEPLOY / "tracesieve.yaml")
    (receiver,) = settings.sinks["alerts.alertmanager"]
    uris = [settings.source.tracking_uri, settings.sinks["mlflow"].tracking_uri, receiver.url]  # type: ignore[attr-defined]
    assert {uri.removeprefix("http://").partition(":")[0] for uri in uris} == {"mlflow", "alertmanager"}
    assert {"mlflow", "alertmanager", "prometheus", "tracesieve"} == set(services)
    assert (
        f"mlflow=={services['mlflow']['image'].rpartition(':v')[2]}" in (ROOT / "pyproject.toml").read_text()
    )
    grace = int(services["tracesieve"]["stop_grace_period"].removesuffix("s"))
    assert grace > END_S
    scraped = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["tracesieve:9464"]}]
    done = subprocess.run(
        [needs("promtool"), "check", "config", "--syntax-only", str(DEPLOY / "prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
