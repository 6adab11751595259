"""The graph, run by ONNX Runtime: its interface, its numbers against the numpy reference, and its independences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from trimode.bundle.manifest import GRAPH
from trimode_convert.bundle.onnx_bundle import BundleOptions, make_draft, write_bundle
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.verify.verify import against_reference

from tests.support import checkpoints as factory

Feeds = dict[str, NDArray[Any]]
LAYERS, KV_HEADS, HEAD_DIM, VOCAB = 2, 2, 8, 50


def build(folder: Path, precision: str = "float32", adapter_rank: int = 0, **changes: Any) -> Path:
    """Write a random checkpoint and its bundle; return the bundle. `denoises` says what it was trained to do."""
    denoises, tied = changes.pop("denoises", True), changes.get("tie_word_embeddings", False)
    settings = factory.config(**changes)
    arrays = {name: values for name, values in factory.tensors(settings).items() if not (tied and "head" in name)}
    factory.write(folder / "checkpoint", settings, arrays, adapter_rank=adapter_rank)
    with Checkpoint.open(folder / "checkpoint") as checkpoint:
        checkpoint = replace(checkpoint, config=replace(checkpoint.config, denoises=denoises))
        write_bundle(make_draft(checkpoint, BundleOptions(precision)), folder / "bundle")
    return folder / "bundle"


class Model:
    """A bundle's session, fed with named arrays."""

    def __init__(self, bundle: Path) -> None:
        self.path = bundle / GRAPH
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def run(self, feeds: Feeds) -> Feeds:
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, feeds), strict=True))


def feeds(batch: int = 1, seq: int = 4, past: int = 5, capacity: int = 8, seed: int = 0, **changes: Any) -> Feeds:
    """Random inputs of a causal pass over a random cache."""
    random = np.random.default_rng(seed)
    made: Feeds = {
        "input_ids": random.integers(0, VOCAB, (batch, seq)),
        "position_ids": np.tile(np.arange(past, past + seq), (batch, 1)),
        "past_len": np.full(batch, past),
        "block_mask": np.tile(np.tri(seq, dtype=bool), (batch, 1, 1)),
        "logit_rows": np.tile(np.arange(seq), (batch, 1)),
    }
    for layer in range(LAYERS):
        for kind in ("key", "value"):
            shape = (batch, KV_HEADS, capacity, HEAD_DIM)
            made[f"past_{kind}.{layer}"] = random.standard_normal(shape).astype(np.float32)
    return made | changes


def scales(*of_row: float, seq: int = 4) -> NDArray[np.float32]:
    """(batch, seq) how much of the adapter each token gets, the same for all of a row."""
    return np.repeat(np.array(of_row, np.float32)[:, None], seq, axis=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(build(tmp_path_factory.mktemp("float32")))


FORMS: dict[str, dict[str, Any]] = {
    "float32": {},
    "int8": {"precision": "int8"},
    "int8, causal": {"precision": "int8", "denoises": False},
    "float32, tied": {"tie_word_embeddings": True},
    "int8, causal, tied": {"precision": "int8", "denoises": False, "tie_word_embeddings": True},
    "int4": {"precision": "int4"},
    "int4, tied": {"precision": "int4", "tie_word_embeddings": True},
}


@pytest.fixture(scope="module")
def adapter_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(build(tmp_path_factory.mktemp("adapter"), adapter_rank=4))


@pytest.fixture(scope="module", params=FORMS)
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(build(tmp_path_factory.mktemp("either"), **FORMS[request.param]))


def test_inputs_are_the_contracts(model: Model) -> None:
    found = {value.name: (value.type, value.shape) for value in model.session.get_inputs()}
    cache = ("tensor(float)", ["batch", KV_HEADS, "capacity", HEAD_DIM])
    assert found == {
        "input_ids": ("tensor(int64)", ["batch", "seq"]),
        "position_ids": ("tensor(int64)", ["batch", "seq"]),
        "past_len": ("tensor(int64)", ["batch"]),
        "block_mask": ("tensor(bool)", ["batch", "seq", "seq"]),
        "logit_rows": ("tensor(int64)", ["batch", "rows"]),
    } | {f"past_{kind}.{layer}": cache for kind in ("key", "value") for layer in range(LAYERS)}


def test_outputs_are_the_contracts(model: Model) -> None:
    found = {value.name: (value.type, value.shape) for value in model.session.get_outputs()}
    new = ("tensor(float)", ["batch", "seq", KV_HEADS * HEAD_DIM])
    assert found == {"logits": ("tensor(float)", ["batch", "rows", VOCAB])} | {
        f"new_{kind}.{layer}": new for kind in ("key", "value") for layer in range(LAYERS)
    }


def test_adapter_adds_one_input(model: Model, adapter_model: Model) -> None:
    plain, adapted = ({value.name for value in m.session.get_inputs()} for m in (model, adapter_model))
    assert adapted - plain == {"lora_scale"}


def test_operators_are_standard_ones_but_for_sums_with_a_norm_and_products_of_blocks(either: Model) -> None:
    proto = onnx.load(either.path, load_external_data=False)
    onnx.checker.check_model(str(either.path), full_check=True)
    own = {node.op_type for node in proto.graph.node if node.domain == "com.microsoft"}
    blocks = {"MatMulNBits", "GatherBlockQuantized"}
    assert own - blocks == {"SkipSimplifiedLayerNormalization"}
    assert own & blocks in (set(), blocks)
    assert {node.domain for node in proto.graph.node} == {"", "com.microsoft"}
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 24), ("com.microsoft", 1)]


