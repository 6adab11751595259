"""make sbom: a valid CycloneDX list of the locked versions, and every licence's text."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from scripts.sbom.__main__ import main
from scripts.sbom.bom import PROJECT
from scripts.sbom.installed import Package
from scripts.sbom.notices import NO_TEXT, RULE
from tests.deploy.served import SERVING
from tests.support.layout import ROOT

TAKES_GPU = "serve,convert,gpu"
PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"


@pytest.fixture(scope="module")
def packages() -> Path:
    return Path(subprocess.check_output([SERVING, "-c", PURELIB], text=True).strip())


@pytest.fixture(scope="module")
def extras(packages: Path) -> str:
    """Those of the image; without its GPU's where .venv is made for serving alone."""
    return TAKES_GPU if any(packages.glob("cuda_bindings-*")) else "serve,convert"


@pytest.fixture(scope="module")
def written(packages: Path, extras: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sbom")
    assert main(["--packages", str(packages), "--extras", extras, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def listed(written: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((written / "trimode.cdx.json").read_text(encoding="utf-8"))
    return found


def test_the_list_is_valid(written: Path) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    text = (written / "trimode.cdx.json").read_text(encoding="utf-8")
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"type": "library"', '"type": "no-type"', 1)) is not None


def test_every_package_has_the_version_of_the_lock(listed: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    locked = {
        canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines) if version
    }
    ours = [one for one in listed["components"] if one.get("purl", "").startswith("pkg:pypi/")]
    found = {one["name"]: one["version"] for one in ours}
    assert {"numpy", "onnxruntime", "tokenizers", "llguidance", "tritonclient", "onnx"} <= set(found)
    assert {name: version for name, version in found.items() if locked.get(name) != version} == {}
    assert not {"pytest", "ruff", "nvidia-pytriton"} & set(found)  # the environment has them, the image has not


def test_the_image_below_and_the_project_are_named(listed: dict[str, Any]) -> None:
    (image,) = (one for one in listed["components"] if one["type"] == "container")
    assert image["name"] == "nvcr.io/nvidia/tritonserver"
    assert listed["metadata"]["component"]["name"] == PROJECT
    assert listed["metadata"]["component"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]


def test_what_is_copied_into_the_project_is_named(listed: dict[str, Any]) -> None:
    found = {one["purl"]: one["licenses"] for one in listed["components"] if one.get("purl", "").startswith("pkg:npm/")}
    assert found["pkg:npm/htm@3.1.1"] == [{"license": {"id": "Apache-2.0"}}]
    assert {name.partition("@")[0] for name in found} == {"pkg:npm/htm", "pkg:npm/preact"}
    packages = ("python_backend", "convert", "client", "model_repository")
    folders = [path for name in packages for path in (ROOT / name).rglob("vendor*") if path.is_dir()]
    assert [path.name for path in folders] == ["vendor"]  # the only one, which the list is made from


def test_what_needs_what_is_in_the_list(listed: dict[str, Any]) -> None:
    needs = {re.split("==|:", one["ref"])[0]: one.get("dependsOn", []) for one in listed["dependencies"]}
    assert any(one.startswith("numpy==") for one in needs["onnxruntime"])
    assert any(one.startswith("markupsafe==") for one in needs["jinja2"])


def test_every_package_has_its_licence_in_the_notices(written: Path, listed: dict[str, Any]) -> None:
    text = (written / "THIRD_PARTY_NOTICES").read_text(encoding="utf-8")
    entries = {part.split(" ", 1)[0].strip() for part in text.split(f"{RULE}\n")[1:]}
    assert {one["name"] for one in listed["components"] if one["type"] == "library"} <= entries
    assert NO_TEXT + "\n\n" not in text
    assert "Permission is hereby granted, free of charge" in text  # MIT's


def test_what_is_not_installed_is_named(packages: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--packages", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert f"{tmp_path} lacks trimode[" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("License-Expression: MIT", "MIT"),
        ("License: BSD 3-Clause", "BSD 3-Clause"),
        ("License: a text\n        of two lines\nClassifier: License :: OSI Approved :: ISC License", "ISC License"),
        ("License: UNKNOWN", ""),
    ],
)
def test_a_licence_is_what_the_metadata_says(head: str, licence: str, tmp_path: Path) -> None:
    (folder := tmp_path / "one-1.dist-info").mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: one\nVersion: 1\n{head}\n")
    assert Package("one", PathDistribution(folder)).licence == licence
