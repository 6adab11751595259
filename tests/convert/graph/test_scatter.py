"""The graph for TensorRT, run by ONNX Runtime on the CPU: it gives what the delta form gives, whatever was drafted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from trimode.bundle.manifest import GRAPH, WEIGHTS, Manifest
from trimode_convert.bundle.onnx_bundle import BundleOptions, make_draft, write_bundle
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.graph.model import draw
from trimode_convert.graph.precisions import TARGETS, TENSORRT
from trimode_convert.verify.passes import BundleRunner, Pass
from trimode_convert.verify.verify import against_reference

from tests.support import checkpoints as factory

ROOT = Path(__file__).parents[3]
NANO = ROOT / "checkpoints" / "nano"
MASK, VOCAB, BLOCK = 100, 2048, 16


def bundle(checkpoint: Path, out: Path, target: str, precision: str, dtype: str | None = None) -> Path:
    """Build a bundle; `dtype` makes the same graph with activations that the CPU can compute."""
    with Checkpoint.open(checkpoint) as opened:
        draft = make_draft(opened, BundleOptions(precision, 256, target=TARGETS[target]))
        write_bundle(draft, out)
        if dtype is not None:
            twin = draw(
                opened, target=TARGETS[target], precision=precision, capacity=256, location=WEIGHTS, dtype=dtype
            )
            (out / WEIGHTS).unlink()
            twin.weights.write(out / WEIGHTS)
            (out / GRAPH).write_bytes(twin.model.SerializeToString())
            sizes = {name: (out / name).stat().st_size for name in draft.manifest.files}
            Manifest(**{**vars(draft.manifest), "files": sizes}).save(out)
    return out


def every_kind_of_pass() -> list[Pass]:
    """Prefill, chunk, drafts and denoising that leave scratch rows, verification, partial acceptance, steps."""
    tokens = np.random.default_rng(0).integers(MASK + 1, VOCAB, 80)
    draft = tokens[40 : 40 + BLOCK].copy()
    draft[1::2] = MASK
    return [
        Pass("prefill", tokens[:32], 0, causal=True, keep=True),
        Pass("chunk", tokens[32:40], 32, causal=True, keep=True),
        Pass("denoise", draft, 40, causal=False),
        Pass("draft with adapter", draft, 40, causal=False, adapter=True),
        Pass("verify", tokens[40 : 40 + BLOCK], 40, causal=True, keep=True),
        Pass("step after a rollback to 45", tokens[60:61], 45, causal=True, keep=True),
        Pass("short block", draft[:4], 46, causal=False),
        Pass("verify after the rollback", tokens[61:70], 46, causal=True, keep=True),
        Pass("last step", tokens[70:71], 55, causal=True, keep=True),
    ]


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str | None], BundleRunner]:
    made: dict[tuple[str, str, str | None], BundleRunner] = {}

    def run(target: str, precision: str, dtype: str | None = None) -> BundleRunner:
        key = (target, precision, dtype)
        if key not in made:
            folder = tmp_path_factory.mktemp(f"{target}-{precision}")
            made[key] = BundleRunner(bundle(NANO, folder / "bundle", target, precision, dtype), threads=1)
        return made[key]

    return run


Runner = Callable[..., BundleRunner]


def test_scatter_gives_what_delta_gives_in_every_kind_of_pass(nano: Runner) -> None:
    passes = every_kind_of_pass()
    pairs = zip(nano("onnxruntime", "float32").run(passes), nano("tensorrt", "float32").run(passes), strict=True)
    for step, (delta, scatter) in zip(passes, pairs, strict=True):
        np.testing.assert_allclose(scatter, delta, atol=1e-4, err_msg=step.name)  # logits reach 30


def test_caches_of_both_forms_hold_the_same_kept_rows(nano: Runner) -> None:
    passes = every_kind_of_pass()[:5]
    delta, scatter = (nano(target, "float32").outputs(passes)[-1] for target in ("onnxruntime", "tensorrt"))
    for layer in range(6):
        kept = scatter[f"present_key.{layer}"][0, :, 40 : 40 + BLOCK]  # [Hkv, S, D]
        new = delta[f"new_key.{layer}"].reshape(BLOCK, len(kept), -1).swapaxes(0, 1)
        np.testing.assert_allclose(kept, new, atol=1e-4)


@pytest.mark.slow
# Relative RMS over all passes on the trained nano: 0.0003, 0.009, 0.055, 0.033, 0.17, 0.13. Without `dtype` the graph
# is computed just as it is exported, with bfloat16 activations, by onnx's own reference.
@pytest.mark.parametrize(
    ("precision", "dtype", "limit"),
    [
        ("float16", None, 0.001),
        ("bfloat16", None, 0.02),
        ("fp8", None, 0.08),
        ("fp8", "float32", 0.08),
        ("int8", None, 0.05),
        ("int8", "float32", 0.05),
        ("int4", None, 0.22),
        ("int4", "float32", 0.22),
        ("nvfp4", None, 0.18),
    ],
)
def test_every_precision_stays_near_float32(nano: Runner, precision: str, dtype: str | None, limit: float) -> None:
    passes = every_kind_of_pass()
    exact, rough = nano("onnxruntime", "float32").run(passes), nano("tensorrt", precision, dtype).run(passes)
    assert rms(np.concatenate(rough), np.concatenate(exact)) < limit
    for step, a, b in zip(passes, exact, rough, strict=True):
        assert rms(b, a) < 2 * limit, step.name


def rms(ours: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.sqrt(((ours - expected) ** 2).mean() / (expected**2).mean()))


def test_top_id_and_top_prob_are_those_of_the_logits_without_the_mask(nano: Runner) -> None:
    for found in nano("tensorrt", "float32").outputs(every_kind_of_pass()):
        logits = found["logits"][0].astype(np.float64)
        choosable = logits.copy()
        choosable[:, MASK] = -np.inf
        best = choosable.argmax(-1)
        np.testing.assert_array_equal(found["top_id"][0], best)
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        expected = shares[np.arange(len(best)), best] / shares.sum(-1)
        np.testing.assert_allclose(found["top_prob"][0], expected, rtol=1e-4)


def feeds(manifest: Manifest, batch: int, seq: int, start: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Inputs of a causal pass over a random cache."""
    random = np.random.default_rng(seed)
    mask = np.zeros((batch, 1, seq, 64), dtype=bool)
    mask[..., :start] = True
    mask[..., start : start + seq] = np.tri(seq, dtype=bool)
    made: dict[str, NDArray[Any]] = {
        "input_ids": random.integers(MASK + 1, VOCAB, (batch, seq)),
        "position_ids": np.tile(np.arange(start, start + seq), (batch, 1)),
        "write_indices": np.full(batch, start),
        "attn_mask": mask,
        "logit_rows": np.tile(np.arange(seq), (batch, 1)),
        "lora_scale": np.zeros((batch, seq), np.float32),
    }
    shape = (batch, manifest.num_kv_heads, manifest.capacity, manifest.head_dim)
    for layer in range(manifest.num_layers):
        for kind in ("key", "value"):
            made[f"past_{kind}.{layer}"] = random.standard_normal(shape).astype(np.float32)
    return made


