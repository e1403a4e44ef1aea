"""The Helm chart and Argo CD's Applications render valid, secure and consistent objects.

`make helm-test` downloads helm and kubernetes-validate. Without them the tests that need them are
skipped.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import kubernetes.client
import psycopg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job
from dagster_k8s.launcher import K8sRunLauncher

from realtor_local.postgres import (
    DATABASES,
    ROLES,
    EmbeddedPostgres,
    find_binaries,
    temporary_postgres,
)

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/realtor"
ARGOCD = ROOT / "deploy/argocd"
VALUE_SETS = sorted([*CHART.glob("ci/*-values.yaml"), *CHART.glob("examples/*-values.yaml")])
MANAGED = CHART / "examples/managed-values.yaml"
EXTERNAL_SECRETS = CHART / "examples/external-secrets.yaml"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
COMPONENTS = SCHEMA["properties"]["components"]["items"]["enum"]
IN_CLUSTER = CHART / "ci/in-cluster-values.yaml"
PREFIX = "realtor-"
# Components that Argo CD does not sync automatically.
MANUALLY_SYNCED = {"postgres", "s3", "dagster"}
# Kinds of operators, which kubernetes-validate has no schema for.
OPERATOR_KINDS = {"ServiceMonitor", "PrometheusRule"}

Object = dict[str, Any]

needs_helm = pytest.mark.skipif(
    shutil.which("helm") is None, reason="helm is not on PATH; `make helm-test` downloads it"
)
needs_schemas = pytest.mark.skipif(
    shutil.which("kubernetes-validate") is None,
    reason="kubernetes-validate is not on PATH; `make helm-test` downloads it",
)


def helm(*arguments: str | Path) -> str:
    result = subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def template(*arguments: str | Path) -> list[Object]:
    text = helm("template", "realtor", CHART, "--namespace", "homes", *arguments)
    return [item for item in yaml.safe_load_all(text) if item]


def only(*components: str) -> tuple[str, str]:
    return ("--set", f"components={{{','.join(components)}}}")


def validate(objects: list[Object], folder: Path) -> None:
    file = folder / "objects.yaml"
    file.write_text(
        yaml.safe_dump_all(item for item in objects if item["kind"] not in OPERATOR_KINDS)
    )
    result = subprocess.run(
        ["kubernetes-validate", "--strict", "--quiet", file], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yields the name and the pod template of each workload."""
    for item in objects:
        spec = item.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield f"{item['kind']}/{item['metadata']['name']}", spec["template"]


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def run_job(objects: list[Object], folder: Path) -> Object:
    """The Job that Dagster's own code creates for a run from the cluster's dagster.yaml."""
    [text] = [item["data"]["dagster.yaml"] for item in objects if "dagster.yaml" in _data(item)]
    (folder / "dagster.yaml").write_text(text)
    data = InstanceRef.from_dir(str(folder)).run_launcher_data
    assert data is not None
    kubeconfig = folder / "kubeconfig"
    cluster = {"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "none", "context": {"cluster": "none", "user": "none"}}
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "clusters": [cluster],
                "contexts": [context],
                "users": [{"name": "none", "user": {}}],
                "current-context": "none",
            }
        )
    )
    launcher = K8sRunLauncher(
        **{**yaml.safe_load(data.config_yaml), "load_incluster_config": False},
        kubeconfig_file=str(kubeconfig),
    )
    context_of_run = K8sContainerContext.create_for_run(
        dg.DagsterRun(job_name="train"), launcher, include_run_tags=True
    )
    job = construct_dagster_k8s_job(
        job_config=context_of_run.get_k8s_job_config(
            job_image="ghcr.io/example/realtor-dagster:1", run_launcher=launcher
        ),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-1",
        component="run_worker",
        user_defined_k8s_config=context_of_run.run_k8s_config,
        labels={"dagster/run-id": "1"},
    )
    serialized: Object = kubernetes.client.ApiClient().sanitize_for_serialization(job)
    return serialized


def _data(item: Object) -> Object:
    return item.get("data", {}) if item["kind"] == "ConfigMap" else {}


@pytest.fixture(params=VALUE_SETS, ids=lambda path: path.stem)
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> list[Object]:
    """The objects that the chart renders with a value set, and the Job of a run."""
    objects = template("-f", request.param)
    return [*objects, run_job(objects, tmp_path)]


# -------------------------------------------------------------------------------- without any tool


