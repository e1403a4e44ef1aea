"""The workflows pin their actions and have few permissions, and their scripts work."""

import json
import os
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
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
IMAGES = {"dagster", "serving", "ui", "mlflow", "load"}


def load_workflow(path: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    workflow: dict[str, Any] = yaml.safe_load(path.read_text())
    return workflow


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_have_minimal_permissions_and_a_timeout(path: Path) -> None:
    workflow = load_workflow(path)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 60, name
        assert job["permissions"], name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.skipif(
    shutil.which("zizmor") is None or shutil.which("actionlint") is None,
    reason="zizmor and actionlint are not on PATH; `make helm-test` downloads them",
)
@pytest.mark.parametrize("command", [["actionlint"], ["zizmor", "--offline", ".github"]], ids=str)
def test_linters_report_no_problem(command: list[str]) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("realtor_ui/app.py", {"ui"}),
        ("realtor_serving/http/admission.py", {"dagster", "serving"}),
        ("realtor_serving/load_test/locustfile.py", {"dagster", "serving", "load"}),
        ("realtor_model/valuation/bundle.py", {"dagster", "serving"}),
        # The image runs backups and the stand-in upstream.
        ("realtor_local/backup.py", {"dagster"}),
        ("uv.lock", IMAGES),
        ("docs/MODEL.md", set()),
    ],
)
def test_only_images_with_changed_files_are_built(
    file: str, images: set[str], tmp_path: Path
) -> None:
    def git(*arguments: str) -> str:
        author = ["-c", "user.name=a tester", "-c", "user.email=tester@example.org"]
        result = subprocess.run(
            ["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return result.stdout.strip()

    def changed(before: str) -> set[str]:
        output = subprocess.run(
            [GITHUB / "changed-images.sh", before, "HEAD"],
            cwd=tmp_path, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        return set(json.loads(output.removeprefix("images=")))

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "before")
    before = git("rev-parse", "HEAD")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("new")
    git("add", "--all")
    git("commit", "--quiet", "-m", "after")

    assert changed(before) == images
    assert changed("0" * 40) == IMAGES
    assert changed("") == IMAGES


def test_images_are_published_only_after_compose_test() -> None:
    jobs = load_workflow(GITHUB / "workflows/images.yml")["jobs"]
    commands = [step["run"] for step in jobs["prove"]["steps"] if "run" in step]

    assert commands == ["make images", "make compose-test"]
    assert "prove" in jobs["publish"]["needs"]


def test_write_digests_updates_the_values_of_argo_cd(tmp_path: Path) -> None:
    values = tmp_path / "images.yaml"
    values.write_text((ROOT / "deploy/argocd/images.yaml").read_text())
    before = yaml.safe_load(values.read_text())["images"]
    folder = tmp_path / "digests"
    folder.mkdir()

    def write() -> int:
        command = [GITHUB / "write-digests.sh", folder, values]
        return subprocess.run(command, capture_output=True).returncode

    for value in (DIGEST, DIGEST.replace("0", "f")):
        (folder / "serving").write_text(f"{value}\n")
        assert write() == 0
        after = yaml.safe_load(values.read_text())["images"]
        assert after["digests"] == {**before["digests"], "serving": value}
        assert after["registry"] == before["registry"]
    (folder / "serving").write_text("latest\n")
    assert write() == 1
    (folder / "serving").unlink()
    (folder / "another").write_text(f"{DIGEST}\n")
    assert write() == 1
    assert set(before["digests"]) == IMAGES


# ------------------------------------------------------------------------------------- libraries

LOCK = """version = 1
[[package]]
name = "realtor"
source = { editable = "." }
"""
TESTS = """<testsuites><testsuite>
<testcase classname="tests.model.duel.test_judging" name="test_a"><failure>a</failure></testcase>
<testcase classname="tests.model.test_training" name="test_b[x.y]"><error/></testcase>
<testcase classname="tests.test_docs" name="test_c"><failure/></testcase>
<testcase classname="tests.ui.test_texts" name="test_d"><skipped/></testcase>
<testcase classname="" name="tests.serving.test_service"><error/></testcase>
<testcase classname="tests.serving.test_service" name="test_e"/>
</testsuite></testsuites>
"""


def package(name: str, version: str) -> str:
    return f'[[package]]\nname = "{name}"\nversion = "{version}"\n'


def rehearsal(folder: Path, steps: str, tests: str | None) -> str:
    (folder / "before").write_text(
        LOCK + package("numpy", "2.4.0") + package("old", "1") + package("same", "1")
    )
    (folder / "after").write_text(
        LOCK
        + package("numpy", "2.5.0")
        + package("numpy", "2.5.1")
        + package("new", "3")
        + package("same", "1")
    )
    if tests is not None:
        (folder / "tests.xml").write_text(tests)
    files = [folder / "before", folder / "after", folder / "tests.xml"]
    return subprocess.run(
        [sys.executable, GITHUB / "rehearsal.py", *files, "--steps", steps, "--run", "https://run"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_rehearsal_names_changed_packages_and_failing_folders(tmp_path: Path) -> None:
    text = rehearsal(tmp_path, "lock=success sync=success lint=success tests=failure", TESTS)

    assert "**Fails:** tests." in text
    assert "| `tests/model` | 2 |" in text
    assert "| `tests/serving` | 1 |" in text
    assert "| `tests` | 1 |" in text
    assert "tests/ui" not in text
    assert "- `tests.model.test_training.test_b[x.y]`" in text
    assert "3 packages change:" in text
    assert "| numpy | 2.4.0 | 2.5.0, 2.5.1 |" in text
    assert "| old | 1 | none |" in text
    assert "| new | none | 3 |" in text
    assert "same" not in text


def test_rehearsal_says_what_was_not_tried(tmp_path: Path) -> None:
    text = rehearsal(tmp_path, "lock=success sync=failure lint= tests=skipped", None)

    assert "**Fails:** sync." in text
    assert "Not tried: lint, tests." in text


def test_rehearsal_says_that_everything_passes(tmp_path: Path) -> None:
    text = rehearsal(tmp_path, "lock=success sync=success lint=success tests=success", "<x/>")

    assert "**Everything passes.**" in text


@pytest.mark.parametrize(
    ("result", "open_issue", "expected"),
    [
        ("failure", "", "issue create --title The newest libraries fail --body-file report.md"),
        ("failure", "7", "issue edit 7 --body-file report.md"),
        ("success", "7", "issue close 7 --comment The newest libraries pass again."),
        ("success", "", ""),
    ],
)
def test_one_issue_is_open_while_the_newest_libraries_fail(
    result: str, open_issue: str, expected: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    gh = tmp_path / "gh"
    gh.write_text(
        f'#!/bin/sh\nif [ "$2" = list ]; then echo "{open_issue}"; else echo "$@" >> "{log}"; fi\n'
    )
    gh.chmod(0o755)
    subprocess.run(
        [GITHUB / "report-rehearsal.sh", result, "report.md"],
        check=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )

    assert (log.read_text().strip() if log.exists() else "") == expected


def test_untried_libraries_run_without_rights() -> None:
    jobs = load_workflow(GITHUB / "workflows/libraries.yml")["jobs"]

    assert jobs["newest"]["permissions"] == {"contents": "read"}
    assert jobs["oldest"]["permissions"] == {"contents": "read"}
    assert not any("pytest" in step.get("run", "") for step in jobs["report"]["steps"])


def test_ci_tests_every_supported_python() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    job = load_workflow(GITHUB / "workflows/ci.yml")["jobs"]["test"]
    pythons = job["strategy"]["matrix"]["python"]
    default = (ROOT / ".python-version").read_text().strip()
    oldest = load_workflow(GITHUB / "workflows/libraries.yml")["jobs"]["oldest"]["env"]["UV_PYTHON"]

    assert described["requires-python"].startswith(f">={pythons[0]}")
    assert oldest == pythons[0]
    assert default in pythons
    assert f"matrix.python == '{default}'" in job["env"]["WHOLE"]
    for path in job["env"]["PART"].split():
        assert (ROOT / path).exists(), path
