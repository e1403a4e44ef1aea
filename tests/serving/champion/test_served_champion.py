"""The champion: found, verified, kept on disk, swapped under load, and served through failures."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from realtor_assets.resources import Database
from realtor_local.ports import free_port
from realtor_model.valuation.bundle import save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.champion import served_champion as champion_module
from realtor_serving.champion.champion_cache import ChampionCache, WorkerFile, living_workers
from realtor_serving.champion.model_registry import (
    RegisteredVersion,
    RegistryUnavailable,
    find_bundle,
)
from realtor_serving.champion.served_champion import (
    Champion,
    ChampionWatcher,
    NotEverywhere,
    RefusedModel,
)
from tests.serving.running import (
    HOUSE,
    ROOT,
    Server,
    make_model,
    run_server,
    run_service,
    wait_for,
)


@dataclass
class FolderRegistry:
    """A registry of folders: each version's bundle lies somewhere in its folder."""

    folder: Path
    alias: str | None = None
    up: bool = True
    downloads: list[str] = field(default_factory=list)

    def register(self, version: str, bundle: Path) -> None:
        shutil.copytree(bundle, self.folder / version / "artifacts" / "bundle")
        self.alias = version

    def production(self) -> RegisteredVersion | None:
        if not self.up:
            raise RegistryUnavailable("the registry does not answer")
        return RegisteredVersion(self.alias, f"run{self.alias}") if self.alias else None

    def download(self, registered: RegisteredVersion, folder: Path) -> Path:
        self.downloads.append(registered.version)
        shutil.copytree(self.folder / registered.version, folder / "files")
        return find_bundle(folder)


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    return FolderRegistry(tmp_path / "registry")


@pytest.fixture
def cache(tmp_path: Path) -> ChampionCache:
    return ChampionCache(tmp_path / "cache")


@pytest.fixture
def outcomes() -> list[str]:
    return []


@pytest.fixture
def watcher(
    cache: ChampionCache, registry: FolderRegistry, outcomes: list[str]
) -> Iterator[ChampionWatcher]:
    def observe(outcome: str, champion: Champion | None) -> None:
        outcomes.append(outcome)

    watcher = ChampionWatcher(cache, registry, poll_seconds=3600, observe=observe)
    yield watcher
    watcher.stop()


def break_bundle(path: Path) -> None:
    file = path / "profile.json"
    file.write_text(file.read_text() + " ")


def version(watcher: ChampionWatcher) -> str | None:
    return watcher.champion.registered.version if watcher.champion else None


def test_champion_follows_the_production_alias(
    watcher: ChampionWatcher, registry: FolderRegistry, bundle: Path
) -> None:
    watcher.start()
    assert watcher.champion is None
    assert watcher.reload().after is None

    registry.register("1", bundle)
    assert (watcher.reload().before, version(watcher)) == (None, "1")
    registry.register("2", bundle)
    assert watcher.reload().after == "2"
    registry.alias = "1"
    assert watcher.reload().after == "1"
    assert registry.downloads == ["1", "2"]


def test_broken_version_is_refused_once_and_the_old_one_is_served(
    watcher: ChampionWatcher, registry: FolderRegistry, bundle: Path, outcomes: list[str]
) -> None:
    watcher.start()
    registry.register("1", bundle)
    watcher.reload()
    registry.register("2", bundle)
    break_bundle(registry.folder / "2" / "artifacts" / "bundle")

    with pytest.raises(RefusedModel, match=r"version 2 was refused.*profile\.json"):
        watcher.reload()

    assert version(watcher) == "1"
    assert outcomes == ["loaded", "refused"]
    watcher._check(again=False)
    assert registry.downloads == ["1", "2"], "a refused version is not downloaded at every poll"

    shutil.rmtree(registry.folder / "2")
    registry.register("2", bundle)
    assert watcher.reload().after == "2", "asked to, it tries again"