def test_files_shared_with_compose_are_links() -> None:
    """Helm follows links; Argo CD follows those that stay in the repository."""
    linked = {
        item.name: str(item.resolve().relative_to(ROOT))
        for item in (CHART / "files").iterdir()
        if item.is_symlink() and not item.readlink().is_absolute()
    }
    assert linked == {
        "dagster.yaml": "dagster.yaml",
        "postgres.sql": "deploy/compose/init.sql",
        "rules": "deploy/observability/prometheus/rules",
        "dashboards": "deploy/observability/grafana/dashboards",
    }


@needs_helm
def test_package_contains_every_rule_and_dashboard(tmp_path: Path) -> None:
    helm("package", CHART, "--destination", tmp_path)
    [package] = tmp_path.iterdir()
    shared = [f"files/{name}" for name in ("dagster.yaml", "postgres.sql")]
    for folder in ("rules", "dashboards"):
        shared += [f"files/{folder}/{item.name}" for item in (CHART / "files" / folder).iterdir()]

    with tarfile.open(package) as archive:
        for name in shared:
            packed = archive.extractfile(f"{CHART.name}/{name}")
            assert packed is not None
            assert packed.read() == (CHART / name).read_bytes()
    rendered = template("-f", IN_CLUSTER)
    kinds = [item["kind"] for item in rendered]
    assert kinds.count("PrometheusRule") == len(list((CHART / "files/rules").iterdir()))
    names = [item["metadata"]["name"] for item in rendered]
    dashboards = [name for name in names if name.startswith("realtor-dashboard-")]
    assert len(dashboards) == len(list((CHART / "files/dashboards").iterdir()))


@pytest.mark.parametrize(
    "values",
    [
        {"images": {"tag": "latest"}},
        {"images": {"digests": {"service": "sha256:abc"}}},
        {"images": {"postgres": "postgres"}},
        {"components": ["dagster", "grafana"]},
        {"service": {"env": {"REALTOR_INFERENCE_LOG_URL": "postgresql://me:secret@db/raw"}}},
        {"dagster": {"env": {"AWS_SECRET_ACCESS_KEY": "secret"}}},
        {"secrets": {"password": "secret"}},
    ],
    ids=str,
)
def test_unsafe_values_are_refused(values: Object) -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(defaults, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, SCHEMA)


@pytest.mark.integration
def test_cluster_has_the_same_roles_and_databases_as_one_machine(
    postgres: EmbeddedPostgres,
) -> None:
    """Runs files/postgres.sql with psql, as the image does, on a server without these databases."""
    with temporary_postgres() as server:
        remove_roles_and_databases(server.admin_url)
        passwords = create_roles_and_databases(server.admin_url)
        connections = _connections(server.admin_url)
        assert len(connections) == (len(DATABASES) + 2) * len(ROLES)
        assert connections == _connections(postgres.admin_url)
        assert_roles_can_connect(server, passwords)


@pytest.mark.integration
def test_administrator_of_a_managed_server_creates_roles_and_databases() -> None:
    """As Amazon RDS and others have it: the administrator may create, but is no superuser."""
    with temporary_postgres() as server:
        remove_roles_and_databases(server.admin_url)
        with psycopg.connect(server.admin_url, autocommit=True) as connection:
            connection.execute("CREATE ROLE administrator LOGIN CREATEROLE CREATEDB PASSWORD 'x'")
            connection.execute("GRANT pg_monitor TO administrator WITH ADMIN OPTION")
        passwords = create_roles_and_databases(
            re.sub("//[^@]*@", "//administrator:x@", server.admin_url)
        )
        ours = [row for row in _connections(server.admin_url) if row[0] in DATABASES]
        for database, role, owns, connects in ours:
            assert owns == (DATABASES[database] == role), (database, role)
            assert connects == (ROLES[role][0] == database), (database, role)
        assert len(ours) == len(DATABASES) * len(ROLES)
        assert_roles_can_connect(server, passwords)


