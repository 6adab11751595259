"""A bundle that links to the checkpoint's files: what is in it, when it is written again, what it cannot be made of."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from trimode.bundle import digests
from trimode.bundle.expected_rows import ExpectedRows
from trimode.bundle.manifest import EXPECTED, Manifest
from trimode.bundle.tensor_index import TensorIndex
from trimode.errors import BundleError, CheckpointError
from trimode_convert.bundle import drafts
from trimode_convert.bundle.onnx_bundle import BundleOptions
from trimode_convert.bundle.torch_bundle import outline
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.cli import main
from trimode_convert.graph.precisions import ONNXRUNTIME, TORCH
from trimode_convert.graph.rope import cosines
from trimode_convert.verify.verify import RMS

from tests.support import checkpoints as factory
from tests.support import llama_checkpoints


def build(checkpoint: Path, out: Path, *options: str) -> int:
    return main([str(checkpoint), "--out", str(out), "--target", "torch", *options])


def test_it_has_links_and_no_copy_of_a_tensor(checkpoint: Path, out: Path) -> None:
    assert build(checkpoint, out) == 0
    manifest = Manifest.load(out)
    assert (manifest.runtime, manifest.kv_form, manifest.precision) == ("torch", "scatter", "bfloat16")
    assert (out / "weights-0.safetensors").readlink() == checkpoint.resolve() / "model.safetensors"
    assert (out / "weights-1.safetensors").readlink() == (
        checkpoint.resolve() / "linear_spec_lora" / "adapter_model.safetensors"
    )
    digests.check(out, manifest)


def test_the_index_says_where_every_value_is(checkpoint: Path, out: Path) -> None:
    build(checkpoint, out)
    index = TensorIndex.load(out)
    with Checkpoint.open(checkpoint) as opened:
        for name, tensor in (("1.v", opened.layer(1, "self_attn.v_proj")), ("head", opened.head)):
            place = index.tensors[name]
            raw = (out / place.file).read_bytes()[place.offset :][: 4 * int(np.prod(place.shape))]
            np.testing.assert_array_equal(np.frombuffer(raw, np.float32).reshape(place.shape), tensor.read())
        angles = np.outer(np.arange(9), index.positions.frequencies)
        cos = cosines(opened.config.rope, opened.config.head_dim, 9)
        half = opened.config.head_dim // 2
        np.testing.assert_array_equal((np.cos(angles) * index.positions.factor).astype(np.float32), cos[:, :half])
        assert opened.adapter is not None and index.adapter_scale == opened.adapter.scale


def test_it_is_written_again_when_something_changed(
    checkpoint: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, state in (((), "linked"), ((), "up to date"), (("--precision", "float16"), "linked")):
        assert build(checkpoint, out, *options) == 0
        assert state in capsys.readouterr().out
    (checkpoint / "effort.json").write_text("{}")
    build(checkpoint, out, "--precision", "float16")
    assert "linked" in capsys.readouterr().out


def test_a_checkpoint_that_went_away_is_named(checkpoint: Path, out: Path) -> None:
    build(checkpoint, out)
    shutil.rmtree(checkpoint)
    with pytest.raises(
        BundleError, match=r"weights-0\.safetensors is missing\. Build it with: make build ENGINE=torch"
    ):
        Manifest.load(out)


def test_shards_and_other_layouts_are_linked_too(tmp_path: Path) -> None:
    folder = factory.write(tmp_path / "shards", shards=3)
    with Checkpoint.open(folder) as opened:
        draft = outline(opened, "float32")
    assert len(draft.links) == 3
    plain = llama_checkpoints.write_llama(tmp_path / "llama")
    with Checkpoint.open(plain) as opened:
        assert outline(opened, "float32").manifest.modes == ("auto", "autoregressive")


def test_what_is_not_stored_as_plain_numbers_is_refused(tmp_path: Path) -> None:
    path = llama_checkpoints.write_gguf(tmp_path / "some.gguf")
    with Checkpoint.open(path) as opened, pytest.raises(CheckpointError, match="the torch engine reads BF16, F16 and"):
        outline(opened, "float32")


def test_a_draft_of_links_has_no_weights_to_write(checkpoint: Path) -> None:
    with Checkpoint.open(checkpoint) as opened:
        linked, drawn = (drafts.outline(opened, BundleOptions(target=target)) for target in (TORCH, ONNXRUNTIME))
        assert drafts.weight_bytes(linked) == 0 < drafts.weight_bytes(drawn)
        with pytest.raises(CheckpointError, match="torch has bfloat16, float16, fp8, float32, got 'int8'"):
            drafts.outline(opened, BundleOptions("int8", target=TORCH))


def test_the_graphs_checks_are_refused(checkpoint: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(checkpoint, out, "--parity-logits", "some.npz") == 1
    assert "--parity-logits and --parity-pictures check a graph" in capsys.readouterr().err
    assert not out.exists()


def test_verify_writes_what_the_engine_must_answer(checkpoint: Path, out: Path) -> None:
    assert build(checkpoint, out) == 0
    assert EXPECTED not in Manifest.load(out).files
    assert build(checkpoint, out, "--verify") == 0
    manifest = Manifest.load(out)
    rows = ExpectedRows.load(out, manifest)
    assert rows is not None and rows.tolerance == RMS["bfloat16"]
    assert digests.check(out, manifest, everything=True)


def test_a_build_that_asks_for_no_rows_leaves_those_that_are_there(checkpoint: Path, out: Path) -> None:
    assert build(checkpoint, out, "--verify") == 0
    before = (out / EXPECTED).stat().st_ino
    assert build(checkpoint, out) == build(checkpoint, out, "--verify") == 0
    assert (out / EXPECTED).stat().st_ino == before
