"""ONNX Runtime's telemetry is off wherever it is imported: it writes no device id, and reports to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.layout import PACKAGES, ROOT, imports_of

SILENT = {
    "python_backend/trimode/engines/onnx": "trimode.engines.onnx",
    "convert/trimode_convert": "trimode_convert",
    "perf/trimode_perf/gpu": "trimode_perf.gpu",
    "tests": "tests",
}
"""The folders whose files may import ONNX Runtime, and the package that switches its telemetry off before they do."""


def importers() -> set[Path]:
    places = {**PACKAGES, "tests": ROOT / "tests"}
    named = {
        path
        for package in places.values()
        for path in package.rglob("*.py")
        if any(name.split(".")[0] == "onnxruntime" for name in imports_of(path, package))
    }
    by_name = {path for path in PACKAGES["trimode_perf"].rglob("*.py") if '_imported("onnxruntime"' in path.read_text()}
    return named | by_name


def test_only_silent_packages_import_onnx_runtime() -> None:
    found = importers()
    assert len(found) > 5
    assert {path for path in found if not any(path.is_relative_to(ROOT / folder) for folder in SILENT)} == set()


@pytest.mark.parametrize("package", SILENT.values())
def test_a_package_switches_telemetry_off_before_onnx_runtime_is_imported(package: str) -> None:
    code = f"import os, sys, {package}; print(os.environ.get('ORT_DISABLE_TELEMETRY'), 'onnxruntime' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("1 False\n", 0), done.stderr


def test_the_container_switches_telemetry_off() -> None:
    assert "ENV ORT_DISABLE_TELEMETRY=1\n" in (ROOT / "build" / "Dockerfile").read_text()


def test_building_a_bundle_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    (home := tmp_path / "home").mkdir()
    out = str(tmp_path / "bundle")
    command = [sys.executable, "-m", "trimode_convert", str(ROOT / "checkpoints" / "nano"), "--out", out]
    environment |= {"HOME": str(home)}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=600)
    assert list(home.rglob("*")) == []