@pytest.mark.parametrize("precision", ["float32", "fp8", "int8", "int4"])
@pytest.mark.parametrize("seq", [1, 4])
def test_row_does_not_depend_on_its_neighbours(nano: Runner, precision: str, seq: int) -> None:
    runner = nano("tensorrt", precision, None if precision == "float32" else "float32")
    batch = feeds(runner.manifest, 3, seq, start=9)
    other = {name: values.copy() for name, values in batch.items()}
    for name, values in feeds(runner.manifest, 3, seq, start=9, seed=1).items():
        other[name][1:] = values[1:] * (100 if name.startswith("past_") else 1)
    together, mixed = (dict(zip(runner.names, runner.session.run(None, f), strict=True)) for f in (batch, other))
    np.testing.assert_array_equal(together["logits"][0], mixed["logits"][0])
    alone = runner.session.run(["logits"], {name: values[:1] for name, values in batch.items()})[0]
    np.testing.assert_allclose(alone[0], together["logits"][0], atol=1e-4)


def test_rows_of_unequal_lengths_share_a_call(nano: Runner) -> None:
    runner = nano("tensorrt", "float32")
    near, far = feeds(runner.manifest, 1, 4, start=3), feeds(runner.manifest, 1, 4, start=40, seed=1)
    together = runner.session.run(["logits"], {name: np.concatenate([near[name], far[name]]) for name in near})[0]
    for row, alone in enumerate((near, far)):
        np.testing.assert_allclose(together[row], runner.session.run(["logits"], alone)[0][0], atol=1e-4)


