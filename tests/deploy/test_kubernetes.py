"""The Helm chart and Argo CD's files: what they render is valid, safe, and hangs together.

helm and kubernetes-validate are fetched by `make helm-test`; without them these tests are skipped.
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
VALUE_SETS = sorted(CHART.glob("ci/*-values.yaml"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
COMPONENTS = SCHEMA["properties"]["components"]["items"]["enum"]
IN_CLUSTER = CHART / "ci/in-cluster-values.yaml"
PREFIX = "realtor-"
# What Argo CD leaves to a person.
BY_HAND = {"postgres", "s3", "dagster"}
# Kinds of which kubernetes-validate holds no schema: they are operators'.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}

Object = dict[str, Any]

needs_helm = pytest.mark.skipif(
    shutil.which("helm") is None, reason="helm is not on PATH: `make helm-test` fetches it"
)
needs_schemas = pytest.mark.skipif(
    shutil.which("kubernetes-validate") is None,
    reason="kubernetes-validate is not on PATH: `make helm-test` fetches it",
)


def helm(*arguments: str | Path) -> str:
    told = subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def template(*arguments: str | Path) -> list[Object]:
    text = helm("template", "realtor", CHART, "--namespace", "homes", *arguments)
    return [each for each in yaml.safe_load_all(text) if each]


def only(*components: str) -> tuple[str, str]:
    return ("--set", f"components={{{','.join(components)}}}")


def validate(objects: list[Object], folder: Path) -> None:
    file = folder / "objects.yaml"
    file.write_text(yaml.safe_dump_all(each for each in objects if each["kind"] not in FOREIGN))
    told = subprocess.run(
        ["kubernetes-validate", "--strict", "--quiet", file], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Name of the workload, pod template."""
    for each in objects:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield f"{each['kind']}/{each['metadata']['name']}", spec["template"]


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def run_job(objects: list[Object], folder: Path) -> Object:
    """The Job that Dagster makes for a run, by its own code from the cluster's dagster.yaml."""
    [text] = [each["data"]["dagster.yaml"] for each in objects if "dagster.yaml" in _data(each)]
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
    described: Object = kubernetes.client.ApiClient().sanitize_for_serialization(job)
    return described


def _data(each: Object) -> Object:
    return each.get("data", {}) if each["kind"] == "ConfigMap" else {}


@pytest.fixture(params=VALUE_SETS, ids=lambda path: path.stem)
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> list[Object]:
    """What a value set makes of the chart, and the pod of a run that it leads to."""
    objects = template("-f", request.param)
    return [*objects, run_job(objects, tmp_path)]


# -------------------------------------------------------------------------------- without any tool


def test_what_the_chart_shares_with_others_is_linked_and_not_copied() -> None:
    """Helm follows links; Argo CD does where they stay in the repository."""
    linked = {
        each.name: str(each.resolve().relative_to(ROOT))
        for each in (CHART / "files").iterdir()
        if each.is_symlink() and not each.readlink().is_absolute()
    }
    assert linked == {
        "dagster.yaml": "dagster.yaml",
        "postgres.sql": "deploy/compose/init.sql",
        "rules": "deploy/observability/prometheus/rules",
        "dashboards": "deploy/observability/grafana/dashboards",
    }


@needs_helm
def test_every_rule_and_dashboard_is_in_the_package_too(tmp_path: Path) -> None:
    helm("package", CHART, "--destination", tmp_path)
    [package] = tmp_path.iterdir()
    shared = [f"files/{name}" for name in ("dagster.yaml", "postgres.sql")]
    for folder in ("rules", "dashboards"):
        shared += [f"files/{folder}/{each.name}" for each in (CHART / "files" / folder).iterdir()]

    with tarfile.open(package) as archive:
        for name in shared:
            packed = archive.extractfile(f"{CHART.name}/{name}")
            assert packed is not None
            assert packed.read() == (CHART / name).read_bytes()
    rendered = template("-f", IN_CLUSTER)
    kinds = [each["kind"] for each in rendered]
    assert kinds.count("PrometheusRule") == len(list((CHART / "files/rules").iterdir()))
    told = [each for each in rendered if each["metadata"]["name"].startswith("realtor-dashboard-")]
    assert len(told) == len(list((CHART / "files/dashboards").iterdir()))


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
def test_values_that_would_do_harm_are_refused(values: Object) -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(defaults, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, SCHEMA)


