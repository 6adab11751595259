"""What files may import: pure decoding, engines apart, and nothing that serves or converts needs PyTorch."""

from __future__ import annotations

import ast
from itertools import permutations
from pathlib import Path

import pytest

from tests.support.layout import PACKAGES, imports_of, layout, modules_of

RUNTIME, CONVERTER, CLIENT = (PACKAGES[name] for name in ("trimode", "trimode_convert", "trimode_client"))
NAMES = {path: name for name, path in modules_of(RUNTIME).items()}


def files(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def of_runtime(path: Path) -> set[str]:
    """The modules of the runtime that one of its files imports, such as `trimode.engines.base`."""
    known = modules_of(RUNTIME)
    return {found for name in imports_of(path, RUNTIME) if (found := layout.module_of(name, known))}


@pytest.mark.parametrize(("own", "other"), [*permutations(("onnx", "tensorrt", "torch"), 2)])
def test_an_engine_knows_no_other(own: str, other: str) -> None:
    used = {name for path in files(RUNTIME / "engines" / own) for name in of_runtime(path)}
    assert not {name for name in used if name.startswith(f"trimode.engines.{other}")}


@pytest.mark.parametrize("path", files(RUNTIME / "decoding"), ids=lambda path: path.stem)
def test_decoding_touches_no_device_clock_or_thread(path: Path) -> None:
    outside = {name.split(".")[0] for name in imports_of(path, RUNTIME)}
    plain = {"__future__", "collections", "dataclasses", "enum", "functools", "itertools", "numpy", "trimode", "typing"}
    assert outside <= plain | ({"importlib", "pathlib", "sys"} if path.stem == "reveal" else set())  # it loads files


@pytest.mark.parametrize("package", [RUNTIME, CONVERTER, CLIENT], ids=lambda path: path.name)
def test_nothing_but_its_engine_imports_torch(package: Path) -> None:
    others = [path for path in files(package) if path.parent != RUNTIME / "engines" / "torch"]
    tops = {name.split(".")[0] for path in others for name in imports_of(path, package)}
    assert not tops & {"torch", "transformers", "peft", "safetensors"}


def test_an_engine_is_imported_where_a_bundle_names_it_alone() -> None:
    """The registry imports each inside a function, so that nobody needs what another engine needs."""
    tree = ast.parse((RUNTIME / "engines" / "registry.py").read_text(encoding="utf-8"))
    tops = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not {name for name in tops if name and name.split(".")[0] in ("onnx", "tensorrt", "torch")}


def test_only_the_triton_face_imports_the_python_backend() -> None:
    users = {NAMES[p] for p in files(RUNTIME) if any("triton_python" in name for name in imports_of(p, RUNTIME))}
    assert users
    assert {layout.room_of(name) for name in users} == {"triton"}


def test_only_the_compiler_and_the_engine_load_tensorrt_and_cuda() -> None:
    """By name, at run time: nothing needs them to be installed."""
    packages = (RUNTIME, CONVERTER, CLIENT)
    everything = {path: imports_of(path, package) for package in packages for path in files(package)}
    assert not {
        path for path, names in everything.items() if any(name.startswith(("tensorrt", "cuda")) for name in names)
    }
    loads = [path for path, names in everything.items() if any(name.split(".")[0] == "importlib" for name in names)]
    assert sorted(str(path.relative_to(RUNTIME.parents[1])) for path in loads) == [
        "convert/trimode_convert/tensorrt/compiler.py",
        "convert/trimode_convert/tensorrt/local_gpu.py",
        "python_backend/trimode/decoding/reveal.py",
        "python_backend/trimode/engines/tensorrt/cuda.py",
        "python_backend/trimode/engines/tensorrt/plan.py",
        "python_backend/trimode/moved/finder.py",
    ]