def test_row_that_is_told_to_see_nothing_is_finite_and_so_is_its_cache(nano: Runner) -> None:
    runner = nano("tensorrt", "float32")
    blind = feeds(runner.manifest, 1, 4, start=9)
    blind["attn_mask"][:] = False
    assert all(np.isfinite(values).all() for values in runner.session.run(None, blind))


def test_no_logit_rows_writes_the_cache_only(nano: Runner) -> None:
    runner = nano("tensorrt", "float32")
    asked = feeds(runner.manifest, 2, 4, start=9)
    nothing = asked | {"logit_rows": np.zeros((2, 0), np.int64)}
    full, bare = (dict(zip(runner.names, runner.session.run(None, f), strict=True)) for f in (asked, nothing))
    assert (bare["logits"].shape, bare["top_id"].shape) == ((2, 0, VOCAB), (2, 0))
    np.testing.assert_array_equal(bare["present_value.5"], full["present_value.5"])


def test_cache_is_written_in_place_when_past_and_present_are_one_buffer(nano: Runner) -> None:
    runner = nano("tensorrt", "float32")
    inputs = feeds(runner.manifest, 1, 4, start=9)
    expected = dict(zip(runner.names, runner.session.run(None, inputs), strict=True))
    binding = runner.session.io_binding()
    held = {name: onnxruntime.OrtValue.ortvalue_from_numpy(values) for name, values in inputs.items()}
    for name, value in held.items():
        binding.bind_ortvalue_input(name, value)
    for name in runner.names:
        if name.startswith("present_"):
            binding.bind_ortvalue_output(name, held[name.replace("present_", "past_")])
        else:
            binding.bind_output(name)
    runner.session.run_with_iobinding(binding)
    for name in runner.names:
        if name.startswith("present_"):
            np.testing.assert_array_equal(held[name.replace("present_", "past_")].numpy(), expected[name])


@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 4}, {"rope_llama_4_scaling_beta": 0.0}])
def test_scatter_gives_the_references_logits(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = factory.write(tmp_path / "checkpoint", factory.config(**changes), adapter_rank=3)
    out = bundle(folder, tmp_path / "bundle", "tensorrt", "float32")
    with Checkpoint.open(folder) as checkpoint:
        assert max(outcome.worst for outcome in against_reference(out, checkpoint)) < 2e-5


def test_interface_is_the_contracts(nano: Runner) -> None:
    session = nano("tensorrt", "float16").session
    cache = ("tensor(float16)", ["batch", 2, 256, 32])
    inputs = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    assert inputs == {
        "input_ids": ("tensor(int64)", ["batch", "seq"]),
        "position_ids": ("tensor(int64)", ["batch", "seq"]),
        "write_indices": ("tensor(int64)", ["batch"]),
        "attn_mask": ("tensor(bool)", ["batch", 1, "seq", "length"]),
        "logit_rows": ("tensor(int64)", ["batch", "rows"]),
        "lora_scale": ("tensor(float)", ["batch", "seq"]),
    } | {f"past_{kind}.{layer}": cache for kind in ("key", "value") for layer in range(6)}
    outputs = {value.name: (value.type, value.shape) for value in session.get_outputs()}
    assert outputs == {
        "logits": ("tensor(float)", ["batch", "rows", VOCAB]),
        "top_id": ("tensor(int64)", ["batch", "rows"]),
        "top_prob": ("tensor(float)", ["batch", "rows"]),
    } | {f"present_{kind}.{layer}": cache for kind in ("key", "value") for layer in range(6)}


@pytest.mark.parametrize("precision", TENSORRT.precisions)
def test_graph_is_valid_and_has_none_of_the_attributes_that_tensorrt_gets_wrong(precision: str) -> None:
    with Checkpoint.open(NANO) as checkpoint:
        model = draw(checkpoint, target=TENSORRT, precision=precision, capacity=256, location=WEIGHTS).model
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 24)]
    attentions = [node for node in model.graph.node if node.op_type == "Attention"]
    assert len(attentions) == 6
    for node in attentions:
        assert {attribute.name: attribute.f for attribute in node.attribute} == {"scale": 1.0}
        assert (len(node.input), len(node.output)) == (4, 1)  # query, key, value, mask; no past, no present
    assert sum(node.op_type == "TensorScatter" for node in model.graph.node) == 12