def test_a_version_without_a_bundle_is_refused(
    watcher: ChampionWatcher, registry: FolderRegistry
) -> None:
    watcher.start()
    (registry.folder / "1").mkdir(parents=True)
    registry.alias = "1"

    with pytest.raises(RefusedModel, match="holds 0 bundles"):
        watcher.reload()


def test_it_serves_on_when_the_registry_is_down(
    watcher: ChampionWatcher, registry: FolderRegistry, bundle: Path
) -> None:
    watcher.start()
    registry.register("1", bundle)
    watcher.reload()
    registry.up = False

    with pytest.raises(RegistryUnavailable):
        watcher.reload()

    assert version(watcher) == "1"


def test_it_starts_from_the_cache_alone(
    watcher: ChampionWatcher, registry: FolderRegistry, cache: ChampionCache, bundle: Path
) -> None:
    watcher.start()
    registry.register("1", bundle)
    watcher.reload()

    again = ChampionWatcher(cache, None)
    again.start()
    again.stop()

    assert version(again) == "1"
    assert again.champion is not None
    assert again.champion.stage == "Production"
    assert again.champion.loaded_at == watcher.champion.loaded_at  # type: ignore[union-attr]


def test_worker_follows_the_version_of_another_worker(
    watcher: ChampionWatcher, registry: FolderRegistry, cache: ChampionCache, bundle: Path
) -> None:
    follower = ChampionWatcher(cache, None)
    follower.start()
    try:
        watcher.start()
        registry.register("1", bundle)
        watcher.reload()
        wait_for(lambda: version(follower) == "1", "the follower", seconds=20)
    finally:
        follower.stop()


def test_a_reload_is_over_when_every_worker_serves_it(
    watcher: ChampionWatcher, registry: FolderRegistry, cache: ChampionCache, bundle: Path
) -> None:
    followers = [ChampionWatcher(cache, None) for _ in range(3)]
    registry.register("1", bundle)
    for each in (watcher, *followers):
        each.start()
    try:
        watcher.reload()
        assert [version(each) for each in followers] == ["1"] * 3
        registry.register("2", bundle)
        watcher.reload()
        assert [version(each) for each in followers] == ["2"] * 3
        assert [each.version for each in living_workers(cache)] == ["2"] * 4
    finally:
        for each in followers:
            each.stop()
    assert len(living_workers(cache)) == 1


