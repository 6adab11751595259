"""Every name that the engine asks of TensorRT and of CUDA exists in the installed bindings, and so does every fake's.

TensorRT-RTX's Python API stands for TensorRT 11's, which cannot be installed here. A name that exists is not a call
that works: nothing is executed.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import tensorrt_rtx
from cuda.bindings import runtime as cudart
from trimode.bundle.compilation import Compilation, Profile
from trimode.bundle.manifest import GRAPH, PLAN, TOWER_GRAPH, Manifest
from trimode.engines.tensorrt.forms import (
    CACHE_BYTES,
    INPUTS,
    OUTPUTS,
    PICTURE_INPUTS,
    TOWER_INPUTS,
    TOWER_OUTPUTS,
    PlanForm,
)
from trimode.engines.tensorrt.plan import HOST_TYPES, Plan, TensorRt
from trimode.errors import BundleError

from tests.support import checkpoints as factory
from tests.support import fake_cuda, fake_tensorrt, vision_checkpoints
from tests.support.fake_gpu import make_bundle
from tests.support.toy import manifest

ROOT = Path(__file__).parents[4]
PLAN_FILE = ROOT / "python_backend" / "trimode" / "engines" / "tensorrt" / "plan.py"
JIT_FILE = PLAN_FILE.with_name("jit.py")
CUDA = ROOT / "python_backend" / "trimode" / "engines" / "tensorrt" / "cuda.py"
LOGGER = tensorrt_rtx.Logger(tensorrt_rtx.Logger.ERROR)
COMPILER = ROOT / "convert" / "trimode_convert" / "tensorrt" / "compiler.py"
OBJECTS: dict[str, Any] = {
    "trt": tensorrt_rtx,
    "engine": tensorrt_rtx.ICudaEngine,
    "context": tensorrt_rtx.IExecutionContext,
    "runtime": tensorrt_rtx.Runtime,
}
"""What a variable of that name is, in the file that runs plans; and in the one that compiles them."""
JITS: dict[str, Any] = {
    "trt": tensorrt_rtx,
    "kinds": tensorrt_rtx.DynamicShapesKernelSpecializationStrategy,
    "engine": tensorrt_rtx.ICudaEngine,
    "config": tensorrt_rtx.IRuntimeConfig,
    "cache": tensorrt_rtx.IRuntimeCache,
}
COMPILERS: dict[str, Any] = {
    "trt": tensorrt_rtx,
    "builder": tensorrt_rtx.Builder,
    "network": tensorrt_rtx.INetworkDefinition,
    "parser": tensorrt_rtx.OnnxParser,
    "config": tensorrt_rtx.IBuilderConfig,
    "profile": tensorrt_rtx.IOptimizationProfile,
    "layer": tensorrt_rtx.IAttentionInputLayer,
}


def dotted(node: ast.AST) -> list[str] | None:
    """Return a chain of names such as ["trt", "TensorIOMode", "INPUT"]; self._x and self.x count as x."""
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return [name.removeprefix("_")]
        case ast.Attribute(value=value, attr=name):
            before = dotted(value)
            return None if before is None else [*before, name]
    return None


def chains(path: Path) -> Iterator[tuple[str, ...]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and (chain := dotted(node)) is not None and len(chain) > 1:
            yield tuple(chain)


def used(path: Path, known: dict[str, Any]) -> list[tuple[str, ...]]:
    return sorted({chain for chain in chains(path) if chain[0] in known})


def exists(start: Any, names: tuple[str, ...]) -> bool:
    """Whether each name is there; what a property or a method returns is not looked into."""

    def follow(found: Any, name: str) -> Any:
        if isinstance(found, property) or inspect.isroutine(found):
            return found
        return getattr(found, name)

    try:
        reduce(follow, names, start)
    except AttributeError:
        return False
    return True


@pytest.mark.parametrize("chain", used(PLAN_FILE, OBJECTS), ids=".".join)
def test_the_engine_asks_tensorrt_for_names_that_it_has(chain: tuple[str, ...]) -> None:
    assert exists(OBJECTS[chain[0]], chain[1:])


@pytest.mark.parametrize("chain", used(JIT_FILE, JITS), ids=".".join)
def test_the_kernels_configuration_has_names_that_tensorrt_rtx_has(chain: tuple[str, ...]) -> None:
    assert exists(JITS[chain[0]], chain[1:])


@pytest.mark.parametrize("chain", used(COMPILER, COMPILERS), ids=".".join)
def test_the_compiler_asks_tensorrt_for_names_that_it_has(chain: tuple[str, ...]) -> None:
    assert exists(COMPILERS[chain[0]], chain[1:])


@pytest.mark.parametrize("chain", used(CUDA, {"rt": None, "runtime": None, "kinds": None}), ids=".".join)
def test_the_engine_asks_cuda_for_names_that_it_has(chain: tuple[str, ...]) -> None:
    assert exists(cudart.cudaDeviceAttr if chain[0] == "kinds" else cudart, chain[1:])


def test_the_check_sees_what_it_is_for() -> None:
    plan, cuda = used(PLAN_FILE, OBJECTS), used(CUDA, {"rt": None, "runtime": None})
    assert ("context", "execute_async_v3") in plan
    assert ("engine", "get_aliased_input_tensor") in plan
    assert ("trt", "ExecutionContextAllocationStrategy", "USER_MANAGED") in plan
    assert ("rt", "cudaGraphLaunch") in cuda
    assert ("rt", "cudaMemcpyKind", "cudaMemcpyDeviceToHost") in cuda
    assert not exists(tensorrt_rtx, ("ExecutionContextAllocationStrategy", "NONSENSE"))
    assert not exists(cudart, ("cudaNonsense",))


def test_types_of_the_plan_are_tensorrts() -> None:
    assert all(hasattr(tensorrt_rtx.DataType, name) for name in {*CACHE_BYTES, *HOST_TYPES})


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (fake_tensorrt.ICudaEngine, tensorrt_rtx.ICudaEngine),
        (fake_tensorrt.IExecutionContext, tensorrt_rtx.IExecutionContext),
        (fake_tensorrt.Runtime, tensorrt_rtx.Runtime),
        (fake_tensorrt.IRuntimeConfig, tensorrt_rtx.IRuntimeConfig),
        (fake_tensorrt.IRuntimeCache, tensorrt_rtx.IRuntimeCache),
    ],
    ids=lambda kind: kind.__module__.split(".")[-1],
)
def test_a_fakes_methods_are_tensorrts_own(fake: type, real: type) -> None:
    own = {name for name, value in vars(fake).items() if isinstance(value, types.FunctionType)}
    assert {name for name in own if not name.startswith("_")} - {"execute", "array"} <= set(dir(real))


@pytest.mark.parametrize("name", fake_cuda.FUNCTIONS)
def test_a_fakes_functions_take_what_cudas_take(name: str) -> None:
    real = inspect.signature(getattr(cudart, name)).parameters
    fake = inspect.signature(getattr(fake_cuda.FakeCuda, name)).parameters
    assert len(fake) - 1 == len(real)


class Parsed:
    """A network that the real parser made of an exported graph, asked as an engine is asked."""

    device_memory_size_v2 = 0

    def __init__(self, network: Any, profiles: int) -> None:
        inputs = [network.get_input(at) for at in range(network.num_inputs)]
        outputs = [network.get_output(at) for at in range(network.num_outputs)]
        self.inputs = {tensor.name for tensor in inputs}
        self.tensors = {tensor.name: tensor for tensor in [*inputs, *outputs]}
        self.num_io_tensors, self.num_optimization_profiles = len(self.tensors), profiles

    def get_tensor_name(self, index: int) -> str:
        return str(list(self.tensors)[index])

    def get_tensor_shape(self, name: str) -> Any:
        return self.tensors[name].shape

    def get_tensor_dtype(self, name: str) -> Any:
        return self.tensors[name].dtype

    def get_tensor_mode(self, name: str) -> Any:
        return tensorrt_rtx.TensorIOMode.INPUT if name in self.inputs else tensorrt_rtx.TensorIOMode.OUTPUT


KEPT: list[Any] = []
"""Networks and parsers, whose tensors end with them."""


def parsed_of(graph: Path, profiles: int) -> Parsed:
    trt = tensorrt_rtx
    network = trt.Builder(LOGGER).create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, LOGGER)
    assert parser.parse_from_file(str(graph))
    KEPT.extend((network, parser))
    parsed = Parsed(network, profiles)
    parsed.get_aliased_input_tensor = lambda name: name.replace("present_", "past_")  # type: ignore[attr-defined]
    parsed.get_tensor_profile_shape = lambda name, index: []  # type: ignore[attr-defined]
    return parsed


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32", "int8"])
def test_the_parsers_tensors_are_what_the_engine_expects_of_a_plan(tmp_path: Path, precision: str) -> None:
    """Names, shapes, types and directions, up to the profiles, which a network does not have."""
    bundle = make_bundle(factory.write(tmp_path / "checkpoint", adapter_rank=2), tmp_path, precision=precision)
    parsed = parsed_of(tmp_path / "graph" / GRAPH, 3)
    plan = Plan(TensorRt(tensorrt_rtx, "any"), parsed, None, None, PlanForm.of_text(Manifest.load(bundle)))
    misfit = plan._misfit()
    assert misfit is not None and misfit.startswith("profile step: the plan's attn_mask has []")
    assert plan.cache_bytes == {"float32": 4}.get(precision, 2)
    assert set(plan.host_types) == {*INPUTS, *OUTPUTS, "lora_scale"}


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_the_parsers_tensors_are_what_the_engine_expects_of_a_model_that_reads_pictures(
    tmp_path: Path, precision: str
) -> None:
    """Of both plans: the language model's has rows of pictures, the tower's is a form of its own."""
    bundle = make_bundle(vision_checkpoints.write(tmp_path / "checkpoint"), tmp_path, precision=precision)
    manifest = Manifest.load(bundle)
    for graph, form, count in ((GRAPH, PlanForm.of_text(manifest), 3), (TOWER_GRAPH, PlanForm.of_tower(manifest), 1)):
        plan = Plan(TensorRt(tensorrt_rtx, "any"), parsed_of(tmp_path / "graph" / graph, count), None, None, form)
        misfit = plan._misfit()
        assert misfit is not None and f"profile {form.profiles[0][0]}: the plan's " in misfit, misfit
        assert set(plan.host_types) == {*form.inputs, *form.outputs}
    assert set(form.inputs) == {*TOWER_INPUTS} and set(form.outputs) == {*TOWER_OUTPUTS}
    assert {*PICTURE_INPUTS} < {*PlanForm.of_text(manifest).inputs}


def test_the_real_runtime_takes_the_plans_file_and_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    """A file that is no plan is refused before a GPU is needed, through the mapping and the logger that are used."""
    (tmp_path / PLAN).write_bytes(b"this is not a plan" * 100)
    tensorrt = TensorRt.load("tensorrt_rtx", tmp_path, "any")
    step = Profile("step", (1, 1, 1), (1, 1, 1), (0, 1, 1), (1, 64, 64))
    compiled = Compilation("tensorrt_rtx", "any", ("8.9",), (step,))
    made = dataclasses.replace(manifest(), runtime="tensorrt", compiled=compiled)
    with pytest.raises(BundleError, match=r"model\.plan cannot be loaded: .*Serialization.* Rebuild it on the machine"):
        Plan.load(tensorrt, tmp_path, made, PlanForm.of_text(made))