def remove_roles_and_databases(admin_url: str) -> None:
    """Leaves a server as PostgreSQL makes it."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for database in DATABASES:
            connection.execute(f'DROP DATABASE "{database}"')
        for role in ROLES:
            connection.execute(f'REVOKE ALL ON DATABASE postgres FROM "{role}"')
            connection.execute(f'DROP ROLE "{role}"')
        connection.execute("GRANT CONNECT ON DATABASE postgres, template1 TO PUBLIC")


def create_roles_and_databases(url: str) -> dict[str, str]:
    """Runs files/postgres.sql; returns the password by the name of its variable."""
    file = CHART / "files/postgres.sql"
    variables = re.findall(r"\\getenv \w+ (\w+)", file.read_text())
    passwords = {variable: f"it's {variable}" for variable in variables}
    subprocess.run(
        [find_binaries().folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, url],
        check=True,
        env={**os.environ, **passwords},
    )
    return passwords


def assert_roles_can_connect(server: EmbeddedPostgres, passwords: dict[str, str]) -> None:
    for role, (database, _) in ROLES.items():
        prefix = role.removeprefix("realtor_").upper()
        with psycopg.connect(
            host="127.0.0.1",
            port=server.cluster.port,
            user=role,
            dbname=database,
            password=passwords[f"{prefix}_DB_PASSWORD"],
        ) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)


def _connections(admin_url: str) -> list[tuple[Any, ...]]:
    """Rows of database, role, whether the role owns the database, whether it may connect."""
    with psycopg.connect(admin_url) as connection:
        return connection.execute(
            "SELECT datname, rolname, datdba = pg_roles.oid,"
            " has_database_privilege(rolname, datname, 'CONNECT')"
            " FROM pg_database, pg_roles WHERE datname = ANY(%s) AND rolname = ANY(%s)"
            " ORDER BY 1, 2",
            [[*DATABASES, "postgres", "template1"], list(ROLES)],
        ).fetchall()


# ------------------------------------------------------------------------------------- rendering


@needs_helm
@needs_schemas
@pytest.mark.parametrize("values", VALUE_SETS, ids=lambda path: path.stem)
def test_chart_is_valid(values: Path, tmp_path: Path) -> None:
    helm("lint", "--strict", CHART, "-f", values)
    objects = template("-f", values)
    validate([*objects, run_job(objects, tmp_path)], tmp_path)


@needs_helm
def test_releases_of_single_components_equal_one_release_of_all() -> None:
    whole = template("-f", IN_CLUSTER, *only(*COMPONENTS))
    parts = [item for name in COMPONENTS for item in template("-f", IN_CLUSTER, *only(name))]

    def key(item: Object) -> str:
        return f"{item['kind']}/{item['metadata']['name']}"

    assert sorted(whole, key=key) == sorted(parts, key=key)
    assert len({key(item) for item in parts}) == len(parts)


@needs_helm
@pytest.mark.parametrize(
    ("unset", "component", "message"),
    [
        ("secrets.databases", "mlflow", "secrets.databases is not set"),
        ("secrets.storage.pipeline", "s3", "secrets.storage.pipeline is not set"),
        ("secrets.service", "service", "secrets.service is not set"),
        ("secrets.service", "monitoring", "secrets.service is not set"),
        ("secrets.postgres", "postgres", "secrets.postgres is not set"),
        ("upstream.url", "dagster", "upstream.url is not set"),
        ("images.registry", "ui", "images.registry is not set"),
        ("secrets.storage.backup", "backup", "secrets.storage.backup is not set"),
    ],
)
def test_missing_value_is_named(unset: str, component: str, message: str) -> None:
    arguments = ["helm", "template", "realtor", CHART, "-f", IN_CLUSTER, *only(component)]
    result = subprocess.run(
        [*arguments, "--set", f"{unset}="], capture_output=True, text=True, timeout=60
    )
    assert result.returncode != 0
    assert message in result.stderr


# -------------------------------------------------------------------------------------- security


@needs_helm
def test_every_container_is_restricted(rendered: list[Object]) -> None:
    checked = 0
    for name, pod in pods(rendered):
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"]["type"] == "RuntimeDefault", name
        for volume in pod["spec"].get("volumes", []):
            assert "hostPath" not in volume, name
            assert volume.get("emptyDir", {"sizeLimit": ""}).get("sizeLimit") is not None, name
        for container in containers(pod):
            restrictions = container["securityContext"]
            assert restrictions["readOnlyRootFilesystem"] is True, name
            assert restrictions["allowPrivilegeEscalation"] is False, name
            assert restrictions["capabilities"] == {"drop": ["ALL"]}, name
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][kind]), name
            checked += 1
    assert checked >= 8


@needs_helm
def test_only_webserver_and_daemon_have_a_kubernetes_token(rendered: list[Object]) -> None:
    with_token = {
        name for name, pod in pods(rendered) if pod["spec"]["automountServiceAccountToken"]
    }
    assert with_token == {
        "Deployment/realtor-dagster-webserver",
        "Deployment/realtor-dagster-daemon",
    }
    [role] = [item for item in rendered if item["kind"] == "Role"]
    assert not any("*" in rule[what] for rule in role["rules"] for what in ("verbs", "resources"))
    assert "secrets" not in str(role["rules"])
    assert not any(item["kind"].startswith("ClusterRole") for item in rendered)


@needs_helm
def test_deployments_and_stateful_sets_have_probes(rendered: list[Object]) -> None:
    for name, pod in pods(rendered):
        if not name.startswith(("Job/", "CronJob/")):
            for container in pod["spec"]["containers"]:
                probes = {"startupProbe", "livenessProbe"}
                if "ports" in container:
                    probes.add("readinessProbe")
                assert probes <= set(container), name
    [service] = [pod for name, pod in pods(rendered) if name == "Deployment/realtor-service"]
    [container] = service["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    drain = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert service["spec"]["terminationGracePeriodSeconds"] > drain + 60


@needs_helm
def test_images_have_a_tag_or_digest(rendered: list[Object]) -> None:
    images = {item["image"] for _, pod in pods(rendered) for item in containers(pod)}
    for image in images:
        assert re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", image), image
        assert not image.endswith(":latest")


@needs_helm
def test_secret_variables_come_from_secrets(rendered: list[Object]) -> None:
    assert not any(item["kind"] == "Secret" for item in rendered)
    secret = re.compile(r"DATABASE_URL|POSTGRES_URL|LOG_URL|STORE_URI|PASSWORD|ACCESS_KEY|API_KEY$")
    checked = 0
    for name, pod in pods(rendered):
        for container in containers(pod):
            for variable in container.get("env", []):
                if secret.search(variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], (name, variable)
                    checked += 1
            assert not container.get("envFrom"), name
    assert checked > 20
    assert not re.search(r"postgresql://[^$]*:[^$]*@", yaml.safe_dump_all(rendered))


@needs_helm
def test_clients_have_keys_when_the_service_requires_keys_for_all_requests() -> None:
    keys_for_all = ("--set", "service.env.REALTOR_SERVICE_KEYS_FOR=all")
    parts = ("--set", "components={monitoring,dagster,service,ui,load}")
    objects = template("-f", IN_CLUSTER, *keys_for_all, *parts)
    [endpoint] = [
        item["spec"]["endpoints"][0]
        for item in objects
        if item["kind"] == "ServiceMonitor" and item["metadata"]["name"] == "realtor-service"
    ]
    secret = {"name": "realtor-service", "key": "REALTOR_PROMETHEUS_API_KEY"}
    assert endpoint["authorization"] == {"credentials": secret}
    keys = {
        (name, variable["name"])
        for name, pod in pods(objects)
        for container in containers(pod)
        for variable in container["env"]
        if variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == "realtor-service"
    }
    assert keys == {
        ("Deployment/realtor-dagster-code", "REALTOR_SERVICE_API_KEY"),
        ("Deployment/realtor-ui", "REALTOR_APP_API_KEY"),
        ("Job/realtor-load", "REALTOR_LOAD_API_KEY"),
        ("Job/realtor-test", "REALTOR_APP_API_KEY"),
    }


def made_by_external_secrets() -> dict[str, set[str]]:
    """Name and keys of each Secret that the example's ExternalSecrets make."""
    documents = list(yaml.safe_load_all(EXTERNAL_SECRETS.read_text()))
    stores = {item["metadata"]["name"] for item in documents if item["kind"] == "SecretStore"}
    secrets = {}
    for item in documents:
        assert item["apiVersion"] == "external-secrets.io/v1"
        if item["kind"] == "ExternalSecret":
            spec = item["spec"]
            assert spec["secretStoreRef"]["name"] in stores
            keys = set(spec.get("target", {}).get("template", {}).get("data", {}))
            keys |= {entry["secretKey"] for entry in spec.get("data", [])}
            secrets[item["metadata"]["name"]] = keys
    return secrets