def test_a_reload_names_the_worker_that_stays_behind(
    watcher: ChampionWatcher,
    registry: FolderRegistry,
    cache: ChampionCache,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(champion_module, "WORKERS_SECONDS", 0.3)
    watcher.start()
    registry.register("1", bundle)
    stuck = WorkerFile(cache)
    stuck.report(None, "0", None)

    with pytest.raises(NotEverywhere, match=r"version 1 is served by 1 of 2 .* serves 0"):
        watcher.reload()

    pointer = cache.current()
    stuck.report(pointer, "0", "it is broken")
    with pytest.raises(NotEverywhere, match="it is broken"):
        watcher.reload()
    stuck.report(pointer, "1", None)
    assert watcher.reload().after == "1"
    stuck.close()


def test_a_killed_worker_is_not_waited_for(
    watcher: ChampionWatcher, registry: FolderRegistry, cache: ChampionCache, bundle: Path
) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from realtor_serving.champion.champion_cache import ChampionCache, WorkerFile;"
        "WorkerFile(ChampionCache(Path(sys.argv[1]))).report(None, '0', None);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(cache.folder)], cwd=ROOT)
    assert len(list(cache.workers.iterdir())) == 2
    watcher.start()
    registry.register("1", bundle)

    assert watcher.reload().after == "1"
    assert len(list(cache.workers.iterdir())) == 1


def test_a_refusal_is_forgotten_in_time(
    watcher: ChampionWatcher, registry: FolderRegistry, cache: ChampionCache, bundle: Path
) -> None:
    watcher.start()
    registry.register("1", bundle)
    watcher.reload()
    registry.register("2", bundle)
    registered = RegisteredVersion("2", "run2")
    cache.refuse(registered, "cut short")
    assert watcher._check(again=False) == "cut short"

    os.utime(cache.folder / f"{registered.key}.refused", (0, 0))

    assert watcher._check(again=False) is None
    assert version(watcher) == "2"


def test_corrupt_cached_copy_is_fetched_again(
    watcher: ChampionWatcher, registry: FolderRegistry, cache: ChampionCache, bundle: Path
) -> None:
    registry.register("1", bundle)
    watcher.start()
    watcher.reload()
    break_bundle(cache.path(RegisteredVersion("1", "run1")))

    late = ChampionWatcher(cache, registry, poll_seconds=3600)
    late.start()
    try:
        wait_for(lambda: version(late) == "1", "the mended copy", seconds=20)
    finally:
        late.stop()

    assert registry.downloads == ["1", "1"]


def test_unreadable_pointer_is_ignored(
    watcher: ChampionWatcher, registry: FolderRegistry, cache: ChampionCache, bundle: Path
) -> None:
    (cache.folder / "current.json").write_text('{"version": "1"')
    registry.register("2", bundle)

    watcher.start()

    assert watcher.reload().after == "2"
    assert json.loads((cache.folder / "current.json").read_text())["version"] == "2"


def test_the_packaged_bundle_serves_until_the_registry_speaks(
    registry: FolderRegistry, cache: ChampionCache, bundle: Path
) -> None:
    watcher = ChampionWatcher(
        cache, registry, packaged=(bundle, RegisteredVersion("1", "run1")), poll_seconds=3600
    )
    registry.up = False
    watcher.start()
    try:
        assert watcher.champion is not None
        assert watcher.champion.stage == "Packaged"
        registry.up = True
        registry.register("1", bundle)
        assert watcher.reload().after == "1"
        assert watcher.champion.stage == "Production"
    finally:
        watcher.stop()


def test_only_the_newest_versions_stay_in_the_cache(
    watcher: ChampionWatcher, registry: FolderRegistry, cache: ChampionCache, bundle: Path
) -> None:
    watcher.start()
    for number in "12345":
        registry.register(number, bundle)
        watcher.reload()
    (cache.folder / ".download-abandoned").mkdir()
    registry.alias = "4"
    watcher.reload()

    kept = {path.name for path in cache.folder.iterdir() if path.is_dir()}
    kept.remove("workers")
    assert kept == {"3-run3", "4-run4", "5-run5"}


@contextmanager
def mlflow_server(folder: Path, backend: str) -> Iterator[Server]:
    port = str(free_port())
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port,
        "--workers", "1",
        "--artifacts-destination", f"file://{folder}/artifacts", "--serve-artifacts",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": backend,
    }
    with run_server(command, url, "/health", folder, environment) as server:
        yield server


def register(uri: str, bundle: Path, script: Path) -> Callable[[str], None]:
    """Two versions on a real server, logged as the platform does; returns what moves the alias."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    mlflow.set_tracking_uri(uri)
    # Where another test of this process registered, nobody answers any more.
    mlflow.set_registry_uri(uri)
    mlflow.set_experiment("champion test")
    for _ in range(2):
        with mlflow.start_run():
            mlflow.pyfunc.log_model(
                name="model",
                python_model=str(script),
                artifacts={"bundle": str(bundle)},
                registered_model_name="realtor-price",
                pip_requirements=[],
            )
    return lambda number: client.set_registered_model_alias("realtor-price", "production", number)


PYFUNC = """
import mlflow

