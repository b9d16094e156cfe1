"""Containerfile, compose.yaml and the manifests for Kubernetes: held against their schemas and against the package."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft7Validator

from ldv_otel._internal.config.variables import VARIABLES
from ldv_otel._internal.http.health import LIVE, READY

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
#: Of the compose specification, as its own library has it; with Go, `go mod download` puts it there.
COMPOSE_GO = "github.com/compose-spec/compose-go/v2@v2.4.9"
MANIFESTS = [
    manifest
    for name in yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    for manifest in yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text(encoding="utf-8"))
]


def test_every_variable_is_one_that_is_read() -> None:
    """In every file of deploy."""
    known = {variable.name for variable in VARIABLES}
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file():
            named = set(re.findall(r"\bLDV_[A-Z_]+", path.read_text(encoding="utf-8")))
            assert named <= known, path


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}"
)
def test_kubernetes_takes_it(manifest: dict[str, Any]) -> None:
    """By the schemas of the oldest and the newest version that are there."""
    for version in ("1.31", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.skipif(shutil.which("kustomize") is None, reason="kustomize is not installed")
def test_kustomize_renders_them() -> None:
    """In one namespace, with the settings under the name that it gives them, and valid again."""
    done = subprocess.run(
        ["kustomize", "build", str(DEPLOY / "kubernetes")], capture_output=True, text=True, check=True, timeout=60
    )
    rendered = list(yaml.safe_load_all(done.stdout))
    kinds = sorted(manifest["kind"] for manifest in rendered)
    assert kinds == ["ConfigMap", "Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service"]
    (name,) = (manifest["metadata"]["name"] for manifest in rendered if manifest["kind"] == "ConfigMap")
    for manifest in rendered:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
        assert manifest["metadata"]["namespace"] == "ldv"
        if manifest["kind"] in {"Deployment", "Job"}:
            (container,) = manifest["spec"]["template"]["spec"]["containers"]
            assert container["envFrom"] == [{"configMapRef": {"name": name}}]


def test_pods_are_closed_and_probed() -> None:
    """Nothing runs as root or writes to its image; probes are the addresses that the server has."""
    for manifest in MANIFESTS:
        if manifest["kind"] not in {"Deployment", "Job"}:
            continue
        pod = manifest["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all(volume["secret"]["defaultMode"] == 0o400 for volume in pod["volumes"] if "secret" in volume)
        if manifest["kind"] == "Deployment":
            paths = [container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("liveness", "startup", "readiness")]
            assert paths == [LIVE, LIVE, READY]


#: Becomes another user of group 0, and makes the directory of a Logboek.
_AS_ANOTHER_USER = """
import os, pathlib, sys
from ldv_otel._internal.config.private_directories import claim_directory
os.setgroups([])
os.setgid(0)
os.setuid(int(sys.argv[2]))
claim_directory(pathlib.Path(sys.argv[1]) / sys.argv[2], "--path")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_any_user_of_group_0_keeps_a_logboek_on_the_volume() -> None:
    """That of the image, and whatever a platform chooses; the directory is made by the Containerfile's own command."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    (step,) = re.findall(r"^RUN (install .+) /var/lib/ldv$", text, re.MULTILINE)
    (own,) = re.findall(r"^USER (\d+):0$", text, re.MULTILINE)
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        volume = Path(parent) / "volume"
        subprocess.run([*shlex.split(step), str(volume)], check=True)
        for user in (own, "4711"):
            subprocess.run([sys.executable, "-c", _AS_ANOTHER_USER, str(volume), user], check=True, timeout=300)
            assert (volume / user).stat().st_uid == int(user)


@pytest.mark.parametrize(
    ("file", "expected"), [("compose.yaml", ["tables", "serve"]), ("compose.embedded.yaml", ["logboek", "serve"])]
)
def test_compose_takes_it(file: str, expected: list[str]) -> None:
    """By the schema of the compose specification."""
    cache = Path(os.environ.get("GOMODCACHE", Path.home() / "go/pkg/mod"))
    schema = cache / COMPOSE_GO / "schema/compose-spec.json"
    if not schema.exists():
        pytest.skip(f"no schema of compose: go mod download {COMPOSE_GO}")
    content = yaml.safe_load((DEPLOY / file).read_text(encoding="utf-8"))
    errors = list(Draft7Validator(json.loads(schema.read_text(encoding="utf-8"))).iter_errors(content))
    assert not errors
    services = content["services"]
    ours = [name for name, service in services.items() if str(service.get("image")).startswith("ldv-")]
    assert ours == expected
    assert all(services[name]["read_only"] and services[name]["cap_drop"] == ["ALL"] for name in ours)
    for kind in ("secrets", "configs", "volumes", "networks"):
        used = {
            each["source"] if isinstance(each, dict) else each.partition(":")[0]
            for service in services.values()
            for each in service.get(kind, ())
        }
        assert used == set(content[kind])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_steps_of_the_containerfile(tmp_path: Path) -> None:
    """Its own commands in a plain directory give a program that runs."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    steps = re.findall(r"^RUN (.+)$", text, re.MULTILINE)
    build, serve = steps[0], next(step for step in steps if "[cli,api,export]" in step)
    for step in (build, serve):
        here = step.replace("python -m", f"{shlex.quote(sys.executable)} -m").replace("/src", str(ROOT))
        here = here.replace("/wheels", f"{tmp_path}/wheels").replace("/opt/ldv", f"{tmp_path}/ldv")
        done = subprocess.run(["/bin/sh", "-ec", here], capture_output=True, text=True, check=False, timeout=800)
        assert done.returncode == 0, done.stderr[-2_000:]
    clean = {"PATH": f"{tmp_path}/ldv/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"}
    entry, command = json.loads(re.findall(r"^ENTRYPOINT (.+)$", text, re.MULTILINE)[0]), ["--version"]
    done = subprocess.run([*entry, *command], env=clean, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("ldv ")
    assert not list((tmp_path / "ldv/lib").glob("**/chdb"))
    size = sum(path.stat().st_size for path in (tmp_path / "ldv").rglob("*") if path.is_file())
    assert size < 350e6, size
