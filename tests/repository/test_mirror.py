"""The tests mirror the packages: a module a/b/c.py is imported by a test under tests/<package>/a/b/."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.support.layout import PACKAGES, ROOT, imports_of, modules_of

TESTS = ROOT / "tests"
FOLDERS = {
    "trimode": "trimode",
    "trimode_convert": "convert",
    "trimode_train": "train",
    "trimode_client": "client",
    "trimode_perf": "perf",
}
"""The folder of each package's tests."""

ELSEWHERE: dict[tuple[str, ...], Path] = {("trimode", "engines", "torch"): Path("torch")}
"""Folders whose tests need PyTorch, and the folder of these tests."""
BY_THE_SERVER = {"triton", "server"}
"""Rooms that run in processes of their own: tests/server tests them together."""

REACHED = {
    "trimode": {
        "decoding.modes.autoregressive",
        "decoding.modes.diffusion", "decoding.modes.self_speculation", "decoding.refine", "engines.onnx.binding",
        "engines.tensorrt.cache", "engines.tensorrt.call",
    },
    "trimode_convert": {
        "atomic_folder", "checkpoint.adapter", "graph.attention",
        "graph.quantized_linear", "tensorrt.local_gpu", "verify.onnx_reference",
    },
    "trimode_client": {
        "async_client", "cli.chat", "cli.demo", "cli.generate", "cli.health", "cli.prompt", "cli.screen", "client",
        "local_server", "transports.grpc_async", "transports.grpc_blocking",
        "transports.http",
    },
    "trimode_train": {
        "data.tasks.arithmetic", "data.tasks.base", "data.tasks.lists", "data.tasks.records", "data.tasks.vocabulary",
        "data.tasks.writing", "model.checkpoint", "model.rope", "training.bar", "training.resumable",
    },
    "trimode_perf": {
        # these need PyTorch: tests/train has them
        "gpu.calls", "gpu.check", "gpu.engines", "gpu.expected", "gpu.model", "gpu.passes", "gpu.product",
        "peers.eager", "peers.openvino", "peers.transformers_generate", "peers.worker",
    },
}  # fmt: skip
"""Modules that tests reach through another module alone. Take a name out when it has a test; add none."""


@cache
def imports_of_test(path: Path) -> frozenset[str]:
    return frozenset(imports_of(path, TESTS))


@cache
def imported(folder: Path) -> frozenset[str]:
    """What the tests of a folder import, and what those helpers import that they name."""
    names = {name for path in folder.rglob("test_*.py") for name in imports_of_test(path)}
    helpers = [path for path in (TESTS / "support").glob("*.py") if any(path.stem in name.split(".") for name in names)]
    return frozenset(names | {name for path in helpers for name in imports_of_test(path)})


def mirror_of(package: str, rooms: tuple[str, ...]) -> Path:
    """The folder of the tests of a package's folder."""
    return TESTS / ELSEWHERE.get((package, *rooms), Path(FOLDERS[package], *rooms))


def not_mirrored(package: str) -> set[str]:
    """The modules of `package` that no test of their folder imports."""
    missing = set()
    for module, path in modules_of(PACKAGES[package]).items():
        if path.name in ("__init__.py", "__main__.py"):
            continue
        rooms = path.relative_to(PACKAGES[package]).parent.parts
        if package == "trimode" and rooms and rooms[0] in BY_THE_SERVER:
            continue
        own = imported(mirror_of(package, rooms))
        if not any(name == module or name.startswith(f"{module}.") for name in own):
            missing.add(module.removeprefix(f"{package}."))
    return missing


@pytest.mark.parametrize("package", FOLDERS)
def test_every_folder_of_a_package_has_its_folder_of_tests(package: str) -> None:
    folders = {path.parent.relative_to(PACKAGES[package]) for path in PACKAGES[package].rglob("*.py")}
    rooms = {folder for folder in folders if not (folder.parts and folder.parts[0] in BY_THE_SERVER)}
    assert {folder for folder in rooms if not mirror_of(package, folder.parts).is_dir()} == set()


@pytest.mark.parametrize("package", FOLDERS)
def test_every_module_is_imported_by_a_test_of_its_folder(package: str) -> None:
    assert not_mirrored(package) == REACHED[package]