class Valuation(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input

mlflow.models.set_model(Valuation())
"""


@pytest.mark.integration
def test_swapped_under_load_and_alive_without_mlflow(
    tmp_path: Path, bundle: Path, databases: Callable[[], Database]
) -> None:
    script = tmp_path / "pyfunc_model.py"
    script.write_text(PYFUNC)
    with mlflow_server(tmp_path / "mlflow", databases().url) as mlflow:
        point_at = register(mlflow.url, bundle, script)
        variables = {"MLFLOW_TRACKING_URI": mlflow.url, "REALTOR_CHAMPION_POLL_SECONDS": "1"}
        with run_service(tmp_path / "service", **variables) as service:
            refused = service.post("/predict", HOUSE)
            assert refused.status_code == service.get("/health").status_code == 503
            assert "realtor train" in refused.json()["error"]
            assert service.post("/reload-model", {}).status_code == 503

            point_at("1")
            # The watch may have been quicker: what counts is what is served after it.
            assert reload(service)["after"] == "1"
            answers, stop = swap_under_load(service, lambda: point_at("2"))
            assert stop == "2"
            assert {status for status, _ in answers} == {200}
            assert [number for _, number in answers if number not in ("1", "2")] == []

            mlflow.stop(signal.SIGKILL)
            assert service.post("/predict", HOUSE).status_code == 200
            down = service.post("/reload-model", {})
            assert down.status_code == 503
            assert "keeps the model it has" in down.json()["error"]
            assert down.json()["code"] == "registry_unavailable"
        with run_service(tmp_path / "service", **variables) as service:
            health = service.get("/health").json()
            assert health["model"]["version"] == "2"
            assert health["model"]["stage"] == "Production"


def reload(service: Server) -> dict[str, object]:
    """What a reload tells; a 503 says that MLflow did not answer just then: ask again."""
    answers: list[httpx.Response] = []

    def reloaded() -> bool:
        answers.append(service.post("/reload-model", {}))
        assert answers[-1].status_code in (200, 503), answers[-1].text
        return answers[-1].is_success

    wait_for(reloaded, "MLflow to name the model")
    told: dict[str, object] = answers[-1].json()
    return told


def swap_under_load(service: Server, swap: Callable[[], None]) -> tuple[list[tuple[int, str]], str]:
    """Ask both workers all the time while `swap` moves the alias, until both have moved."""
    answers: list[tuple[int, str]] = []
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=60) as client:
            while not done.is_set():
                answer = client.post(f"{service.url}/predict", json=HOUSE)
                answers.append((answer.status_code, answer.json()["model"]["version"]))

    assert _all_at(service, "1"), "a reload is over when both workers serve the new version"
    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        swap()
        wait_for(lambda: _all_at(service, "2"), "both workers to serve version 2")
    finally:
        done.set()
        for asker in askers:
            asker.join()
    return answers, service.get("/model-info").json()["version"]


def _all_at(service: Server, number: str) -> bool:
    """Whether 20 new connections, which reach either worker, all meet version `number`."""
    return all(
        (answer := service.get("/health")).is_success
        and answer.json()["model"]["version"] == number
        for _ in range(20)
    )


def test_bundle_is_found_at_any_depth(tmp_path: Path, model: ValuationModel) -> None:
    save_bundle(model, tmp_path / "artifacts" / "deep" / "bundle")
    (tmp_path / "manifest.json").write_text("{}")

    assert find_bundle(tmp_path) == tmp_path / "artifacts" / "deep" / "bundle"


def test_another_model_gives_another_champion(
    watcher: ChampionWatcher, registry: FolderRegistry, bundle: Path, tmp_path: Path
) -> None:
    save_bundle(make_model(seed=5, candidate="linear_regression"), tmp_path / "other")
    registry.register("1", bundle)
    watcher.start()
    watcher.reload()
    first = watcher.champion
    registry.register("2", tmp_path / "other")
    watcher.reload()

    assert first is not None
    assert watcher.champion is not None
    assert (first.model.candidate, watcher.champion.model.candidate) == (
        "xgboost",
        "linear_regression",
    )
    assert first.bundle_sha256 != watcher.champion.bundle_sha256
