"""SmolLM2 itself, where `make build MODEL=smol` has fetched it: tokens and greedy ids of llama.cpp, and round trips.

The expected ids were written by llama.cpp, from the same file; see tests/fixtures/smol/llama_cpp.json.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from trimode.bundle.manifest import GRAPH, WEIGHTS
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_convert.bundle.onnx_bundle import BundleOptions, make_draft, write_bundle
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.gguf_source.file import GgufFile

from scripts.conversations import conversations
from tests.support import llama_checkpoints as factory
from tests.support.checkpoints import write_safetensors
from tests.support.layout import ROOT

GGUF = ROOT / yaml.safe_load((ROOT / "build" / "smol.yaml").read_text())["checkpoint"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not GGUF.is_file(), reason=f"needs {GGUF.name}, which make build MODEL=smol fetches"),
]
EXPECTED: dict[str, Any] = json.loads((ROOT / "tests" / "fixtures" / "smol" / "llama_cpp.json").read_text())
NEAR_TIE = 0.05  # difference of the two best logits below which another order of sums may choose the other one
INT8_NEAR_TIE = 0.5  # the same for weights in int8; the largest found was 0.3


@pytest.fixture(scope="module")
def runtime(bundle_of: Callable[..., Path]) -> Iterator[Runtime]:
    with closing(Runtime.open(ServerConfig(bundle=bundle_of(GGUF)))) as opened:
        yield opened


@pytest.fixture(scope="module")
def int8_runtime(bundle_of: Callable[..., Path]) -> Iterator[Runtime]:
    with closing(Runtime.open(ServerConfig(bundle=bundle_of(GGUF, "int8")))) as opened:
        yield opened


def test_texts_have_the_ids_of_llama_cpp(runtime: Runtime) -> None:
    assert runtime.tokenizer is not None
    wrong = [case["text"] for case in EXPECTED["texts"] if runtime.tokenizer.encode(case["text"]) != case["ids"]]
    assert wrong == []


@pytest.mark.parametrize("case", EXPECTED["greedy"], ids=lambda case: str(case["prompt"][:3]))
def test_greedy_ids_are_those_of_llama_cpp(runtime: Runtime, case: dict[str, Any]) -> None:
    asked = {"input_ids": case["prompt"], "mode": "autoregressive", "max_tokens": len(case["ids"])}
    found = runtime.generate(asked).token_ids
    for ours, theirs, margin in zip(found, case["ids"], case["margins"], strict=False):
        if ours != theirs:
            assert margin < NEAR_TIE
            return
    assert abs(len(found) - len(case["ids"])) <= 1  # whether the end token itself is counted


@pytest.mark.subprocess  # renders the chat template in another process
@pytest.mark.parametrize("name", ["runtime", "int8_runtime"])
def test_it_knows_the_capital_of_france(name: str, request: pytest.FixtureRequest) -> None:
    question = {"role": "user", "content": "What is the capital of France?"}
    answer = request.getfixturevalue(name).generate({"messages": [question]})
    assert answer.text == "The capital of France is Paris."


def test_int8_leaves_the_ids_of_llama_cpp_at_near_ties_only(int8_runtime: Runtime) -> None:
    for case in EXPECTED["greedy"]:
        asked = {"input_ids": case["prompt"], "mode": "autoregressive", "max_tokens": len(case["ids"])}
        found = int8_runtime.generate(asked).token_ids
        pairs = zip(found, case["ids"], case["margins"], strict=False)
        assert next((margin for ours, theirs, margin in pairs if ours != theirs), 0.0) < INT8_NEAR_TIE


@pytest.mark.subprocess  # renders the chat template in another process
def test_sixteen_conversations_at_once_have_the_ids_of_each_alone(bundle_of: Callable[..., Path]) -> None:
    found = conversations(bundle_of(GGUF, "int8"), answer=4)
    assert found["turns"] == found["same_ids"] == 160
    for how in ("alone", "at_once"):
        assert found[how]["cached_share"] > 0.5


def test_float16_weights_give_the_same_ids_from_every_source(tmp_path: Path) -> None:
    with Checkpoint.open(GGUF) as checkpoint:
        halves = {name: tensor.read().astype(np.float16) for name, tensor in checkpoint.tensors.items()}
        config = checkpoint.config
        file = checkpoint.files[0]
        assert isinstance(file, GgufFile)
        metadata = {name: value for name, value in file.metadata.items() if name != "general.file_type"}
    llama = factory.settings(
        hidden_size=config.hidden_size, num_hidden_layers=config.num_layers, head_dim=config.head_dim,
        intermediate_size=config.intermediate_size, num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_kv_heads, vocab_size=config.vocab_size, tie_word_embeddings=True,
        max_position_embeddings=config.max_positions, rope_theta=config.rope.theta, mask_token_id=config.mask_token_id,
        rms_norm_eps=config.norm_epsilon, eos_token_id=config.eos_token_id, bos_token_id=config.bos_token_id,
    )  # fmt: skip
    official = {**llama, "architectures": ["NemotronLabsDiffusionModel"], "model_type": "nemotron_labs_diffusion"}
    official |= {"rope_parameters": {"rope_type": "default", "rope_theta": config.rope.theta}, "block_size": 32}
    for name, settings, arrays in (("llama", llama, factory.renamed(halves)), ("official", official, halves)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(settings))
        write_safetensors(tmp_path / name / "model.safetensors", arrays, "F16")
    heads = (config.num_heads, config.num_kv_heads)
    factory.write_gguf(tmp_path / "gguf" / "model.gguf", halves, kind="F16", extra=metadata, heads=heads)
    found = {name: _written(tmp_path / name) for name in ("llama", "official", "gguf")}
    assert found["llama"] == found["official"] == found["gguf"]


def _written(source: Path) -> tuple[bytes, str, list[tuple[int, ...]]]:
    """Return a bundle's graph, the hash of its weights, and greedy ids; half a gigabyte of bundle goes away again."""
    bundle = source / "bundle"
    with Checkpoint.open(source) as checkpoint:
        write_bundle(make_draft(checkpoint, BundleOptions(capacity=128)), bundle)
    with (bundle / WEIGHTS).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    asked = [
        {"input_ids": case["prompt"][:100], "mode": "autoregressive", "max_tokens": 8} for case in EXPECTED["greedy"]
    ]
    with closing(Runtime.open(ServerConfig(bundle=bundle))) as opened:
        ids = [tuple(opened.generate(one).token_ids) for one in asked[:4]]
    graph = (bundle / GRAPH).read_bytes()
    shutil.rmtree(bundle)
    return graph, digest, ids