@needs_helm
def test_external_secrets_make_every_secret_of_the_managed_example() -> None:
    needed: dict[str, set[str]] = {}
    for _, pod in pods(template("-f", MANAGED, *only(*set(COMPONENTS) - {"postgres", "s3"}))):
        for container in containers(pod):
            for variable in container.get("env", []):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    needed.setdefault(reference["name"], set()).add(reference["key"])
        for volume in pod["spec"].get("volumes", []):
            if "secret" in volume:
                keys = {item["key"] for item in volume["secret"]["items"]}
                needed.setdefault(volume["secret"]["secretName"], set()).update(keys)
    # Prometheus reads its key itself, from a service that requires keys for all requests.
    needed["realtor-service"].add("REALTOR_PROMETHEUS_API_KEY")

    assert made_by_external_secrets() == needed


def test_external_secrets_name_each_role_and_database() -> None:
    [databases] = [
        item["spec"]["target"]["template"]["data"]
        for item in yaml.safe_load_all(EXTERNAL_SECRETS.read_text())
        if item["metadata"]["name"] == "realtor-databases"
    ]
    named = set()
    for variable, url in databases.items():
        parts = re.fullmatch(
            r"postgresql://(\w+):\{\{ \.(\w+) \}\}@\{\{ \.host \}\}:5432/(\w+)\?sslmode=require",
            url,
        )
        assert parts, variable
        role, password, database = parts.groups()
        assert role.removeprefix("realtor_") == password
        named.add((role, database))
    assert named == {
        (role, database) for role, (database, _) in ROLES.items() if role != "exporter"
    }