@pytest.mark.integration
def test_the_clusters_databases_are_those_of_one_machine(postgres: EmbeddedPostgres) -> None:
    """files/postgres.sql, run by psql as the image does, on a server that has none of them."""
    file = CHART / "files/postgres.sql"
    variables = re.findall(r"\\getenv \w+ (\w+)", file.read_text())
    passwords = {variable: f"it's {variable}" for variable in variables}
    with temporary_postgres() as server:
        with psycopg.connect(server.admin_url, autocommit=True) as connection:
            for database in DATABASES:
                connection.execute(f'DROP DATABASE "{database}"')
            for role in ROLES:
                connection.execute(f'REVOKE ALL ON DATABASE postgres FROM "{role}"')
                connection.execute(f'DROP ROLE "{role}"')
            connection.execute("GRANT CONNECT ON DATABASE postgres, template1 TO PUBLIC")
        subprocess.run(
            [find_binaries().folder / "psql", "-X", "-q", "-f", file, server.admin_url],
            check=True,
            env={**os.environ, **passwords},
        )
        told = _connections(server.admin_url)
        assert len(told) == (len(DATABASES) + 2) * len(ROLES)
        assert told == _connections(postgres.admin_url)
        for role, (database, _) in ROLES.items():
            prefix = role.removeprefix("realtor_").upper()
            password = passwords[f"{prefix}_DB_PASSWORD"]
            with psycopg.connect(
                host="127.0.0.1",
                port=server.cluster.port,
                user=role,
                dbname=database,
                password=password,
            ) as connection:
                assert connection.execute("SELECT current_user").fetchone() == (role,)


def _connections(admin_url: str) -> list[tuple[Any, ...]]:
    """Database, role, whether the role owns the database, whether it may connect to it."""
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
def test_the_chart_is_valid(values: Path, tmp_path: Path) -> None:
    helm("lint", "--strict", CHART, "-f", values)
    objects = template("-f", values)
    validate([*objects, run_job(objects, tmp_path)], tmp_path)


@needs_helm
def test_releases_of_one_component_each_are_the_whole() -> None:
    whole = template("-f", IN_CLUSTER, *only(*COMPONENTS))
    parts = [each for name in COMPONENTS for each in template("-f", IN_CLUSTER, *only(name))]

    def key(each: Object) -> str:
        return f"{each['kind']}/{each['metadata']['name']}"

    assert sorted(whole, key=key) == sorted(parts, key=key)
    assert len({key(each) for each in parts}) == len(parts)


@needs_helm
@pytest.mark.parametrize(
    ("unset", "component", "told"),
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
def test_what_is_missing_is_named(unset: str, component: str, told: str) -> None:
    arguments = ["helm", "template", "realtor", CHART, "-f", IN_CLUSTER, *only(component)]
    refused = subprocess.run(
        [*arguments, "--set", f"{unset}="], capture_output=True, text=True, timeout=60
    )
    assert refused.returncode != 0
    assert told in refused.stderr


# -------------------------------------------------------------------------------------- security


@needs_helm
def test_every_container_is_confined(rendered: list[Object]) -> None:
    seen = 0
    for name, pod in pods(rendered):
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"]["type"] == "RuntimeDefault", name
        for volume in pod["spec"].get("volumes", []):
            assert "hostPath" not in volume, name
            assert volume.get("emptyDir", {"sizeLimit": ""}).get("sizeLimit") is not None, name
        for container in containers(pod):
            confined = container["securityContext"]
            assert confined["readOnlyRootFilesystem"] is True, name
            assert confined["allowPrivilegeEscalation"] is False, name
            assert confined["capabilities"] == {"drop": ["ALL"]}, name
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][kind]), name
            seen += 1
    assert seen >= 8


@needs_helm
def test_only_what_launches_runs_may_speak_to_kubernetes(rendered: list[Object]) -> None:
    with_token = {
        name for name, pod in pods(rendered) if pod["spec"]["automountServiceAccountToken"]
    }
    assert with_token == {
        "Deployment/realtor-dagster-webserver",
        "Deployment/realtor-dagster-daemon",
    }
    [role] = [each for each in rendered if each["kind"] == "Role"]
    assert not any("*" in rule[what] for rule in role["rules"] for what in ("verbs", "resources"))
    assert "secrets" not in str(role["rules"])
    assert not any(each["kind"].startswith("ClusterRole") for each in rendered)


