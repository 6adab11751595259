"""The design of a TensorRT bundle, its place, and a compiler that takes no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trimode_convert.bundle import tensorrt_bundle
from trimode_convert.bundle.onnx_bundle import BundleOptions, make_draft
from trimode_convert.bundle.tensorrt_bundle import TensorRtBuild
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.graph.precisions import TENSORRT
from trimode_convert.tensorrt.compiler import CompileFacts, Compiler
from trimode_convert.tensorrt.profiles import Shapes


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "place" / "bundle"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_bundle, "local_gpu", lambda: None)


def design(checkpoint: Checkpoint, precision: str = "bfloat16", **options: Any) -> TensorRtBuild:
    draft = make_draft(checkpoint, BundleOptions(precision, target=TENSORRT))
    sizes = {name: options.pop(name) for name in ("batch", "chunk", "quadratic") if name in options}
    shapes = Shapes.of(checkpoint.config, draft.manifest.capacity, **sizes)
    return TensorRtBuild.design(draft, checkpoint.config, shapes, **{"flavour": "tensorrt_rtx"} | options)


@pytest.fixture
def fake_compile(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for the compiler where only the parts around it are tested; counts its calls."""
    calls: list[str] = []

    def compile_(self: Compiler, graph: Path, profiles: Any, plan: Path, **_: Any) -> CompileFacts:
        calls.append(graph.name)
        plan.write_bytes(b"plan")
        return CompileFacts(1, 2, 1, True, 4)

    monkeypatch.setattr(Compiler, "compile", compile_)
    return calls