@needs_helm
def test_helm_test_values_a_home_only_when_it_is_asked_to() -> None:
    objects = template("-f", MANAGED, *only("service"))
    [job] = [
        item for item in objects if item["metadata"].get("annotations", {}).get("helm.sh/hook")
    ]

    assert (job["kind"], job["metadata"]["annotations"]["helm.sh/hook"]) == ("Job", "test")
    [container] = containers(job["spec"]["template"])
    assert container["command"] == ["python", "-c"]
    [script] = container["args"]
    assert script.strip() == (CHART / "files/value_home.py").read_text().strip()


@needs_helm
def test_only_migration_and_backup_get_the_url_of_raws_owner(rendered: list[Object]) -> None:
    with_owner_url = [
        (name, container["name"])
        for name, pod in pods(rendered)
        for container in containers(pod)
        if any(item["name"] == "REALTOR_RAW_OWNER_DATABASE_URL" for item in container["env"])
    ]
    assert set(with_owner_url) - {("Job/realtor-restore", "backup")} == {
        ("CronJob/realtor-backup", "backup"),
        ("Deployment/realtor-dagster-code", "migrate"),
    }


@needs_helm
def test_backup_and_restore_have_the_same_variables_as_in_compose() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"]
    backup_name = "2026-11-24T03-00-00Z"
    options = (*only("backup", "mlflow"), "--set", f"backup.restore={backup_name}")
    objects = template("-f", IN_CLUSTER, *options)
    by_workload = {name: containers(pod)[0] for name, pod in pods(objects)}
    backup, restore = by_workload["CronJob/realtor-backup"], by_workload["Job/realtor-restore"]

    for container in (backup, restore):
        names = {item["name"] for item in container["env"]}
        assert names == set(compose["backup"]["environment"])
        assert container["command"] == compose["backup"]["entrypoint"]
    assert backup["args"] == ["backup", "/data/backups", "--keep", "30"]
    assert restore["args"] == ["restore", f"/data/backups/{backup_name}"]
    mlflow = {
        variable["name"]: variable.get("value")
        for variable in by_workload["Deployment/realtor-mlflow"]["env"]
    }
    [artifacts] = [item["value"] for item in backup["env"] if "ARTIFACTS" in item["name"]]
    assert artifacts == mlflow["MLFLOW_ARTIFACTS_DESTINATION"]
    [claim] = [item for item in objects if item["kind"] == "PersistentVolumeClaim"]
    for _, pod in pods(objects):
        for volume in pod["spec"]["volumes"]:
            if "persistentVolumeClaim" in volume:
                name = volume["persistentVolumeClaim"]["claimName"]
                assert name == claim["metadata"]["name"]


# --------------------------------------------------------------------------------------- network


@needs_helm
def test_every_pod_has_a_policy_and_the_default_denies(rendered: list[Object]) -> None:
    policies = [item["spec"] for item in rendered if item["kind"] == "NetworkPolicy"]
    [default] = [item for item in policies if item["podSelector"] == {}]
    assert default == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, pod in pods(rendered):
        labels = pod["metadata"]["labels"].items()
        own = [
            item
            for item in policies
            if item["podSelector"] and item["podSelector"]["matchLabels"].items() <= labels
        ]
        assert len(own) == 1, name
        assert own[0]["policyTypes"] == ["Ingress", "Egress"]


