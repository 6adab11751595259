"""The graph through TensorRT-RTX's compiler, which needs no GPU: compiled here, executed nowhere.

What is held: no parser error, every input read, one in-place cache update per cache, a mask on every attention, a plan
that is written whole. A TensorRT that is not installed fails these tests: `make test` installs it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from trimode.bundle.manifest import GRAPH, PLAN, TOWER_GRAPH, TOWER_PLAN, TOWER_WEIGHTS, WEIGHTS
from trimode.errors import BundleError
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.config import ModelConfig
from trimode_convert.graph.model import draw
from trimode_convert.graph.precisions import TENSORRT
from trimode_convert.graph.tower import draw_tower
from trimode_convert.tensorrt.compiler import CompileFacts, Compiler
from trimode_convert.tensorrt.profiles import Shapes, input_ranges, tower_patches, tower_ranges

from tests.support import checkpoints as factory
from tests.support import official_shapes

pytestmark = pytest.mark.slow

NANO = Path(__file__).parents[3] / "checkpoints" / "nano"
CAPACITY = 512
SMALL = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "head_dim": 64,
    "intermediate_size": 384,
    "vocab_size": 512,
    "block_size": 32,
}


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Compiler.load("tensorrt_rtx")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return factory.write(tmp_path_factory.mktemp("small") / "checkpoint", factory.config(**SMALL), adapter_rank=8)


def export(folder: Path, out: Path, precision: str) -> tuple[Path, list[dict[str, list[list[int]]]]]:
    """Write a checkpoint's graph and weights; return the graph's path and its profiles' shapes."""
    out.mkdir(exist_ok=True)
    with Checkpoint.open(folder) as checkpoint:
        drawn = draw(checkpoint, target=TENSORRT, precision=precision, capacity=CAPACITY, location=WEIGHTS)
        drawn.weights.write(out / WEIGHTS)
        config, adapter = checkpoint.config, checkpoint.adapter is not None
    (out / GRAPH).write_bytes(drawn.model.SerializeToString())
    shapes = Shapes.of(config, CAPACITY, batch=2)
    return out / GRAPH, [input_ranges(one, config, CAPACITY, adapter=adapter) for one in shapes.profiles()]


def compiled(compiler: Compiler, folder: Path, out: Path, precision: str, *capabilities: str) -> CompileFacts:
    graph, ranges = export(folder, out, precision)
    facts = compiler.compile(graph, ranges, out / PLAN, capabilities=capabilities)
    assert facts.plan_bytes == (out / PLAN).stat().st_size > 0
    assert sorted(path.name for path in out.iterdir()) == sorted([GRAPH, PLAN, WEIGHTS])
    return facts