@needs_helm
def test_what_runs_long_is_probed(rendered: list[Object]) -> None:
    for name, pod in pods(rendered):
        if not name.startswith(("Job/", "CronJob/")):
            for container in pod["spec"]["containers"]:
                wanted = {"startupProbe", "livenessProbe"}
                if "ports" in container:
                    wanted.add("readinessProbe")
                assert wanted <= set(container), name
    [service] = [pod for name, pod in pods(rendered) if name == "Deployment/realtor-service"]
    [container] = service["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    drain = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert service["spec"]["terminationGracePeriodSeconds"] > drain + 60


@needs_helm
def test_images_say_which_they_are(rendered: list[Object]) -> None:
    images = {each["image"] for _, pod in pods(rendered) for each in containers(pod)}
    for image in images:
        assert re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", image), image
        assert not image.endswith(":latest")


@needs_helm
def test_secrets_come_from_secrets(rendered: list[Object]) -> None:
    assert not any(each["kind"] == "Secret" for each in rendered)
    secret = re.compile(r"DATABASE_URL|POSTGRES_URL|LOG_URL|STORE_URI|PASSWORD|ACCESS_KEY|API_KEY$")
    found = 0
    for name, pod in pods(rendered):
        for container in containers(pod):
            for variable in container.get("env", []):
                if secret.search(variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], (name, variable)
                    found += 1
            assert not container.get("envFrom"), name
    assert found > 20
    assert not re.search(r"postgresql://[^$]*:[^$]*@", yaml.safe_dump_all(rendered))


@needs_helm
def test_a_service_that_asks_all_for_a_key_still_has_its_app_and_its_metrics() -> None:
    asks_all = ("--set", "service.env.REALTOR_SERVICE_KEYS_FOR=all")
    parts = ("--set", "components={monitoring,dagster,service,ui,load}")
    objects = template("-f", IN_CLUSTER, *asks_all, *parts)
    [endpoint] = [
        each["spec"]["endpoints"][0]
        for each in objects
        if each["kind"] == "ServiceMonitor" and each["metadata"]["name"] == "realtor-service"
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
    }


@needs_helm
def test_only_migration_and_backup_know_the_owner_of_raw(rendered: list[Object]) -> None:
    knowing = [
        (name, container["name"])
        for name, pod in pods(rendered)
        for container in containers(pod)
        if any(each["name"] == "REALTOR_RAW_OWNER_DATABASE_URL" for each in container["env"])
    ]
    assert set(knowing) - {("Job/realtor-restore", "backup")} == {
        ("CronJob/realtor-backup", "backup"),
        ("Deployment/realtor-dagster-code", "migrate"),
    }


@needs_helm
def test_the_backup_knows_what_composes_does_and_restores_what_it_saved() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"]
    made = "2026-11-24T03-00-00Z"
    chosen = (*only("backup", "mlflow"), "--set", f"backup.restore={made}")
    objects = template("-f", IN_CLUSTER, *chosen)
    told = {name: containers(pod)[0] for name, pod in pods(objects)}
    saves, restores = told["CronJob/realtor-backup"], told["Job/realtor-restore"]

    for container in (saves, restores):
        names = {each["name"] for each in container["env"]}
        assert names == set(compose["backup"]["environment"])
        assert container["command"] == compose["backup"]["entrypoint"]
    assert saves["args"] == ["backup", "/data/backups", "--keep", "30"]
    assert restores["args"] == ["restore", f"/data/backups/{made}"]
    mlflow = {each["name"]: each.get("value") for each in told["Deployment/realtor-mlflow"]["env"]}
    [artifacts] = [each["value"] for each in saves["env"] if "ARTIFACTS" in each["name"]]
    assert artifacts == mlflow["MLFLOW_ARTIFACTS_DESTINATION"]
    [claim] = [each for each in objects if each["kind"] == "PersistentVolumeClaim"]
    for _, pod in pods(objects):
        for volume in pod["spec"]["volumes"]:
            if "persistentVolumeClaim" in volume:
                name = volume["persistentVolumeClaim"]["claimName"]
                assert name == claim["metadata"]["name"]


# --------------------------------------------------------------------------------------- network


@needs_helm
def test_every_pod_has_a_policy_and_all_else_is_denied(rendered: list[Object]) -> None:
    policies = [each["spec"] for each in rendered if each["kind"] == "NetworkPolicy"]
    [default] = [each for each in policies if each["podSelector"] == {}]
    assert default == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, pod in pods(rendered):
        labels = pod["metadata"]["labels"].items()
        own = [
            each
            for each in policies
            if each["podSelector"] and each["podSelector"]["matchLabels"].items() <= labels
        ]
        assert len(own) == 1, name
        assert own[0]["policyTypes"] == ["Ingress", "Egress"]


@needs_helm
def test_whoever_is_told_an_address_may_go_there() -> None:
    objects = template("-f", IN_CLUSTER, *only(*COMPONENTS))
    policies = {
        each["metadata"]["name"].removeprefix(PREFIX): each["spec"]
        for each in objects
        if each["kind"] == "NetworkPolicy"
    }
    services = {
        each["metadata"]["name"]: each["spec"]["ports"][0]
        for each in objects
        if each["kind"] == "Service"
    }
    ways = set()
    for _, pod in pods(objects):
        client = pod["metadata"]["labels"]["app.kubernetes.io/name"]
        for container in pod["spec"]["containers"]:
            for variable in container.get("env", []):
                found = re.fullmatch(r"http://([a-z0-9-]+):(\d+)", variable.get("value", ""))
                if found and found[1].startswith(PREFIX):
                    assert services[found[1]]["port"] == int(found[2])
                    ways.add((client, found[1].removeprefix(PREFIX), int(found[2])))
    assert ("ui", "service", 8080) in ways
    assert ("service", "mlflow", 5000) in ways
    # Databases are told by secrets, the object store by a variable.
    assert ("backup", "s3", 8333) in ways
    assert _allows(policies["backup"]["egress"], "to", "postgres", 5432)
    for client, server, port in ways:
        assert _allows(policies[client]["egress"], "to", server, port), (client, server)
        assert _allows(policies[server]["ingress"], "from", client, port), (client, server)


def _allows(rules: list[Object], direction: str, peer: str, port: int) -> bool:
    return any(
        any(
            each.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name") == peer
            for each in rule[direction]
        )
        and any(each["port"] == port for each in rule["ports"])
        for rule in rules
    )


@needs_helm
def test_selectors_find_pods() -> None:
    objects = template("-f", IN_CLUSTER, *only(*COMPONENTS))
    labels = [pod["metadata"]["labels"].items() for _, pod in pods(objects)]
    found = 0
    for each in objects:
        if each["kind"] in ("Service", "PodDisruptionBudget"):
            selector = each["spec"]["selector"]
            wanted = selector.get("matchLabels", selector).items()
            assert sum(wanted <= one for one in labels) == 1, each["metadata"]["name"]
            found += 1
    assert found > 8


# --------------------------------------------------------------------------------------- Argo CD


def applications() -> dict[str, Object]:
    return {each.stem: yaml.safe_load(each.read_text()) for each in ARGOCD.glob("apps/*.yaml")}


def test_every_component_has_an_application() -> None:
    apps = applications()
    assert set(apps) == set(COMPONENTS) - {"load"}
    for name, app in apps.items():
        assert app["metadata"]["name"] == PREFIX + name
        assert app["spec"]["source"]["helm"]["valuesObject"] == {"components": [name]}
        automated = app["spec"]["syncPolicy"].get("automated")
        assert automated == (None if name in BY_HAND else {"prune": True, "selfHeal": True})
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
def test_an_application_renders_what_its_project_allows(name: str, tmp_path: Path) -> None:
    spec = applications()[name]["spec"]
    values = [(CHART / each).resolve() for each in spec["source"]["helm"]["valueFiles"]]
    objects = template(*(part for each in values for part in ("-f", each)), *only(name))
    validate(objects, tmp_path)
    project = yaml.safe_load((ARGOCD / "project.yaml").read_text())["spec"]
    allowed = {(each["group"], each["kind"]) for each in project["namespaceResourceWhitelist"]}
    for each in objects:
        group = each["apiVersion"].rpartition("/")[0]
        assert (group, each["kind"]) in allowed
    destinations = {each["namespace"] for each in project["destinations"]}
    assert spec["destination"]["namespace"] in destinations