def test_a_layer_is_as_few_nodes_as_onnx_runtime_allows(tmp_path: Path) -> None:
    """Each node costs about as much as a small model's product of one token."""
    counts = []
    for layers in (1, 2):
        bundle = build(tmp_path / str(layers), num_hidden_layers=layers)
        counts.append(len(onnx.load(bundle / GRAPH, load_external_data=False).graph.node))
    # qkv, split, two rotations, attention, output, gate, up, sigmoid, two products with it, down, two sums with a norm
    assert counts[1] - counts[0] == 14


def test_weights_are_outside_the_graph(model: Model) -> None:
    assert model.path.stat().st_size < 40_000


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1, "num_attention_heads": 3},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        {"rope_llama_4_scaling_beta": 0.0},
        {"rope_mscale": 1.0, "rope_mscale_all_dim": 0.5},
        {"num_hidden_layers": 1},
        {"hidden_size": 32},
    ],
)
def test_logits_are_the_references(tmp_path: Path, changes: dict[str, Any]) -> None:
    bundle = build(tmp_path, adapter_rank=3, **changes)
    with Checkpoint.open(tmp_path / "checkpoint") as checkpoint:
        outcomes = against_reference(bundle, checkpoint)
    assert [outcome for outcome in outcomes if not outcome.passed] == []
    assert max(outcome.worst for outcome in outcomes) < 2e-5


def test_bf16_shards_give_the_references_logits(tmp_path: Path) -> None:
    folder = factory.write(tmp_path / "checkpoint", dtype="BF16", shards=3)
    with Checkpoint.open(folder) as checkpoint:
        write_bundle(make_draft(checkpoint, BundleOptions()), tmp_path / "bundle")
        assert all(outcome.worst < 2e-5 for outcome in against_reference(tmp_path / "bundle", checkpoint))


def test_int8_stays_near_the_reference(tmp_path: Path) -> None:
    bundle = build(tmp_path, "int8", adapter_rank=3)
    with Checkpoint.open(tmp_path / "checkpoint") as checkpoint:
        assert max(outcome.rms for outcome in against_reference(bundle, checkpoint)) < 0.1


def test_rows_beyond_past_len_are_ignored(either: Model) -> None:
    clean = feeds(past=5)
    dirty = {name: values.copy() for name, values in clean.items()}
    for layer in range(LAYERS):
        dirty[f"past_key.{layer}"][:, :, 5:] = 1e6
        dirty[f"past_value.{layer}"][:, :, 5:] = -1e6
    np.testing.assert_array_equal(either.run(clean)["logits"], either.run(dirty)["logits"])


def test_capacity_does_not_change_the_answer(model: Model) -> None:
    small = feeds(past=5, capacity=8)
    large = {
        name: np.pad(values, ((0, 0), (0, 0), (0, 24), (0, 0))) if name.startswith("past_key") else values
        for name, values in small.items()
    }
    large |= {
        name: np.pad(values, ((0, 0), (0, 0), (0, 24), (0, 0)))
        for name, values in small.items()
        if name.startswith("past_value")
    }
    np.testing.assert_allclose(model.run(large)["logits"], model.run(small)["logits"], atol=2e-5)


@pytest.mark.parametrize("seq", [1, 4])
def test_row_does_not_depend_on_its_batch_neighbours(either: Model, seq: int) -> None:
    one = feeds(batch=3, seq=seq, seed=1)
    other = {name: values.copy() for name, values in one.items()}
    for name, values in feeds(batch=3, seq=seq, seed=2).items():
        other[name][1:] = values[1:] * (100 if "past_" in name and values.dtype == np.float32 else 1)
    np.testing.assert_array_equal(either.run(one)["logits"][0], either.run(other)["logits"][0])


@pytest.mark.parametrize("seq", [1, 4])
def test_row_alone_is_the_row_in_a_batch(either: Model, seq: int) -> None:
    batch = feeds(batch=3, seq=seq)
    alone = {name: values[:1] for name, values in batch.items()}
    np.testing.assert_array_equal(either.run(batch)["logits"][:1], either.run(alone)["logits"])