@pytest.mark.parametrize(
    ("precision", "capabilities"),
    [
        ("bfloat16", ()),
        ("bfloat16", ("12.0",)),
        ("float16", ("8.6",)),
        ("fp8", ("8.9", "12.0")),
        ("int8", ("8.0",)),
        ("int4", ("8.0", "8.9")),
        ("nvfp4", ("12.0",)),
        ("float32", ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value) or "portable",
)
def test_every_precision_compiles(
    compiler: Compiler, small: Path, tmp_path: Path, precision: str, capabilities: tuple[str, ...]
) -> None:
    facts = compiled(compiler, small, tmp_path, precision, *capabilities)
    assert (facts.cache_updates, facts.attentions, facts.fused) == (4, 2, precision != "float32")


def test_nano_compiles(compiler: Compiler, tmp_path: Path) -> None:
    facts = compiled(compiler, NANO, tmp_path, "bfloat16", "8.9")
    assert (facts.cache_updates, facts.attentions, facts.fused) == (12, 6, True)


@pytest.mark.parametrize(("size", "precision"), [("3b", "bfloat16"), ("8b", "fp8"), ("14b", "int8")])
def test_released_dimensions_compile(compiler: Compiler, tmp_path: Path, size: str, precision: str) -> None:
    """Two layers of each released size, with a vocabulary of 512 rather than 131072 to be quick.

    The weight file is no checkpoint's: it holds random bytes that are small positive numbers in every type.
    """
    settings = official_shapes.config(size, num_hidden_layers=2, vocab_size=512)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    config = ModelConfig.load(tmp_path)
    checkpoint = Checkpoint.of_shapes(config, official_shapes.ADAPTER_RANK)
    drawn = draw(checkpoint, target=TENSORRT, precision=precision, capacity=CAPACITY, location=WEIGHTS)
    (tmp_path / GRAPH).write_bytes(drawn.model.SerializeToString())
    write_pattern(tmp_path / WEIGHTS, drawn.weights.total_bytes)
    ranges = [input_ranges(one, config, CAPACITY, adapter=True) for one in Shapes.of(config, CAPACITY, 1).profiles()]
    facts = compiler.compile(tmp_path / GRAPH, ranges, tmp_path / PLAN, capabilities=["8.9"])
    assert (facts.cache_updates, facts.attentions, facts.fused) == (4, 2, True)
    assert 0.9 < facts.plan_bytes / drawn.weights.total_bytes < 1.2


def test_attention_without_a_dedicated_kernel_is_decomposed(compiler: Compiler, tmp_path: Path) -> None:
    settings = factory.config(**SMALL | {"num_attention_heads": 2, "num_hidden_layers": 1})
    facts = compiled(compiler, factory.write(tmp_path / "checkpoint", settings), tmp_path / "out", "bfloat16", "8.9")
    assert (facts.attentions, facts.fused) == (1, False)


def export_tower(checkpoint: Checkpoint, out: Path, precision: str) -> tuple[Path, list[dict[str, list[list[int]]]]]:
    """Write the graph of a checkpoint's tower; return its path and its profiles' shapes."""
    vision = checkpoint.config.vision
    assert vision is not None
    drawn = draw_tower(checkpoint, target=TENSORRT, precision=precision, location=TOWER_WEIGHTS)
    write_pattern(out / TOWER_WEIGHTS, drawn.weights.total_bytes)
    (out / TOWER_GRAPH).write_bytes(drawn.model.SerializeToString())
    return out / TOWER_GRAPH, [tower_ranges(one, vision) for one in tower_patches(vision)]


@pytest.mark.parametrize(
    ("precision", "capability"), [("bfloat16", "8.9"), ("float16", "8.6"), ("fp8", "12.0"), ("float32", "8.9")]
)
def test_a_tower_of_the_released_dimensions_compiles(
    compiler: Compiler, tmp_path: Path, precision: str, capability: str
) -> None:
    """One layer of VLM-8B's, for pictures of every size, with both profiles; in float32 attention has no kernel."""
    settings = official_shapes.vision_config()
    settings["vision_config"]["num_hidden_layers"] = 1
    (tmp_path / "config.json").write_text(json.dumps(settings))
    checkpoint = Checkpoint.of_shapes(ModelConfig.load(tmp_path), 0)
    graph, ranges = export_tower(checkpoint, tmp_path, precision)
    assert [one["patches"][2][0] for one in ranges] == [4096, 10_000]
    facts = compiler.compile(graph, ranges, tmp_path / TOWER_PLAN, capabilities=[capability])
    assert (facts.cache_updates, facts.attentions, facts.fused) == (0, 1, precision != "float32")
    assert facts.plan_bytes == (tmp_path / TOWER_PLAN).stat().st_size


def test_nano_vlm_compiles_as_two_plans(compiler: Compiler, tmp_path: Path) -> None:
    """The language model with rows of pictures in all its profiles, and the tower of three layers."""
    folder = NANO.with_name("nano-vlm")
    facts = compiled(compiler, folder, tmp_path / "text", "bfloat16", "8.9")
    assert (facts.cache_updates, facts.attentions, facts.fused) == (12, 6, True)
    with Checkpoint.open(folder) as checkpoint:
        graph, ranges = export_tower(checkpoint, tmp_path, "bfloat16")
    facts = compiler.compile(graph, ranges, tmp_path / TOWER_PLAN, capabilities=["8.9"])
    assert (facts.cache_updates, facts.attentions, facts.fused) == (0, 3, True)


def test_a_tower_without_its_mask_is_refused(compiler: Compiler, tmp_path: Path) -> None:
    with Checkpoint.open(NANO.with_name("nano-vlm")) as checkpoint:
        graph, ranges = export_tower(checkpoint, tmp_path, "bfloat16")

    def drop_mask(model: onnx.ModelProto) -> None:
        for node in [node for node in model.graph.node if node.op_type == "Attention"]:
            del node.input[3:]

    changed(graph, drop_mask)
    with pytest.raises(BundleError, match=r"the parser (lost the mask of|dropped the inputs \['pictures'\])"):
        compiler.compile(graph, ranges, tmp_path / TOWER_PLAN)


def write_pattern(path: Path, size: int) -> None:
    """Write a weight file of no checkpoint's: random bytes that are small positive numbers in every type."""
    pattern = np.random.default_rng(0).integers(0x3A, 0x3E, 1 << 24, np.uint8).tobytes()
    with path.open("wb") as stream:
        for start in range(0, size, len(pattern)):
            stream.write(pattern[: size - start])


def changed(graph: Path, change: Any) -> None:
    model = onnx.load(graph, load_external_data=False)
    change(model)
    graph.write_bytes(model.SerializeToString())


def refusal(compiler: Compiler, graph: Path, ranges: Any) -> str:
    with pytest.raises(BundleError) as caught:
        compiler.compile(graph, ranges, graph.with_name(PLAN))
    assert sorted(path.name for path in graph.parent.iterdir()) == sorted([GRAPH, WEIGHTS])
    return str(caught.value)


def test_input_that_nothing_reads_is_refused(compiler: Compiler, small: Path, tmp_path: Path) -> None:
    """What TensorRT does with Attention's nonpad_kv_seqlen: parsed, dropped, wrong."""
    graph, ranges = export(small, tmp_path, "bfloat16")

    def replace_mask(model: onnx.ModelProto) -> None:
        lengths = helper.make_tensor_value_info("lengths", onnx.TensorProto.INT64, ["batch"])
        model.graph.input.append(lengths)
        for node in model.graph.node:
            if node.op_type == "Attention":
                node.input.extend(["", "", "lengths"])

    changed(graph, replace_mask)
    for one in ranges:
        one["lengths"] = one["write_indices"]
    assert "dropped the inputs ['lengths']" in refusal(compiler, graph, ranges)


def test_attention_without_a_mask_is_refused(compiler: Compiler, small: Path, tmp_path: Path) -> None:
    graph, ranges = export(small, tmp_path, "bfloat16")

    def drop_mask(model: onnx.ModelProto) -> None:
        for node in [node for node in model.graph.node if node.op_type == "Attention"][1:]:
            del node.input[3:]

    changed(graph, drop_mask)
    assert "lost the mask of" in refusal(compiler, graph, ranges)


def test_what_the_parser_cannot_read_is_said_in_its_words(compiler: Compiler, small: Path, tmp_path: Path) -> None:
    graph, ranges = export(small, tmp_path, "bfloat16")
    changed(graph, lambda model: setattr(model.graph.node[0], "op_type", "Nonsense"))
    assert "tensorrt_rtx 1.7.1.116 cannot read the graph: " in refusal(compiler, graph, ranges)


def test_profile_that_is_none_is_refused(compiler: Compiler, small: Path, tmp_path: Path) -> None:
    graph, ranges = export(small, tmp_path, "bfloat16")
    ranges[0]["input_ids"][0], ranges[0]["input_ids"][2] = ranges[0]["input_ids"][2], ranges[0]["input_ids"][0]
    assert "refuses a profile: " in refusal(compiler, graph, ranges)


def test_what_does_not_compile_is_said_in_the_compilers_words(compiler: Compiler, small: Path, tmp_path: Path) -> None:
    graph, ranges = export(small, tmp_path, "fp8")
    with pytest.raises(BundleError, match=r"cannot compile: .+"):
        compiler.compile(graph, ranges, graph.with_name(PLAN), capabilities=["8.0"])
    assert not list(tmp_path.glob(f"{PLAN}*"))


def test_a_capability_that_it_does_not_compile_for_is_refused(compiler: Compiler) -> None:
    with pytest.raises(BundleError, match=r"compiles for 7\.5, 8\.0, .*, got 9\.0; data-centre GPUs .* tensorrt"):
        compiler.capabilities(["9.0"], None)


def test_tensorrt_compiles_for_the_gpu_that_is_there_and_no_other() -> None:
    compiler = Compiler("tensorrt", "11.4.0", None)
    assert compiler.capabilities([], "9.0") == compiler.capabilities(["9.0"], "9.0") == ("9.0",)
    with pytest.raises(BundleError, match=r"compiles for this machine's GPU, 8\.0, got 9\.0"):
        compiler.capabilities(["9.0"], "8.0")
    with pytest.raises(BundleError, match="found no GPU here"):
        compiler.capabilities(["9.0"], None)


def test_missing_tensorrt_says_how_to_install_one() -> None:
    with pytest.raises(BundleError, match=r"flavour: expected an installed TensorRT.*pip install -e '\.\[tensorrt-rt"):
        Compiler.load("tensorrt")


def test_every_name_of_the_manifest_is_the_packages_own(compiler: Compiler) -> None:
    assert json.dumps([compiler.flavour, compiler.version]) == '["tensorrt_rtx", "1.7.1.116"]'
