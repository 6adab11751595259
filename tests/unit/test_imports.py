"""Imports point one way, and nothing that serves or converts needs PyTorch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "python_backend" / "trimode"
CONVERTER = ROOT / "convert" / "trimode_convert"
CLIENT = ROOT / "client" / "trimode_client"


def module(path: Path, package: Path) -> str:
    """Return the dotted name of a file below its package; a package's own name for its __init__."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, package: Path) -> set[str]:
    """Return the full dotted names that a file imports, relative ones resolved."""
    here = [package.name, *path.relative_to(package).parent.parts]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level + 1], node.module or ""] if node.level else [node.module or ""]
            base = [part for part in base if part]
            found |= {".".join([*base, alias.name]) for alias in node.names}
    return found


def of_runtime(path: Path, package: Path) -> set[str]:
    """Return the modules of the runtime that a file imports, such as `errors` or `engines.base`."""
    names = {name.removeprefix("trimode.") for name in imported(path, package) if name.startswith("trimode.")}
    modules = {module(file, RUNTIME) for file in RUNTIME.rglob("*.py")}
    return {max((m for m in modules if m and f"{name}.".startswith(f"{m}.")), key=len, default="") for name in names}


def files(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def test_the_modules_have_no_cycle() -> None:
    graph = {module(path, RUNTIME): of_runtime(path, RUNTIME) for path in files(RUNTIME)}
    left = {name: {other for other in used if other and other != name} for name, used in graph.items()}
    while ready := {name for name, used in left.items() if not used & left.keys()}:
        left = {name: used for name, used in left.items() if name not in ready}
    assert left == {}


@pytest.mark.parametrize("path", files(RUNTIME / "engines"), ids=lambda path: path.stem)
def test_engines_know_only_bundle_errors_slots_and_each_other(path: Path) -> None:
    used = {name for name in of_runtime(path, RUNTIME) if not name.startswith("engines.")}
    assert {name.split(".")[0] for name in used} <= {"bundle", "errors", "engines"}


def test_the_cpus_engine_and_the_gpus_share_only_the_base() -> None:
    for own, other in (("onnx", "tensorrt"), ("tensorrt", "onnx")):
        used = {name for path in files(RUNTIME / "engines" / own) for name in of_runtime(path, RUNTIME)}
        assert not {name for name in used if name.startswith(f"engines.{other}")}


@pytest.mark.parametrize("path", files(RUNTIME / "decoding"), ids=lambda path: path.stem)
def test_modes_touch_no_device_clock_or_thread(path: Path) -> None:
    outside = {name.split(".")[0] for name in imported(path, RUNTIME)}
    assert outside <= {"__future__", "collections", "dataclasses", "enum", "importlib", "numpy", "trimode", "typing"}


@pytest.mark.parametrize("package", [CONVERTER, CLIENT], ids=lambda path: path.name)
def test_converter_and_client_stay_clear_of_the_running_server(package: Path) -> None:
    used = {name for path in files(package) for name in of_runtime(path, package)}
    assert not {
        name for name in used if name.split(".")[0] in ("scheduling", "decoding", "runtime", "requests", "triton")
    }


@pytest.mark.parametrize("package", [RUNTIME, CONVERTER, CLIENT], ids=lambda path: path.name)
def test_nothing_imports_torch(package: Path) -> None:
    tops = {name.split(".")[0] for path in files(package) for name in imported(path, package)}
    assert not tops & {"torch", "transformers", "peft", "safetensors"}


def test_only_the_triton_face_imports_the_python_backend() -> None:
    users = {
        module(p, RUNTIME) for p in files(RUNTIME) if any("triton_python" in name for name in imported(p, RUNTIME))
    }
    assert users
    assert all(name.startswith("triton.") for name in users)


def test_the_check_sees_relative_imports() -> None:
    assert "engines.base" in of_runtime(RUNTIME / "decoding" / "refine.py", RUNTIME)
    assert "decoding.modes.registry" in of_runtime(RUNTIME / "scheduling" / "scheduler.py", RUNTIME)


def test_only_the_compiler_and_the_engine_load_tensorrt_and_cuda() -> None:
    """By name, at run time: nothing needs them to be installed."""
    everything = {path: imported(path, package) for package in (RUNTIME, CONVERTER, CLIENT) for path in files(package)}
    assert not {
        path for path, names in everything.items() if any(name.startswith(("tensorrt", "cuda")) for name in names)
    }
    assert [path.stem for path in files(CONVERTER) if "importlib" in everything[path]] == ["compiler"]
    loaders = {module(path, RUNTIME) for path in files(RUNTIME) if "importlib" in everything[path]}
    assert loaders == {"engines.tensorrt.cuda", "engines.tensorrt.plan"}