@needs_helm
def test_policies_allow_every_address_that_a_program_is_given() -> None:
    objects = template("-f", IN_CLUSTER, *only(*COMPONENTS))
    policies = {
        item["metadata"]["name"].removeprefix(PREFIX): item["spec"]
        for item in objects
        if item["kind"] == "NetworkPolicy"
    }
    services = {
        item["metadata"]["name"]: item["spec"]["ports"][0]
        for item in objects
        if item["kind"] == "Service"
    }
    connections = set()
    for _, pod in pods(objects):
        client = pod["metadata"]["labels"]["app.kubernetes.io/name"]
        for container in pod["spec"]["containers"]:
            for variable in container.get("env", []):
                url = re.fullmatch(r"http://([a-z0-9-]+):(\d+)", variable.get("value", ""))
                if url and url[1].startswith(PREFIX):
                    assert services[url[1]]["port"] == int(url[2])
                    connections.add((client, url[1].removeprefix(PREFIX), int(url[2])))
    assert ("ui", "service", 8080) in connections
    assert ("service", "mlflow", 5000) in connections
    assert ("backup", "s3", 8333) in connections
    # The addresses of databases come from secrets, so they are not in the variables above.
    assert _allows(policies["backup"]["egress"], "to", "postgres", 5432)
    for client, server, port in connections:
        assert _allows(policies[client]["egress"], "to", server, port), (client, server)
        assert _allows(policies[server]["ingress"], "from", client, port), (client, server)


def _allows(rules: list[Object], direction: str, peer: str, port: int) -> bool:
    return any(
        any(
            item.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name") == peer
            for item in rule[direction]
        )
        and any(item["port"] == port for item in rule["ports"])
        for rule in rules
    )


@needs_helm
def test_selectors_match_one_pod_each() -> None:
    objects = template("-f", IN_CLUSTER, *only(*COMPONENTS))
    labels = [pod["metadata"]["labels"].items() for _, pod in pods(objects)]
    checked = 0
    for item in objects:
        if item["kind"] in ("Service", "PodDisruptionBudget"):
            selector = item["spec"]["selector"]
            required = selector.get("matchLabels", selector).items()
            assert sum(required <= of_pod for of_pod in labels) == 1, item["metadata"]["name"]
            checked += 1
    assert checked > 8


# --------------------------------------------------------------------------------------- Argo CD


def applications() -> dict[str, Object]:
    return {item.stem: yaml.safe_load(item.read_text()) for item in ARGOCD.glob("apps/*.yaml")}


def test_every_component_has_an_application() -> None:
    apps = applications()
    assert set(apps) == set(COMPONENTS) - {"load"}
    for name, app in apps.items():
        assert app["metadata"]["name"] == PREFIX + name
        assert app["spec"]["source"]["helm"]["valuesObject"] == {"components": [name]}
        automated = app["spec"]["syncPolicy"].get("automated")
        assert automated == (None if name in MANUALLY_SYNCED else {"prune": True, "selfHeal": True})
    sources = {app["spec"]["source"]["repoURL"] for app in apps.values()}
    project = yaml.safe_load((ARGOCD / "project.yaml").read_text())["spec"]
    assert sources == set(project["sourceRepos"])
    wave = {
        name: int(app["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for name, app in apps.items()
    }
    assert wave["network"] < wave["postgres"] < wave["mlflow"] < wave["dagster"]


@needs_helm
@needs_schemas
@pytest.mark.parametrize("name", sorted(set(COMPONENTS) - {"load"}))
def test_application_renders_only_kinds_that_its_project_allows(name: str, tmp_path: Path) -> None:
    spec = applications()[name]["spec"]
    values = [(CHART / item).resolve() for item in spec["source"]["helm"]["valueFiles"]]
    objects = template(*(part for item in values for part in ("-f", item)), *only(name))
    validate(objects, tmp_path)
    project = yaml.safe_load((ARGOCD / "project.yaml").read_text())["spec"]
    allowed = {(item["group"], item["kind"]) for item in project["namespaceResourceWhitelist"]}
    for item in objects:
        group = item["apiVersion"].rpartition("/")[0]
        assert (group, item["kind"]) in allowed
    destinations = {item["namespace"] for item in project["destinations"]}
    assert spec["destination"]["namespace"] in destinations