def test_rows_of_mixed_lengths_and_masks_share_a_call(model: Model) -> None:
    causal, block = feeds(past=5, seed=1), feeds(past=2, seed=2, block_mask=np.ones((1, 4, 4), dtype=bool))
    together = model.run({name: np.concatenate([causal[name], block[name]]) for name in causal})["logits"]
    np.testing.assert_allclose(together[:1], model.run(causal)["logits"], atol=2e-5)
    np.testing.assert_allclose(together[1:], model.run(block)["logits"], atol=2e-5)


def test_padding_tokens_that_nobody_sees_change_nothing(model: Model) -> None:
    short = feeds(seq=3)
    padded = feeds(seq=4, logit_rows=np.array([[0, 1, 2]]))
    padded["input_ids"][:, :3] = short["input_ids"]
    padded["block_mask"][:, 3] = False  # the padding itself sees no new token
    padded |= {name: values for name, values in short.items() if name.startswith("past_")}
    np.testing.assert_allclose(model.run(padded)["logits"], model.run(short)["logits"], atol=2e-5)


def test_row_that_sees_nothing_is_finite(model: Model) -> None:
    blind = feeds(past=0, block_mask=np.zeros((1, 4, 4), dtype=bool))
    assert np.isfinite(model.run(blind)["logits"]).all()


def test_causal_chunk_equals_single_steps(model: Model) -> None:
    chunk = feeds(seq=3, past=4)
    whole = model.run(chunk)["logits"][0]
    step = {name: values.copy() for name, values in chunk.items()}
    for index in range(3):
        step |= {
            "input_ids": chunk["input_ids"][:, index : index + 1],
            "position_ids": chunk["position_ids"][:, index : index + 1],
            "past_len": np.array([4 + index]),
            "block_mask": np.ones((1, 1, 1), dtype=bool),
            "logit_rows": np.zeros((1, 1), np.int64),
        }
        found = model.run(step)
        np.testing.assert_allclose(found["logits"][0, 0], whole[index], atol=2e-5)
        for layer in range(LAYERS):
            for kind in ("key", "value"):
                new = found[f"new_{kind}.{layer}"].reshape(KV_HEADS, HEAD_DIM)
                step[f"past_{kind}.{layer}"][0, :, 4 + index] = new


def test_logit_rows_picks_rows_in_the_order_asked(either: Model) -> None:
    whole = either.run(feeds())["logits"]
    picked = either.run(feeds(logit_rows=np.array([[3, 0]])))["logits"]
    np.testing.assert_allclose(picked, whole[:, [3, 0]], atol=2e-5)


def test_no_logit_rows_gives_keys_and_values_only(either: Model) -> None:
    found = either.run(feeds(logit_rows=np.zeros((1, 0), np.int64)))
    assert found["logits"].shape == (1, 0, VOCAB)
    np.testing.assert_array_equal(found["new_key.1"], either.run(feeds())["new_key.1"])


def test_empty_cache_is_allowed(model: Model) -> None:
    first = feeds(past=0, capacity=8)
    none = {
        name: values[:, :, :0] if name.startswith(("past_k", "past_v")) else values for name, values in first.items()
    }
    np.testing.assert_allclose(model.run(none)["logits"], model.run(first)["logits"], atol=2e-5)


def test_position_beyond_the_capacity_is_an_error(model: Model) -> None:
    with pytest.raises(Exception, match="position_ids value 512 at index 0 is out of range"):
        model.run(feeds(seq=1, position_ids=np.array([[512]])))


def test_adapter_off_is_exactly_the_model_without_it(model: Model, adapter_model: Model) -> None:
    off = adapter_model.run(feeds(batch=2, lora_scale=scales(0, 0)))
    np.testing.assert_array_equal(off["logits"], model.run(feeds(batch=2))["logits"])


def test_adapter_is_switched_row_by_row(adapter_model: Model) -> None:
    def run(*scale: float) -> NDArray[Any]:
        return adapter_model.run(feeds(batch=2, lora_scale=scales(*scale)))["logits"]

    mixed, off, on = run(0, 1), run(0, 0), run(1, 1)
    np.testing.assert_array_equal(mixed, np.stack([off[0], on[1]]))
    assert np.abs(on - off).max() > 1e-3


def test_adapter_is_switched_token_by_token(adapter_model: Model) -> None:
    """A causal token before the first one that has it is not changed; that one is."""
    given = feeds()
    seq = given["input_ids"].shape[1]
    causal = np.tri(seq, dtype=bool)[None]
    last = (np.arange(seq) == seq - 1).astype(np.float32)[None]
    off = adapter_model.run(feeds(block_mask=causal, lora_scale=np.zeros((1, seq), np.float32)))["logits"]
    some = adapter_model.run(feeds(block_mask=causal, lora_scale=last))["logits"]
    changed = np.abs(some - off).max(axis=-1)[0]  # by row of logits
    assert changed[-1] > 1e-3 and not changed[:-1].any()
