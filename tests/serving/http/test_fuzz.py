"""Whatever the OpenAPI allows or forbids gets an answer that the OpenAPI describes.

`pytest -n 0 --timeout 0 tests/serving/http/test_fuzz.py --fuzz-examples 2000` asks 20,000 times.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.running import Server

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.mark.integration
def test_every_answer_is_as_documented(
    service: Server, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    examples = request.config.getoption("--fuzz-examples")

    fuzzed = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{service.url}/docs.json",
            "--url", service.url, "--checks", ",".join(CHECKS), "--no-color",
            "--phases", "coverage,fuzzing", "--max-examples", str(examples), "--seed", "1",
            "--continue-on-failure", "--request-timeout", "30", "--generation-database", "none",
            "--suppress-health-check", "all", "--warnings", "off",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )  # fmt: skip

    assert fuzzed.returncode == 0, fuzzed.stdout[-6000:] + fuzzed.stderr
    passed = re.search(r"([\d,]+) generated, ([\d,]+) passed", fuzzed.stdout)
    assert passed is not None, fuzzed.stdout
    assert int(passed[1].replace(",", "")) >= 10 * examples
    assert service.get("/readyz").status_code == 200
