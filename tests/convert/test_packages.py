"""The public face of the converter's packages: what `from trimode_convert.<package> import …` gives."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

PACKAGES = ("checkpoint", "graph", "verify", "weights")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_of_a_packages_face_exists(name: str) -> None:
    package = importlib.import_module(f"trimode_convert.{name}")
    assert all(hasattr(package, exported) for exported in package.__all__)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_packages_face_gives_all_public_names_of_its_main_file(name: str) -> None:
    package = importlib.import_module(f"trimode_convert.{name}")
    files = {"checkpoint": "checkpoint", "graph": "model", "verify": "verify", "weights": "weight_file"}
    main = importlib.import_module(f"trimode_convert.{name}.{files[name]}")
    own = {
        key
        for key, value in vars(main).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == main.__name__
    }
    assert own <= set(package.__all__)


def test_a_checkpoint_is_opened_without_onnx() -> None:
    code = "import sys, trimode_convert.checkpoint; print([name for name in sys.modules if name.startswith('onnx')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
