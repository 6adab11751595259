"""Embedding and head: apart, or one matrix for both; and what the second digit of int8's activations is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from trimode.bundle.manifest import GRAPH, WEIGHTS
from trimode_convert.bundle.onnx_bundle import BundleOptions, make_draft, write_bundle
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.graph.blockwise_linear import int8_blocks_linear
from trimode_convert.graph.builder import GraphBuilder
from trimode_convert.graph.ends import Apart, Tied, TiedInt8, ends_of
from trimode_convert.graph.linear import Linear, int8_fine_linear, int8_linear, plain_linear
from trimode_convert.graph.precisions import ONNXRUNTIME, TENSORRT
from trimode_convert.verify.passes import BundleRunner, Pass
from trimode_convert.verify.verify import against_reference
from trimode_convert.weights.weight_file import WeightLayout

from tests.support import checkpoints as factory
from tests.support.arrays import Array

HEAD, EMBEDDING = "diffusion_head.weight", "encoder.embed_tokens.weight"
VOCAB, HIDDEN = 50, 24
PASS = Pass("all", np.arange(4, 40), 0, causal=True)


def checkpoint_of(folder: Path, *, stored: bool, denoises: bool = True, outlier: float = 1.0) -> Checkpoint:
    """A checkpoint whose head is its embedding, by the flag or as a copy.

    One channel of what the layers read is `outlier` times as large, and its weights as much smaller: the model stays.
    """
    settings = factory.config(tie_word_embeddings=not stored)
    arrays = factory.tensors(settings)
    arrays[HEAD] = arrays[EMBEDDING]
    for name, values in arrays.items():
        if "layernorm" in name:
            values[5] *= outlier
        elif any(kind in name for kind in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")):
            values[:, 5] /= outlier
    if not stored:
        del arrays[HEAD]
    opened = Checkpoint.open(factory.write(folder, settings, arrays))
    return replace(opened, config=replace(opened.config, denoises=denoises))


def builder() -> GraphBuilder:
    return GraphBuilder("weights", ONNXRUNTIME.opset, "float32")


def bundle_of(checkpoint: Checkpoint, out: Path, precision: str) -> Path:
    write_bundle(make_draft(checkpoint, BundleOptions(precision)), out)
    return out


def logits(bundle: Path) -> Array:
    return BundleRunner(bundle).run([PASS])[0]


def test_a_tied_head_is_stored_once_and_gives_the_same_numbers(tmp_path: Path) -> None:
    found = {}
    for stored in (True, False):
        with checkpoint_of(tmp_path / str(stored), stored=stored) as checkpoint:
            found[stored] = bundle_of(checkpoint, tmp_path / f"{stored}-bundle", "float32")
            assert all(outcome.passed for outcome in against_reference(found[stored], checkpoint))
    np.testing.assert_array_equal(logits(found[True]), logits(found[False]))
    names = {
        stored: {one.name for one in onnx.load(bundle / GRAPH, load_external_data=False).graph.initializer}
        for stored, bundle in found.items()
    }
    assert {name for name in names[True] - names[False] if "const" not in name} == {"head"}
    assert (found[True] / WEIGHTS).stat().st_size > (found[False] / WEIGHTS).stat().st_size


def test_a_tied_int8_head_is_the_embeddings_codes(tmp_path: Path) -> None:
    with checkpoint_of(tmp_path / "checkpoint", stored=False, denoises=False) as checkpoint:
        bundle = bundle_of(checkpoint, tmp_path / "bundle", "int8")
        assert max(outcome.rms for outcome in against_reference(bundle, checkpoint)) < 0.06
    graph = onnx.load(bundle / GRAPH, load_external_data=False).graph
    shapes = [list(one.dims) for one in graph.initializer if VOCAB in one.dims]
    assert sorted(shapes) == [[VOCAB], [VOCAB, HIDDEN]]


@pytest.mark.parametrize(
    ("head", "share", "form"),
    [
        (plain_linear, True, Tied),
        (plain_linear, False, Apart),
        (int8_fine_linear, True, TiedInt8),
        (int8_linear, True, Apart),  # its embedding stays in float32
    ],
)
def test_which_tied_ends_are_one_matrix(tmp_path: Path, head: Linear, share: bool, form: type) -> None:
    with checkpoint_of(tmp_path, stored=False) as checkpoint:
        assert type(ends_of(builder(), checkpoint, WeightLayout(), head, share=share)) is form
    with checkpoint_of(tmp_path / "stored", stored=True) as checkpoint:
        assert type(ends_of(builder(), checkpoint, WeightLayout(), head, share=share)) is Apart


@pytest.mark.parametrize("head", [plain_linear, int8_fine_linear, int8_blocks_linear])
def test_the_head_does_not_depend_on_the_embedding_being_drawn_first(tmp_path: Path, head: Linear) -> None:
    with checkpoint_of(tmp_path, stored=False) as checkpoint:
        found = {}
        for first in ("embed", "project"):
            graph, weights = builder(), WeightLayout()
            ends = ends_of(graph, checkpoint, weights, head, share=True)
            draw = {"embed": lambda ends=ends: ends.embed("ids"), "project": lambda ends=ends: ends.project("hidden")}
            for name in (first, *(set(draw) - {first})):
                draw[name]()
            found[first] = sorted((blob.name, blob.nbytes) for blob in weights.blobs)
    assert found["embed"] == found["project"]


def test_tensorrt_keeps_two_matrices(tmp_path: Path) -> None:
    with checkpoint_of(tmp_path, stored=False) as checkpoint:
        draft = make_draft(checkpoint, BundleOptions("float32", target=TENSORRT))
    assert {"embedding", "head"} <= {blob.name for blob in draft.blueprint.weights.blobs}


def test_the_second_digit_takes_away_what_large_channels_cost(tmp_path: Path) -> None:
    errors = {}
    for denoises in (True, False):
        folder = tmp_path / str(denoises)
        with checkpoint_of(folder, stored=True, denoises=denoises, outlier=40.0) as checkpoint:
            bundle = bundle_of(checkpoint, folder / "bundle", "int8")
            errors[denoises] = max(outcome.rms for outcome in against_reference(bundle, checkpoint))
    assert errors[False] < 0.5 * errors[True]
